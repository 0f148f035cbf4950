"""The rows of a message's table: each field in the order of the wire, whether it must be there, and what
stands in it.

What is known of a path comes from the profile's tables, one small reader for each of them; the order and
the form come from the spec; which further parts there are, from the sample.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

from frontends.mapping_rows import split_row, values_of
from frontends.mapping_tables import ManagementTable, TransactionTable
from qianzhi.cli.document.facts import Facts
from qianzhi.cli.document.holding import layout_words
from qianzhi.cli.document.line_samples import delivery_spec
from qianzhi.cli.document.page import NOTHING, Both, as_both, code, joined
from qianzhi.cli.document.samples import Sample
from qianzhi.cli.document.specs import Field, Shape
from qianzhi.cli.document.words import (
    BILL_COLUMNS,
    COMPARED,
    GIVEN,
    GIVEN_WITH_APPROVAL,
    ORIGINALS,
    OUR_TOTAL,
    OWED_TOTAL,
    TAKEN,
    transform_words,
)
from qianzhi.domain.requests import Kind
from qianzhi.wire.codec import Message, get_path

MEANT = {Kind.STATUS: ORIGINALS, Kind.REVERSAL: ORIGINALS, Kind.VOID: ORIGINALS, Kind.TOTALS: COMPARED}
DEMANDED = {
    Kind.OWED: {"serial", "date", "phone"},
    Kind.RECHARGE: {"serial", "date", "phone", "amount_fen"},
    Kind.PAY: {"serial", "date", "phone", "amount_fen", "bill"},
    Kind.STATUS: {"serial", "date"},
    Kind.REVERSAL: {"serial", "date"},
    Kind.VOID: {"serial", "date"},
}


class Known(NamedTuple):
    """What the profile says of one path: M, K, O in a request; A, E, G, P, W in an answer; and what stands
    there.
    """

    presence: str
    content: Both


class Row(NamedTuple):
    """One line of a message's table."""

    field: Field
    presence: str
    content: Both


Book = dict[str, Known]


def request_rows(facts: Facts, name: str) -> list[Row]:
    """Return the rows of a transaction's request."""
    rows, table = facts.profile.table.transactions[name], facts.profile.table
    known: Book = {}
    _constants(known, {**table.request.set, **rows.set}, "K")
    for path, text in table.request.stamp.items():
        known[path] = Known("K", _time_words(text))
    _wanted(known, rows)
    kind = Kind[rows.kind.upper()]
    demanded = DEMANDED.get(kind, {"serial", "date"})
    for field, texts in {**table.request.take, **rows.take}.items():
        words = MEANT.get(kind, {}).get(field, TAKEN.get(field, NOTHING))
        for text in values_of(texts):
            path, transform = split_row(text)
            also = _written_words(table.request.stamp.get(path, ""), transform)
            numbers = _numbers(facts, field, rows)
            content = joined([words, transform_words(transform), *also, *numbers], "; ", "；")
            known[path] = Known("M" if field in demanded else "O", _trim(content))
    _needs(known, [*table.request.need, *rows.need], {**table.request.set, **rows.set})
    return _in_order(facts, facts.sample(name, "request"), known)


def _written_words(stamp: str, transform: str) -> list[Both]:
    """Say what else stands in a time stamp whose head is the business date."""
    kind, _, width = transform.partition(":")
    if not stamp or width in ("", {"mmdd": "4", "date_head": "8"}.get(kind, width)):
        return []
    return [transform_words(split_row(stamp)[1])]


def answer_rows(facts: Facts, name: str) -> list[Row]:
    """Return the rows of a transaction's approved answer."""
    rows = facts.profile.table.transactions[name]
    known = _answer_book(facts)
    _constants(known, {**rows.answer, **facts.profile.table.reply.set}, "G")
    _constants(known, {path: value for path, value in facts.profile.table.reply.set.items()
                       if rows.answer.get(path, value) == value}, "A")  # fmt: skip
    for path, text in {**facts.profile.table.reply.give, **rows.give}.items():
        source, transform = split_row(text)
        known[path] = Known(_given_presence(source), _given_words(source, transform, rows.kind))
        if transform.startswith("balance:"):
            constants = dict(zip(BALANCE_PARTS, transform.partition(":")[2].split(","), strict=True))
            _constants(known, {f"{path}.{part}": value for part, value in constants.items()}, "P")
            known |= {f"{path}.{part}": Known("P", words) for part, words in BALANCE_WORDS.items()}
    bills = facts.profile.table.bills
    if bills is not None and Kind[rows.kind.upper()] is Kind.OWED:
        listed = Both(
            f"the bills, oldest first, at most {bills.max}", f"账单列表，旧账在前，最多 {bills.max} 笔"
        )
        known[bills.path] = Known("P", listed)
        for column, text in bills.columns.items():
            source, transform = split_row(text)
            words = _trim(joined([BILL_COLUMNS.get(source, NOTHING), transform_words(transform)], "; ", "；"))
            known[f"{bills.path}.{column}"] = Known("P", words)
    refusal = facts.sample(name, "refusal")
    for path, row in list(known.items()):
        if row.content == RESULT_WORDS or row.presence not in "PW" or refusal is None:
            continue
        if get_path(refusal.message, path) is not None:
            known[path] = Known("G", row.content)  # a refusal has it too
    _forget_echoes(
        known, facts.sample(name, "approved"), {row.field.path for row in request_rows(facts, name)}
    )
    return _in_order(facts, facts.sample(name, "approved"), known)


def management_rows(facts: Facts, name: str, sample: Sample) -> list[Row]:
    """Return the rows of a message about the line as its sender writes it."""
    rows: ManagementTable = facts.profile.table.management[name]
    known: Book = {}
    _constants(known, rows.ours if sample.ours else rows.theirs, "K")
    for path in rows.stamp:
        known[path] = Known("K", _time_words(facts.profile.table.request.stamp[path]))
    _wanted(known, rows)
    if rows.date:
        path, transform = split_row(rows.date)
        begins = Both("business date that begins", "新的营业日期")
        known[path] = Known("M", _trim(joined([begins, transform_words(transform)], "; ", "；")))
    path, transform = split_row(facts.profile.table.request.serial)
    serial = _trim(joined([TAKEN["own_serial"], transform_words(transform)], "; ", "；"))
    known[path] = Known("M", serial)
    _needs(known, rows.need, rows.theirs)
    return _in_order(facts, sample, known)


def management_answer_rows(facts: Facts, sample: Sample) -> list[Row]:
    """Return the rows of the answer to a message about the line."""
    known = _answer_book(facts)
    for path in facts.profile.table.reply.give:
        known.pop(path, None)  # only requests of business are given anything
    spec = delivery_spec(facts.profile)
    if sample.ours and facts.profile.session.keys == "ours":
        for path in (spec.mac_key, spec.mac_check, spec.pin_key, spec.pin_check):
            known[path] = Known("P", Both("see 5.1", "见第 5.1 节"))
    _forget_echoes(known, sample, set())
    return _in_order(facts, sample, known)


def leaves(message: Message, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield path and value of everything in a message that holds nothing else; entries of a list have one
    path.
    """
    for name, value in message.items():
        inner = f"{path}.{name}" if path else name
        if isinstance(value, dict):
            yield from leaves(value, inner)
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            yield inner, value
            yield from leaves(value[0], inner)
        else:
            yield inner, value


def get_first(message: Message, path: str) -> Any:
    """Return the value at a path, of a list the first entry's."""
    value: Any = message
    for step in path.split("."):
        if isinstance(value, list):
            value = value[0] if value else None
        value = value.get(step) if isinstance(value, dict) else None
    return value


def shape_of(facts: Facts, message: Message) -> Shape:
    """Return the shape that a message has; the first one where none says when it is it."""
    for shape in facts.spec.shapes:
        if all(_fits(get_path(message, path), wanted) for path, wanted in shape.when.items()):
            return shape
    return facts.spec.shapes[0]


def _fits(value: Any, wanted: str | list[str]) -> bool:
    text = str(value or "").strip()
    return any(bool(text) if want == "*" else text == want for want in values_of(wanted))


# What the profile's tables say


def _constants(known: Book, constants: dict[str, str], presence: str) -> None:
    for path, value in constants.items():
        known[path] = Known(presence, _constant(value))


def _constant(value: str) -> Both:
    return Both(f"always {code(value)}", f"固定为 {code(value)}")


def _wanted(known: Book, rows: TransactionTable | ManagementTable) -> None:
    for path, wanted in rows.when.items():
        values = [value for value in values_of(wanted) if value not in ("", "*")]
        if values:
            known[path] = Known("M", _constant("` / `".join(values)))
        else:
            anything = values_of(wanted) == ["*"]
            known[path] = (
                Known("M", Both("any value", "任意值")) if anything else Known("–", Both("blank", "空"))
            )


def _needs(known: Book, needs: list[str], samples: dict[str, str]) -> None:
    """Mark what must be there; of a value that a sample has, and nothing more is asked of it, say so."""
    for need in needs:
        path, _, value = need.partition("=")
        before = known.get(path, Known("", NOTHING)).content
        if path in samples and before == _constant(samples[path]):
            shown = code(samples[path])
            before = Both(f"{shown} in the samples; any value is taken", f"示例中为 {shown}，不校验取值")
        known[path] = Known("M", _constant(value) if value else before)


def _time_words(text: str) -> Both:
    return _trim(
        joined([Both("time of sending", "发送时间"), transform_words(split_row(text)[1])], "; ", "；")
    )


def _numbers(facts: Facts, field: str, rows: TransactionTable) -> list[Both]:
    if field != "bank_number":
        return []
    return [as_both(" / ".join(code(number) for number in rows.numbers or facts.profile.numbers))]


def _answer_book(facts: Facts) -> Book:
    reply = facts.profile.table.reply
    known: Book = {path: Known("E", Both("as in the request", "与请求相同")) for path in reply.echo}
    for path, text in reply.copy.items():
        source, transform = split_row(text)
        of = Both(f"from {facts.label(source)} of the request", f"取自请求的 {facts.label(source)}")
        known[path] = Known("E", _trim(joined([of, transform_words(transform)], "; ", "；")))
    _constants(known, reply.set, "A")
    for path, text in reply.give.items():
        source, transform = split_row(text)
        known[path] = Known(_given_presence(source), _given_words(source, transform))
    known[reply.result] = Known("A", Both("result code, see the table of result codes", "返回码，见返回码表"))
    return known


def _forget_echoes(known: Book, sample: Sample | None, asked: set[str]) -> None:
    """Forget what this answer can never bring back, since its request does not carry it."""
    present = {path for path, _ in leaves(sample.message)} if sample else set()
    for path in [path for path, row in known.items() if row.presence == "E"]:
        here = {path} | {one for one in present if one.startswith(f"{path}.")}
        if not here & (present | asked):
            del known[path]


def _given_presence(source: str) -> str:
    if source in GIVEN_WITH_APPROVAL:
        return "P"
    return "G" if source == "now" or source.startswith("request.") else "W"


BALANCE_PARTS = ("account_type", "amount_type", "currency")
BALANCE_WORDS = {
    "sign": Both("`C`, or `D` for a debt", "`C`，欠款为 `D`"),
    "amount": Both("in fen, 12 digits with leading zeros", "以分为单位，12 位，左补 0"),
}
RESULT_WORDS = GIVEN["result_text"]
ARREARS = Both("no value in arrears", "欠费时无值")


def _given_words(source: str, transform: str, kind: str = "") -> Both:
    field = source.removeprefix("request.")
    words = TAKEN.get(field, NOTHING) if source != field else GIVEN.get(source, NOTHING)
    if kind == "totals" and source == "amount_fen":
        words = OUR_TOTAL
    if kind == "owed" and source == "amount_fen":
        words = OWED_TOTAL
    if source == "balance_fen" and transform.partition(":")[0] in ("fen_bare", "yuan"):
        words = joined([words, ARREARS], "; ", "；")
    if source != field:
        words = Both(f"{words.en}, as in the request", f"{words.zh}，与请求相同")
    return _trim(joined([words, transform_words(transform)], "; ", "；"))


def _trim(text: Both) -> Both:
    """Take away separators that nothing stands between."""
    return Both(
        "; ".join(part for part in text.en.split("; ") if part),
        "；".join(part for part in text.zh.split("；") if part),
    )


# Putting them in order


def _in_order(facts: Facts, sample: Sample | None, known: Book) -> list[Row]:
    """Return a row for every field that is known or stands in the sample, with what holds them, in wire
    order.
    """
    message = sample.message if sample else {}
    profile = facts.profile
    if profile.mac is not None and get_path(message, profile.mac.field) is not None:
        known[profile.mac.field] = Known(
            "M" if sample and not sample.ours else "A", Both("the MAC", "报文鉴别码")
        )
    present = set(known) | {path for path, _ in leaves(message)}
    whole = facts.spec.kind in ("fixed", "delimited")
    rows = []
    for field in shape_of(facts, message).everything():
        if field.path.startswith("header.") and facts.spec.kind == "iso8583":
            continue  # said once, where the header is drawn
        holds = any(path.startswith(f"{field.path}.") for path in present)
        inherited = next((known[parent] for parent in _parents(field.path) if parent in known), None)
        if field.path in known:
            rows.append(_row(field, known[field.path], sample))
        elif field.path in present and inherited is not None and inherited.presence == "E":
            rows.append(Row(field, *inherited))
        elif field.path in present and inherited is not None and inherited.presence == "P":
            rows.append(Row(field, "P", _structure(field, message)))
        elif field.path in present or field.computed or field.path in STRUCTURE:
            rows.append(Row(field, "M" if sample and not sample.ours else "A", _structure(field, message)))
        elif holds:
            rows.append(Row(field, "", layout_words(field)))
        elif whole and field.entries_max == 0 and "." not in field.path.removeprefix("body."):
            rows.append(Row(field, "–", Both("not used here: blank", "此处不用，填空")))
    return rows


STRUCTURE = frozenset({"bitmap"})


def _row(field: Field, known: Known, sample: Sample | None) -> Row:
    """Return the row of a known field; what only we write is always there, and a holder says how it holds."""
    presence = "A" if sample is not None and sample.ours and known.presence in "MK" else known.presence
    words = joined([text for text in (known.content, layout_words(field)) if text.en], "; ", "；")
    return Row(field, presence, words)


def _parents(path: str) -> list[str]:
    steps = path.split(".")
    return [".".join(steps[:size]) for size in range(len(steps) - 1, 0, -1)]


def _structure(field: Field, message: Message) -> Both:
    """Say what stands in a part that no table of the profile speaks of: what it is for, or what the
    sample has.
    """
    known = STRUCTURE_WORDS.get(field.computed or field.path)
    if known is not None:
        return known
    value = get_first(message, field.path)
    if value is None or isinstance(value, (list, dict)):
        return NOTHING
    shown = value.hex().upper() if isinstance(value, bytes) else str(value)
    if not shown.strip():
        return Both("blank here", "此处为空")
    return Both(f"{code(shown)} in the sample", f"示例中为 {code(shown)}")


STRUCTURE_WORDS = {
    "bitmap": Both("which fields follow", "表明后续各域是否出现"),
    "total_bytes": Both("bytes of the whole message", "整个报文的字节数"),
    "body_bytes": Both("bytes of the body", "报文体字节数"),
}
