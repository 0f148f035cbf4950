"""How a message of each kind of spec is laid out: one function for each kind, in LAYOUTS."""

from collections.abc import Callable, Sequence

from qianzhi.cli.document.facts import Facts
from qianzhi.cli.document.page import NOTHING, Both, Page, Text, code, joined
from qianzhi.cli.document.samples import Sample
from qianzhi.cli.document.specs import Field, Form
from qianzhi.cli.document.words import ENCODINGS, PACKED, format_words, length_words
from qianzhi.wire.iso8583 import bits_of

# ISO 8583


def _iso(page: Page, facts: Facts) -> None:
    header = [one for one in facts.spec.shapes[0].fields if one.path.startswith("header.")]
    before = "| header " if header else ""
    line = f"+{'-' * 8}" if header else ""
    page.drawing(
        f"{line}+------+-----------+-----------------------------+\n"
        f"{before}| MTI  | bitmap(s) | fields in ascending order   |\n"
        f"{line}+------+-----------+-----------------------------+"
    )
    if header:
        _header(page, facts, header)
    _bitmap(page, facts)


def _header(page: Page, facts: Facts, header: list[Field]) -> None:
    page.section(Both("Header", "报文头"))
    size = sum(_bytes(one.form) for one in header)
    page.say(
        f"Before the message type stands a header of {size} bytes; the tables of messages do not repeat it.",
        f"消息类型之前有 {size} 字节的报文头，各报文表不再重复列出。",
    )
    shown = [
        (
            Both("in your messages, hex", "贵方报文（十六进制）"),
            next((one for one in facts.samples if not one.ours), None),
        ),
        (
            Both("in our answers, hex", "我方应答（十六进制）"),
            next((one for one in facts.samples if one.ours and one.part != "request"), None),
        ),
        (
            Both("in our own messages, hex", "我方主动报文（十六进制）"),
            next((one for one in facts.samples if one.ours and one.part == "request"), None),
        ),
    ]
    columns = [(head, sample) for head, sample in shown if sample is not None]
    rows: list[Sequence[Text]] = []
    for one in header:
        cells = [code(_part_of(facts, sample, one.path).hex(" ").upper()) for _, sample in columns]
        words = [format_words(one.form), header_words(facts, one.path)]
        rows.append(
            (
                str(one.offset),
                code(one.label),
                one.title,
                length_words(one.form),
                joined([text for text in words if text.en], "; ", "；"),
                *cells,
            )
        )
    heads = ("offset", "偏移"), ("part", "部分"), ("name", "名称"), ("bytes", "字节数"), ("format", "格式")
    page.table([*(Both(*head) for head in heads), *(head for head, _ in columns)], rows)
    _header_answers(page, facts)


def _part_of(facts: Facts, sample: Sample, path: str) -> bytes:
    view = next((one for one in facts.profile.codec.describe(sample.body) if one.path == path), None)
    return sample.body[view.offset : view.offset + view.length] if view else b""


def header_words(facts: Facts, path: str) -> Both:
    """Say what a part of a header is for, where that is not for the two sides to agree."""
    return HEADER_WORDS.get(path, NOTHING)


HEADER_WORDS = {
    "header.length": Both("always 46", "固定为 46"),
    "header.total": Both("bytes of header and message together", "报文头与报文体总字节数"),
    "header.reject_code": Both(
        "`00000`, unless a message is sent back as unacceptable", "`00000`；报文被拒退回时为其他值"
    ),
}


def _header_answers(page: Page, facts: Facts) -> None:
    reply = facts.profile.table.reply
    echoed = [facts.label(path) for path in reply.echo if path.startswith("header.")]
    copied = [
        (path, text.partition("|")[0]) for path, text in reply.copy.items() if path.startswith("header.")
    ]
    pairs = joined(
        [
            Both(
                f"{facts.label(path)} is the request's {facts.label(source)}",
                f"{facts.label(path)} 取请求的 {facts.label(source)}",
            )
            for path, source in copied
        ]
    )
    sentences = []
    if copied:
        sentences.append(Both(f"In an answer {pairs.en}.", f"应答中 {pairs.zh}。"))
    if echoed:
        names = ", ".join(echoed)
        sentences.append(Both(f"An answer brings back {names} as they were.", f"应答原样带回 {names}。"))
    if sentences:
        whole = joined(sentences, " ", "")
        page.say(whole.en, whole.zh)


def _bytes(form: Form | None) -> int:
    packed = form is not None and form.encoding in PACKED
    return 0 if form is None else (form.length + 1) // 2 if packed else form.length


def _bitmap(page: Page, facts: Facts) -> None:
    page.section(Both("Message type and bitmap", "消息类型和位图"))
    fields = {one.path: one for one in facts.spec.shapes[0].fields}
    mti, bitmap = fields["mti"].form, fields["bitmap"].form
    as_hex = bitmap is not None and bitmap.encoding == "hex"
    page.say(
        f"The message type (MTI) is four digits, {_of(mti).en}. The bitmap follows: 64 bits, bit 1 "
        f"first (the highest bit "
        "of the first byte); bit *n* is 1 when field *n* is there. Bit 1 says that a second bitmap "
        "of 64 bits follows at "
        "once, for fields 65 to 128. "
        + (
            "Bitmaps are written as hex digits, 16 for each."
            if as_hex
            else "Bitmaps are binary, 8 bytes each."
        )
        + " Fields stand in ascending order without anything between them. A field that this dialect "
        "does not know "
        "makes the message unreadable.",
        f"消息类型（MTI）为 4 位数字，{_of(mti).zh}。其后为 64 位的位图，第 1 "
        f"位在最前（首字节最高位）；第 *n* 位为 1 表示域 *n* 出现。"
        "第 1 位表示紧跟着还有 64 位的第二位图，对应域 65 至 128。"
        + ("位图写成十六进制字符，每个 16 字符。" if as_hex else "位图为二进制，每个 8 字节。")
        + "各域按域号升序紧密排列，其间没有分隔。出现本文未定义的域时，报文视为无法解析。",
    )
    sample = facts.sample(next(iter(facts.profile.table.transactions)), "request")
    view = (
        next((one for one in facts.profile.codec.describe(sample.body) if one.path == "bitmap"), None)
        if sample
        else None
    )
    if sample is None or view is None:
        return
    raw = sample.body[view.offset : view.offset + view.length]
    bits = bytes.fromhex(raw.decode("ascii")) if as_hex else raw
    numbers = ", ".join(str(bit) for bit in bits_of(bits) if bit not in (1, 65))
    page.say(
        f"In sample *{page.text(sample.title)}, request* the bitmap is `{bits.hex().upper()}`: fields "
        f"{numbers}.",
        f"示例“{page.text(sample.title)}”请求的位图为 `{bits.hex().upper()}`，即域 {numbers}。",
    )


def _of(form: Form | None) -> Both:
    return ENCODINGS[form.encoding] if form else NOTHING


# XML


def _xml(page: Page, facts: Facts) -> None:
    charset, root = facts.spec.tree.get("charset", "GBK"), facts.spec.tree.get("root", "")
    page.items(
        [
            Both(
                f"The root element is `{root}`. In this document `A.B` is the element `B` inside the "
                f"element `A` inside "
                "the root.",
                f"根元素为 `{root}`。本文中 `A.B` 表示根元素内 `A` 元素之下的 `B` 元素。",
            ),
            Both(
                f'The message begins with `<?xml version="1.0" encoding="{charset.upper()}"?>` and is '
                f"written in "
                f"{charset.upper()}. Another declared charset of GBK, GB18030 and UTF-8 is read too "
                f"and answered in the same; "
                "without a declaration the text is taken for "
                f"{charset.upper()}.",
                f'报文以 `<?xml version="1.0" encoding="{charset.upper()}"?>` 开头，采用 '
                f"{charset.upper()} 编码。"
                "声明为 GBK、GB18030 或 UTF-8 的报文也可受理，并以同一编码应答；没有声明时按 "
                f"{charset.upper()} 处理。",
            ),
            Both(
                "Elements may come in any order; we write them in the order of the tables. An "
                "element that is absent has "
                "no value; an empty one counts as absent. The same element twice, unknown elements "
                "and attributes are "
                "errors.",
                "元素次序不限，我方按表中次序书写。元素缺省或内容为空均视为无值。重复元素、"
                "未知元素和属性均为错误。",
            ),
            Both(
                "In texts `&`, `<` and `>` are written `&amp;`, `&lt;` and `&gt;`; no document type, "
                "no entity of your own, "
                "no comment. Blanks and line ends between elements do not count.",
                "文本中的 `&`、`<`、`>` 写作 `&amp;`、`&lt;`、`&gt;`；"
                "不得使用文档类型声明和自定义实体。元素之间的空白和换行不计。",
            ),
            Both(
                f"A message has at most {facts.spec.tree.get('message_bytes_max', 65536)} bytes and "
                f"{facts.spec.tree.get('elements_max', 1000)} elements. Lengths in the tables count "
                f"characters.",
                f"报文最长 {facts.spec.tree.get('message_bytes_max', 65536)} 字节，元素最多 "
                f"{facts.spec.tree.get('elements_max', 1000)} 个。表中长度按字符计。",
            ),
        ]
    )


# Text messages


def _fixed(page: Page, facts: Facts) -> None:
    tree = facts.spec.tree
    trailer = bool(tree.get("trailer"))
    line, words = "+--------+--------------------------------+", "| header | body, as the header calls for  |"
    page.drawing(
        f"{line}{'---------+' if trailer else ''}\n{words}{' trailer |' if trailer else ''}\n"
        f"{line}{'---------+' if trailer else ''}"
    )
    charset = str(tree.get("charset", "gbk")).upper()
    page.items(
        [
            Both(
                "Every field has a fixed number of *bytes* and stands directly behind the one "
                "before. Offsets count "
                "bytes from the start of the message, from 0.",
                "每个字段占固定*字节*数，依次紧密排列。偏移量从报文首字节起按字节计，从 0 开始。",
            ),
            Both(
                f"Texts are written in {charset}; a Chinese character takes more than one byte and is "
                f"never cut in half. "
                "A field of blanks only has no value; a field of digits that has none is filled with "
                "blanks too.",
                f"文本采用 {charset} 编码，汉字占多个字节，不得截断半个汉字。全空格的字段视为无值；"
                f"无值的数字字段也填空格。",
            ),
            Both(
                f"A message has at most {tree.get('message_bytes_max', 65536)} bytes.",
                f"报文最长 {tree.get('message_bytes_max', 65536)} 字节。",
            ),
        ]
    )
    _sections(page, facts)
    inside = [body for body in tree.get("bodies", []) if body.get("layout") == "delimited"]
    if inside:
        names = ", ".join(code(body["name"]) for body in inside)
        sign = code(inside[0].get("delimiter", "|"))
        page.say(
            f"The body {names} is not of fixed width: its fields stand as columns with {sign} between "
            f"them, without "
            "filling; an empty column has no value, and no value may contain the sign.",
            f"报文体 {names} 不是定长：各字段以 {sign} 分隔，不填充；空列表示无值，值中不得含有该分隔符。",
        )


def _delimited(page: Page, facts: Facts) -> None:
    tree = facts.spec.tree
    charset, sign = str(tree.get("charset", "gbk")).upper(), tree.get("delimiter", "|")
    ending = tree.get("ending", "").encode("ascii").hex(" ").upper()
    page.drawing(f"column 1{sign}column 2{sign}column 3{sign} ... {sign}last column")
    page.items(
        [
            Both(
                f"A message is a row of columns with {code(sign)} (byte "
                f"`{sign.encode('ascii').hex().upper()}`) between "
                "them: "
                + (
                    f"the message ends with the bytes `{ending}`."
                    if ending
                    else "nothing stands after the last column."
                ),
                f"报文由若干列组成，列间以 {code(sign)}（字节 `{sign.encode('ascii').hex().upper()}`）分隔，"
                + (f"报文以字节 `{ending}` 结束。" if ending else "最后一列之后没有其他内容。"),
            ),
            Both(
                "A column has no filling and no quotation marks. An empty column has no value. Every "
                "column of the table "
                "is there, empty or not; a value may not contain the delimiter.",
                "列内不填充、不加引号；空列表示无值。表中各列必须全部出现，无值也要留空；"
                "值中不得含有分隔符。",
            ),
            Both(
                f"Texts are written in {charset}. Part the columns by characters, not by bytes: the "
                f"second byte of a "
                "Chinese character may look like the delimiter. Lengths in the tables are the "
                "greatest number of bytes.",
                f"文本采用 {charset} 编码。应按字符而不是按字节切分："
                f"汉字的第二个字节可能与分隔符相同。表中长度为最大字节数。",
            ),
            Both(
                f"A message has at most {tree.get('message_bytes_max', 65536)} bytes.",
                f"报文最长 {tree.get('message_bytes_max', 65536)} 字节。",
            ),
        ]
    )
    _sections(page, facts)


def _pairs(page: Page, facts: Facts) -> None:
    charset = str(facts.spec.tree.get("charset", "utf-8")).upper()
    page.drawing("name=value&name=value& ... &name=value")
    lists = [one for shape in facts.spec.shapes for one in shape.everything() if one.layout == "repeat"]
    rules = [
        Both(
            "A message is a row of pairs `name=value` with `&` between them. We write them in the "
            "order of the tables and "
            "read them in any order. A name twice, or a name that is not in the table of the "
            "message, is an error.",
            "报文由若干 `名称=值` 组成，以 `&` 连接。我方按表中次序书写，读取时不限次序。"
            "名称重复或出现表中没有的名称均为错误。",
        ),
        Both(
            f"Values are written in {charset} and percent-encoded: every byte but ASCII letters, "
            f"digits and `-._~` becomes "
            "`%` and two upper-case hex digits; a blank is `%20` (`+` is read as a blank too).",
            f"值采用 {charset} 编码并做百分号转义：除 ASCII 字母、数字和 `-._~` 外，每个字节写成 `%` "
            f"加两位大写十六进制；"
            "空格写作 `%20`（读取时 `+` 也视为空格）。",
        ),
        Both(
            "An absent name and an empty value are the same: there is no value.",
            "名称缺省与值为空含义相同，均为无值。",
        ),
        Both(
            f"A message has at most {facts.spec.tree.get('message_bytes_max', 65536)} bytes.",
            f"报文最长 {facts.spec.tree.get('message_bytes_max', 65536)} 字节。",
        ),
    ]
    for one in lists[:1]:
        entries, columns = one.tree.get("inner", [";", ","])
        order = ", ".join(code(child.label.rpartition(".")[2]) for child in one.children)
        rules.append(
            Both(
                f"A list is a single value: its entries have {code(entries)} between them, the "
                f"columns of an entry "
                f"{code(columns)}, in the order {order}; then the whole value is percent-encoded.",
                f"列表写成一个值：各条目以 {code(entries)} 分隔，条目内各列以 {code(columns)} 分隔，"
                f"次序为 {order}；整个值再做百分号转义。",
            )
        )
    page.items(rules)


def _sections(page: Page, facts: Facts) -> None:
    """Write the tables of what stands before and after every body, and say which body a header calls for."""
    outer = [one for one in facts.spec.shapes[0].fields if not one.path.startswith("body.")]
    before = len(facts.spec.tree.get("header", []))
    for title, fields in (
        (Both("Header", "报文头"), outer[:before]),
        (Both("Trailer", "报文尾"), outer[before:]),
    ):
        if not fields:
            continue
        page.section(title)
        rows = [
            (
                "" if one.offset is None else str(one.offset),
                code(one.label),
                one.title,
                length_words(one.form),
                format_words(one.form),
            )
            for one in fields
        ]
        heads = (
            ("offset", "偏移"),
            ("field", "字段"),
            ("name", "名称"),
            ("length", "长度"),
            ("format", "格式"),
        )
        keep = 0 if fields[0].offset is not None else 1
        page.table([Both(*head) for head in heads][keep:], [row[keep:] for row in rows])
    page.section(Both("Bodies", "报文体"))
    page.say(
        "Which body a message has, its header says; the first row that fits counts.",
        "报文体由报文头决定，按下表自上而下取第一个符合的。",
    )
    page.table(
        (Both("body", "报文体"), Both("name", "名称"), Both("the header says", "报文头条件")),
        [(code(shape.name), shape.title, facts.when(shape.when)) for shape in facts.spec.shapes],
    )


LAYOUTS: dict[str, Callable[[Page, Facts], None]] = {
    "iso8583": _iso,
    "xml": _xml,
    "fixed": _fixed,
    "delimited": _delimited,
    "pairs": _pairs,
}
