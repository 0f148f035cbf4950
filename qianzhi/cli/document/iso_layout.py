"""How an ISO 8583 message is laid out: header, message type, bitmaps."""

from collections.abc import Sequence

from qianzhi.cli.document.facts import Facts
from qianzhi.cli.document.page import NOTHING, Both, Page, Text, code, joined
from qianzhi.cli.document.samples import Sample
from qianzhi.cli.document.specs import Field, Form
from qianzhi.cli.document.words import ENCODINGS, PACKED, format_words, length_words
from qianzhi.wire.iso_head import bits_of


def iso_layout(page: Page, facts: Facts) -> None:
    """Write how such messages are laid out."""
    header = [one for one in facts.spec.shapes[0].fields if one.path.startswith("header.")]
    head = [Both("header", "报文头")] if header else []
    page.boxes(
        [
            *head,
            Both("MTI", "消息类型"),
            Both("bitmap(s)", "位图"),
            Both("fields in ascending order", "各域按域号升序"),
        ]
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
        f"The message type (MTI) is four digits, {_of(mti).en}. The bitmap follows: 64 bits, bit 1 first "
        "(the highest bit of the first byte); bit *n* is 1 when field *n* is there. Bit 1 says that a "
        "second bitmap of 64 bits follows at once, for fields 65 to 128. "
        + (
            "Bitmaps are written as hex digits, 16 for each."
            if as_hex
            else "Bitmaps are binary, 8 bytes each."
        )
        + " Fields stand in ascending order without anything between them. A field that this dialect does "
        "not know makes the message unreadable.",
        f"消息类型（MTI）为 4 位数字，{_of(mti).zh}。其后为 64 位的位图，第 1 位在最前（首字节最高位）；"
        "第 *n* 位为 1 表示域 *n* 出现。第 1 位表示紧跟着还有 64 位的第二位图，对应域 65 至 128。"
        + ("位图写成十六进制字符，每个 16 字符。" if as_hex else "位图为二进制，每个 8 字节。")
        + "各域按域号升序紧密排列，其间没有分隔。出现本文未定义的域时，报文视为无法解析。",
    )
    sample = next((one for one in facts.samples if one.part == "request"), None)
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
