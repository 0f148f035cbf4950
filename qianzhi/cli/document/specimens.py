"""The chapter of samples: every message whole, in hex and taken apart to the last byte."""

from typing import NamedTuple

from qianzhi.cli.document.authentication import carries
from qianzhi.cli.document.facts import Facts
from qianzhi.cli.document.page import Both, Page, Text, code
from qianzhi.cli.document.samples import PARTS, Sample
from qianzhi.wire.items import FieldView


class Slice(NamedTuple):
    """Some bytes of a message and what they are."""

    offset: int
    data: bytes
    label: str
    title: Both


def specimens(page: Page, facts: Facts) -> None:
    """Write the chapter."""
    page.chapter(Both("Samples", "报文示例"))
    prefix = facts.profile.frame.kind not in ("none", "message") and not facts.profile.frame.keep
    counted = Both("", "")
    if facts.spec.carried == "hex":
        counted = Both(
            "; the text and the offsets below each are those of the message before it became hex",
            "；各示例下方的文本和偏移量针对转换为十六进制字符之前的报文",
        )
    elif prefix:
        counted = Both("; offsets count from the first byte after it", "；偏移量从长度头之后第一个字节算起")
    page.say(
        "All bytes as they go over the line"
        + (", length header included" if prefix else "")
        + f"{counted.en}. Business date 2026-11-22, 10:00:00 Beijing time. Phone, customer and keys are "
        "made up.",
        "以下为线路上的全部字节"
        + ("，含长度头" if prefix else "")
        + f"{counted.zh}。营业日期 2026-11-22，北京时间 10:00:00。号码、客户和密钥均为虚构。",
    )
    keys = [(Both(*KEY_NAMES[name]), code(key.hex().upper())) for name, key in facts.keys.items()]
    if facts.exchanged:
        used = next((one.key for one in facts.samples if one.key), b"")
        keys.append(
            (
                Both("MAC key of the samples, as delivered", "示例会话的 MAC 工作密钥"),
                code(used.hex().upper()),
            )
        )
    page.table((Both("test key", "测试密钥"), Both("hex", "十六进制")), keys)
    forms = [one.form for shape in facts.spec.shapes for one in shape.everything() if one.form]
    if any(form.encoding in ("bcd", "bcd_left", "nibbles") for form in forms):
        page.say(
            "Packed values are shown by the bytes that they lie in, a nibble of filling included.",
            "压缩的值按其所在字节列出，含填充的半字节。",
        )
    if any(carries(facts, sample) for sample in facts.samples):
        page.say("Every MAC below is made under that MAC key.", "以下各 MAC 均使用上表的 MAC 密钥。")
    last = ""
    for at, sample in enumerate(facts.samples):
        if sample.name != last:
            page.section(
                Both(f"{sample.title.en} {code(sample.name)}", f"{sample.title.zh} {code(sample.name)}")
            )
            last = sample.name
        specimen(page, facts, sample, whole=not at)


KEY_NAMES = {"master": ("master key", "主密钥"), "mac": ("MAC key", "MAC 密钥")}


def specimen(page: Page, facts: Facts, sample: Sample, *, whole: bool) -> None:
    """Write one sample; its header is taken apart only where `whole` is wanted."""
    way = Both("from us", "我方发出") if sample.ours else Both("from you", "贵方发出")
    part = PARTS[sample.part]
    page.point(
        Both(
            f"{sample.title.en}, {part.en} ({way.en}), {len(sample.wire)} bytes",
            f"{sample.title.zh}，{part.zh}（{way.zh}），{len(sample.wire)} 字节",
        )
    )
    page.hex(sample.wire)
    if facts.spec.kind in TEXTUAL:
        _as_text(page, facts, sample)
    rows: list[list[Text]] = []
    for piece in slices(facts, sample) if whole else _headless(slices(facts, sample)):
        shown = _value(facts, piece)
        rows.append([str(piece.offset), str(len(piece.data)), code(piece.label), piece.title, code(shown)])
    heads = ("offset", "偏移"), ("bytes", "字节数"), ("field", "字段"), ("name", "名称"), ("value", "值")
    page.table([Both(*head) for head in heads], rows)


TEXTUAL = frozenset({"xml", "delimited", "pairs", "fixed"})


def _as_text(page: Page, facts: Facts, sample: Sample) -> None:
    inner = inner_body(facts, sample)
    text = inner.decode(str(facts.spec.tree.get("charset", "gbk")), "replace")
    if facts.spec.kind == "xml":
        text = text.replace("><", ">\n<")
        page.say("As text (line breaks added here for reading):", "文本形式（换行为便于阅读所加）：")
    elif facts.spec.kind == "fixed":
        return
    else:
        page.say("As text:", "文本形式：")
    page.drawing(text)


def inner_body(facts: Facts, sample: Sample) -> bytes:
    """Return the message itself, where it travels as hex digits."""
    return bytes.fromhex(sample.body.decode("ascii")) if facts.spec.carried == "hex" else sample.body


def slices(facts: Facts, sample: Sample) -> list[Slice]:
    """Take a message apart; where every byte belongs to something (not XML) the slices cover all of it."""
    views = [view for view in facts.profile.codec.describe(sample.body) if view.tag != "!"]
    scale = 2 if facts.spec.carried == "hex" else 1
    body = inner_body(facts, sample)
    found = sorted(
        (
            Slice(
                view.offset // scale,
                body[view.offset // scale : (view.offset + view.length) // scale],
                facts.spec.label(view.path),
                facts.spec.title(view.path),
            )
            for view in views
            if not _holds_others(view, views)
        ),
        key=lambda piece: piece.offset,
    )
    return _with_gaps(found, body) if facts.spec.kind not in GAPPED else [one for one in found if one.data]


def _headless(pieces: list[Slice]) -> list[Slice]:
    """Make one piece of the parts of a header."""
    head = [piece for piece in pieces if piece.label.startswith("header.")]
    if not head:
        return pieces
    rest = pieces[len(head) :]
    return [Slice(0, b"".join(piece.data for piece in head), "header", Both("Header", "报文头")), *rest]


GAPPED = frozenset({"xml", "delimited", "pairs"})


def _holds_others(view: FieldView, views: list[FieldView]) -> bool:
    return any(other.path.startswith(f"{view.path}.") for other in views if other is not view)


def _with_gaps(found: list[Slice], body: bytes) -> list[Slice]:
    """Name what stands between fields: delimiters, or length prefixes and tags of what follows."""
    whole: list[Slice] = []
    at = 0
    for piece in found:
        if piece.offset > at:
            gap = body[at : piece.offset]
            label, words = (
                (piece.label.partition(".")[0], BEFORE) if piece.label.startswith("F") else ("", DELIMITER)
            )
            whole.append(Slice(at, gap, label, words))
        if piece.data:
            whole.append(piece)
        at = max(at, piece.offset + len(piece.data))
    if at < len(body):
        whole.append(Slice(at, body[at:], "", DELIMITER))
    return whole


BEFORE = Both("length or tag before it", "其前的长度或标签")
DELIMITER = Both("delimiter", "分隔符")


IN_HEX = frozenset({"raw", "bcd", "bcd_left", "nibbles"})


def _value(facts: Facts, piece: Slice) -> str:
    if piece.label == "header":
        return piece.data.hex().upper()
    field = next(
        (one for shape in facts.spec.shapes for one in shape.everything() if one.label == piece.label), None
    )
    form = field.form if field else None
    if piece.title == BEFORE or (form is not None and form.encoding in IN_HEX):
        return piece.data.hex().upper()  # packed: its bytes are no characters
    charset = (
        "cp500"
        if form is not None and form.encoding == "ebcdic"
        else str(facts.spec.tree.get("charset", "gbk"))
    )
    text = piece.data.decode(charset, "replace")
    return text if text.isprintable() and "\ufffd" not in text else piece.data.hex().upper()
