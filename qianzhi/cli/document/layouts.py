"""How a message of each kind of spec is laid out: one function for each kind, in LAYOUTS."""

from collections.abc import Callable

from qianzhi.cli.document.facts import Facts
from qianzhi.cli.document.iso_layout import iso_layout
from qianzhi.cli.document.page import Both, Page, code
from qianzhi.cli.document.words import format_words, length_words

# XML


def _xml(page: Page, facts: Facts) -> None:
    charset, root = facts.spec.tree.get("charset", "GBK"), facts.spec.tree.get("root", "")
    page.items(
        [
            Both(
                f"The root element is `{root}`. In this document `A.B` is the element `B` inside the "
                "element `A` inside the root.",
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
                "Elements may come in any order; we write them in the order of the tables. An element "
                "that is absent has no value; an empty one counts as absent. The same element twice, "
                "unknown elements and attributes are errors.",
                "元素次序不限，我方按表中次序书写。元素缺省或内容为空均视为无值。重复元素、"
                "未知元素和属性均为错误。",
            ),
            Both(
                "In texts `&`, `<` and `>` are written `&amp;`, `&lt;` and `&gt;`; no document type, no "
                "entity of your own, no comment. Blanks and line ends between elements do not count.",
                "文本中的 `&`、`<`、`>` 写作 `&amp;`、`&lt;`、`&gt;`；不得使用文档类型声明和自定义实体。"
                "元素之间的空白和换行不计。",
            ),
            Both(
                f"A message has at most {facts.spec.tree.get('message_bytes_max', 65536)} bytes and "
                f"{facts.spec.tree.get('elements_max', 1000)} elements. Lengths in the tables count "
                "characters.",
                f"报文最长 {facts.spec.tree.get('message_bytes_max', 65536)} 字节，元素最多 "
                f"{facts.spec.tree.get('elements_max', 1000)} 个。表中长度按字符计。",
            ),
        ]
    )


# Text messages


def _fixed(page: Page, facts: Facts) -> None:
    tree = facts.spec.tree
    tail = [Both("trailer", "报文尾")] if tree.get("trailer") else []
    page.boxes(
        [Both("header", "报文头"), Both("body, as the header calls for", "报文体，由报文头决定"), *tail]
    )
    charset = str(tree.get("charset", "gbk")).upper()
    page.items(
        [
            Both(
                "Every field has a fixed number of *bytes* and stands directly behind the one before. "
                "Offsets count bytes from the start of the message, from 0.",
                "每个字段占固定*字节*数，依次紧密排列。偏移量从报文首字节起按字节计，从 0 开始。",
            ),
            Both(
                f"Texts are written in {charset}; a Chinese character takes more than one byte and is "
                "never cut in half. A field of blanks only has no value; a field of digits that has "
                "none is filled with blanks too.",
                f"文本采用 {charset} 编码，汉字占多个字节，不得截断半个汉字。全空格的字段视为无值；"
                "无值的数字字段也填空格。",
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
            "them, without filling; an empty column has no value, and no value may contain the sign. "
            "Decode the "
            f"bytes from {charset} first and split the text then: the second byte of a Chinese "
            "character may be "
            "that sign. A refusal has its columns too, empty ones included.",
            f"报文体 {names} 不是定长：各字段以 {sign} 分隔，不填充；空列表示无值，值中不得含有该分隔符。"
            f"须先按 {charset} 解码再切分：汉字的第二个字节可能与分隔符相同。拒绝应答同样带各列（可为空"
            "列）。",
        )


def _delimited(page: Page, facts: Facts) -> None:
    tree = facts.spec.tree
    charset, sign = str(tree.get("charset", "gbk")).upper(), tree.get("delimiter", "|")
    ending = tree.get("ending", "").encode("ascii").hex(" ").upper()
    page.drawing(
        Both(
            f"column 1{sign}column 2{sign}column 3{sign} ... {sign}last column",
            f"第 1 列{sign}第 2 列{sign}第 3 列{sign} ... {sign}最后一列",
        )
    )
    page.items(
        [
            Both(
                f"A message is a row of columns with {code(sign)} (byte "
                f"`{sign.encode('ascii').hex().upper()}`) between them: "
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
                "column of the table is there, empty or not; a value may not contain the delimiter.",
                "列内不填充、不加引号；空列表示无值。表中各列必须全部出现，无值也要留空；"
                "值中不得含有分隔符。",
            ),
            Both(
                f"Texts are written in {charset}. Part the columns by characters, not by bytes: the "
                "second byte of a Chinese character may look like the delimiter. Lengths in the tables "
                "are the greatest number of bytes.",
                f"文本采用 {charset} 编码。应按字符而不是按字节切分：汉字的第二个字节可能与分隔符相同。"
                "表中长度为最大字节数。",
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
    page.drawing(Both("name=value&name=value& ... &name=value", "名称=值&名称=值& ... &名称=值"))
    lists = [one for shape in facts.spec.shapes for one in shape.everything() if one.layout == "repeat"]
    rules = [
        Both(
            "A message is a row of pairs `name=value` with `&` between them. We write them in the order "
            "of the tables and read them in any order. A name twice, or a name that is not in the table "
            "of the message, is an error.",
            "报文由若干 `名称=值` 组成，以 `&` 连接。我方按表中次序书写，读取时不限次序。"
            "名称重复或出现表中没有的名称均为错误。",
        ),
        Both(
            f"Values are written in {charset} and percent-encoded: every byte but ASCII letters, digits "
            "and `-._~` becomes `%` and two upper-case hex digits; a blank is `%20` (`+` is read as a "
            "blank too).",
            f"值采用 {charset} 编码并做百分号转义：除 ASCII 字母、数字和 `-._~` 外，每个字节写成 `%` "
            "加两位大写十六进制；空格写作 `%20`（读取时 `+` 也视为空格）。",
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
                f"A list is a single value: its entries have {code(entries)} between them, the columns "
                f"of an entry {code(columns)}, in the order {order}; then the whole value is "
                "percent-encoded.",
                f"列表写成一个值：各条目以 {code(entries)} 分隔，条目内各列以 {code(columns)} 分隔，"
                f"次序为 {order}；整个值再做百分号转义。",
            )
        )
    page.items(rules)


TRAILER = Both("Trailer, at the end of the message", "报文尾，在报文末尾")


def _sections(page: Page, facts: Facts) -> None:
    """Write the tables of what stands before and after every body, and say which body a header calls for."""
    outer = [one for one in facts.spec.shapes[0].fields if not one.path.startswith("body.")]
    before = len(facts.spec.tree.get("header", []))
    for title, fields in (
        (Both("Header", "报文头"), outer[:before]),
        (TRAILER, outer[before:]),
    ):
        if not fields:
            continue
        page.section(title)
        rows = [
            (
                "" if one.offset is None or title is TRAILER else str(one.offset),
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
    "iso8583": iso_layout,
    "xml": _xml,
    "fixed": _fixed,
    "delimited": _delimited,
    "pairs": _pairs,
}
