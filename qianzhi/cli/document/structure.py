"""The chapter on how a message is laid out and how each type of value is written, with an example of each."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from frontends.mapping_rows import split_row, values_of
from qianzhi.cli.document.facts import Facts
from qianzhi.cli.document.layouts import LAYOUTS
from qianzhi.cli.document.page import NOTHING, Both, Page, Text, code, joined
from qianzhi.cli.document.rows import get_first, leaves, shape_of
from qianzhi.cli.document.samples import Sample
from qianzhi.cli.document.specs import Field, Form
from qianzhi.cli.document.words import (
    ENCODINGS,
    ENCODINGS_LONG,
    PACKED,
    PADDINGS,
    TYPES,
    TYPES_LONG,
    format_words,
    transform_words,
)
from qianzhi.wire.codec import get_path
from qianzhi.wire.errors import EncodeError


def structure(page: Page, facts: Facts) -> None:
    """Write the chapter."""
    page.chapter(Both("How a message is written", "报文格式"))
    LAYOUTS[facts.spec.kind](page, facts)
    if facts.spec.carried == "hex":
        _carried(page)
    _types(page, facts)


def _carried(page: Page) -> None:
    page.section(Both("Carried as hex", "十六进制承载"))
    page.say(
        "The message is not sent as it is: each of its bytes is written as two upper-case hex digits, "
        "and those are the body that is framed. The length header counts hex digits, twice the bytes of "
        "the message. We read lower-case digits too. The MAC is made over the message itself, before it "
        "becomes hex.",
        "报文不直接发送：每个字节写成两个大写十六进制字符，组成的字符串才是线路上的报文体；"
        "长度头按十六进制字符数计，即原报文字节数的两倍。我方也接受小写字符。"
        "报文鉴别码针对转换前的原报文计算。",
    )


# Types


class Writing(NamedTuple):
    """One way of writing that messages of this dialect use, and a field of a sample that shows it."""

    form: Form
    field: Field
    sample: Sample


def _types(page: Page, facts: Facts) -> None:
    page.section(Both("How each type is written", "各类型的写法"))
    page.say(
        "The tables of messages name type, character set or packing, length prefix and filling. These "
        "are all that this dialect uses:",
        "各报文表的格式栏写明类型、字符集或压缩方式、长度前缀和填充方式。本接口用到的如下：",
    )
    used = list(_used(facts))
    terms: dict[Both, Both] = {}
    for one in used:
        terms[TYPES[one.form.type]] = TYPES_LONG[one.form.type]
        terms[ENCODINGS[one.form.encoding]] = encoding_words(one.form.encoding, [two.form for two in used])
    page.table((Both("words in the tables", "用语"), Both("meaning", "含义")), list(terms.items()))
    page.say(
        "Each combination, with a field of the samples as it stands on the wire:",
        "各种组合及其在示例中的实际字节：",
    )
    rows: list[Sequence[Text]] = []
    for one in used:
        if one.form.encoding == "nibbles":
            rows.append(_packed_example(facts, one))
            continue
        value = get_first(one.sample.message, one.field.path)
        data = wire_bytes(facts, one)
        if one.form.type == "b" and not isinstance(value, bytes):
            value = data  # a number in a header
        shown = value.hex().upper() if isinstance(value, bytes) else str(value)
        rows.append(
            (
                joined(
                    [text for text in (format_words(one.form), _filling(one.form)) if text.en], "; ", "；"
                ),
                code(one.field.label),
                code(shown),
                code(data.hex(" ").upper()) if data else "",
            )
        )
    heads = (
        ("format", "格式"),
        ("example", "示例域"),
        ("value", "值"),
        ("bytes on the wire, with length prefix", "线路字节（含长度前缀）"),
    )
    page.table([Both(*head) for head in heads], rows)
    _values(page, facts)
    if any(one.form.prefix not in ("fixed", "element", "column", "rest") for one in used):
        _count_words(page)


def encoding_words(encoding: str, used: Sequence[Form]) -> Both:
    """Explain an encoding; of an odd number of digits only where this dialect has one."""
    words = ENCODINGS_LONG[encoding]
    mine = [form for form in used if form.encoding == encoding]
    if encoding not in PACKED or any(form.length % 2 or form.prefix != "fixed" for form in mine):
        return words
    return Both(words.en.partition(";")[0], words.zh.partition("；")[0])


def _packed_example(facts: Facts, one: Writing) -> tuple[Text, ...]:
    """Return the row of a field whose parts are packed as a whole, which have no bytes of their own."""
    path = one.field.path.rpartition(".")[0]
    whole = get_path(one.sample.message, path)
    digits = "".join(map(str, whole.values())) if isinstance(whole, dict) else ""
    data = facts.profile.codec.field_bytes(path, one.sample.message, True) or b""
    return format_words(one.form), facts.label(path), code(digits), code(data.hex(" ").upper())


def _values(page: Page, facts: Facts) -> None:
    """Show how amounts, dates, serials and the like are written, with a value of a sample for each way."""
    rows: dict[str, tuple[Both, str, str]] = {}
    for name, table in facts.profile.table.transactions.items():
        given = {**facts.profile.table.reply.give, **table.give}
        asked = [row for texts in table.take.values() for row in values_of(texts)]
        pairs = [("request", split_row(row)) for row in asked]
        pairs += [("approved", (path, split_row(text)[1])) for path, text in given.items()]
        for part, (path, transform) in pairs:
            sample, words = facts.sample(name, part), transform_words(transform)
            value = get_first(sample.message, path) if sample else None
            if words.en and isinstance(value, str) and transform not in rows:
                rows[transform] = (words, facts.label(path), code(value))
    page.say("Amounts, dates and the like are written so:", "金额、日期等按下列方式书写：")
    heads = ("how it is written", "写法"), ("example", "示例域"), ("value", "值")
    page.table([Both(*head) for head in heads], list(rows.values()))


def _filling(form: Form) -> Both:
    return (
        PADDINGS[form.padding]
        if form.prefix == "fixed" and form.padding == "none" and form.type != "b"
        else NOTHING
    )


def _count_words(page: Page) -> None:
    page.say(
        "A length prefix stands before its value and does not count itself. A fixed field always has its "
        "full length; a field with a length prefix has no filling, and its length in the tables is the "
        "greatest that is accepted.",
        "长度前缀位于值之前，不含其自身。定长域总是占满长度；带长度前缀的域不填充，"
        "表中长度为可接受的最大值。",
    )


def _used(facts: Facts) -> Iterator[Writing]:
    """Yield each combination that the samples use, once."""
    seen: set[tuple[str, str, str, str]] = set()
    for sample in facts.samples:
        present = {path for path, _ in leaves(sample.message)}
        for field in shape_of(facts, sample.message).everything():
            form = field.form
            if form is None or not form.type or field.path not in present:
                continue
            value = get_first(sample.message, field.path)
            key = (form.type, form.encoding, form.prefix, form.padding if form.prefix == "fixed" else "")
            if key not in seen and value not in ("", b"", None):
                seen.add(key)
                yield Writing(form, field, sample)


def wire_bytes(facts: Facts, one: Writing) -> bytes:
    """Return a field as it stands in its sample, with its prefix; empty where only the message says it."""
    printed = facts.spec.kind != "pairs"  # there a value is percent-encoded on the wire alone
    if printed and get_path(one.sample.message, one.field.path) is not None:
        try:
            return facts.profile.codec.field_bytes(one.field.path, one.sample.message, True) or b""
        except EncodeError:
            pass  # a part of a header, which has no bytes apart from it
    view = next((v for v in facts.profile.codec.describe(one.sample.body) if v.path == one.field.path), None)
    if view is None:
        return b""
    scale = 2 if facts.spec.carried == "hex" else 1  # the dump counts hex digits, and the message is meant
    body = bytes.fromhex(one.sample.body.decode("ascii")) if scale == 2 else one.sample.body
    return body[view.offset // scale : (view.offset + view.length) // scale]
