"""What can be wrong with a profile's mapping, found before any daemon starts: rows, paths, widths, overlaps.

Pure; every finding is a `Problem` with the dotted key of the row that is to blame.
"""

from collections.abc import Iterator, Mapping
from itertools import combinations

from frontends.mapping_rows import ANYTHING, meet, split_row, values_of
from frontends.mapping_tables import MappingTables, When
from frontends.transforms import transform_of
from qianzhi.runtime.problems import Problem
from qianzhi.wire.codec import Codec

TEXTS = frozenset({"text", "digits", "word", "zeros_left", "spaces_right"})
AMOUNTS = frozenset({"fen", "fen_bare", "yuan"})
NUMBERS = frozenset({"number", "number_bare"})
DATES = frozenset({"mmdd", "date8", "date6", "date_head"})
TAKEN = {  # field of the domain's request: transforms that can read it
    "serial": TEXTS,
    "own_serial": TEXTS,
    "phone": TEXTS,
    "bill": TEXTS,
    "bank_number": TEXTS,
    "date": DATES,
    "amount_fen": AMOUNTS,
    "repeat": frozenset({"flag"}),
    "count": NUMBERS,
    "reversed_count": NUMBERS,
    "reversed_fen": AMOUNTS,
    "stamp_us": frozenset({"stamp"}),
    "reason": TEXTS,
}
SHOWN = TEXTS | {"tail", "head"}
GIVEN = {  # source of an answer's row: transforms that can write it
    "order": SHOWN,
    "name": SHOWN,
    "result_text": SHOWN,
    "amount_fen": AMOUNTS,
    "balance_fen": AMOUNTS | {"balance"},
    "count": NUMBERS,
    "reversed_count": NUMBERS,
    "reversed_fen": AMOUNTS,
    "bills": frozenset({"count"}),
    "now": frozenset({"clock"}),
    "request.date": DATES | {"date_mmdd"},
    "request.serial": SHOWN,
    "request.own_serial": SHOWN,
    "request.phone": SHOWN,
    "request.bill": SHOWN,
    "request.bank_number": SHOWN,
    "request.amount_fen": AMOUNTS,
    "request.count": NUMBERS,
    "request.reversed_count": NUMBERS,
    "request.reversed_fen": AMOUNTS,
}
BILL_COLUMNS = {
    "serial": TEXTS,
    "month": NUMBERS,
    "principal_fen": AMOUNTS,
    "late_fee_fen": AMOUNTS,
}
DEMANDS = {
    "owed": {"serial", "phone"},
    "recharge": {"serial", "phone", "amount_fen"},
    "pay": {"serial", "phone", "amount_fen", "bill"},
    "status": {"serial"},
    "reversal": {"serial"},
    "void": {"serial"},
    "totals": {"serial", "date", "count", "amount_fen"},
    "charge": {"serial", "date", "phone", "amount_fen"},
    "charge_reversal": {"serial", "date", "amount_fen"},
    "charge_refund": {"serial", "date", "amount_fen"},
    "advice": {"serial", "date"},
}
# What is about an original.
ABOUT = frozenset({"status", "reversal", "void", "charge_reversal", "charge_refund", "advice"})

# Of what we ask a bank alone: with a reason a reversal would pass for our own, and no fence would hold it.
OURS = frozenset({"stamp_us", "reason"})
OUR_KINDS = frozenset({"charge", "charge_reversal", "charge_refund", "advice"})

ORDER_CHARS = 12  # a work order's number, as the core makes it

Finding = tuple[str, str, str]  # dotted key, found, expected
Wholes = list[tuple[str, Mapping[str, str | list[str]]]]  # dotted key of a table, the table


def mapping_problems(
    tables: MappingTables, codec: Codec | None, amount_fen_max: int, file: str
) -> list[Problem]:
    """Return everything that is wrong with the tables; without a codec paths and widths are not looked at."""
    findings = list(_row_findings(tables))
    findings += _transaction_findings(tables)
    findings += _overlap_findings(tables)
    findings += _stamp_findings(tables)
    if codec is not None:
        findings += _path_findings(tables, codec.paths())
        findings += _width_findings(tables, codec, amount_fen_max)
    return [Problem(file, *finding) for finding in findings]


def rows_of(tables: MappingTables) -> Iterator[tuple[str, str, str, str]]:
    """Yield (dotted key, domain field or source or empty, path, transform) of every row of a profile."""
    yield from _taken("request.take", tables.request.take)
    yield "request.serial", "own_serial", *split_row(tables.request.serial)
    for path, text in tables.request.stamp.items():
        source, transform = split_row(text)
        yield f"request.stamp.{path}", source, path, transform
    for path, text in tables.reply.copy.items():
        yield f"reply.copy.{path}", "", *split_row(text)
    for index, text in enumerate(tables.match.keys):
        yield f"match.keys.{index}", "", *split_row(text)
    yield from _given("reply.give", tables.reply.give)
    for name, rows in tables.transactions.items():
        yield from _taken(f"transactions.{name}.take", rows.take)
        yield from _given(f"transactions.{name}.give", rows.give)
    for name, line in tables.management.items():
        if line.date:
            yield f"management.{name}.date", "date", *split_row(line.date)


def _taken(at: str, take: dict[str, str | list[str]]) -> Iterator[tuple[str, str, str, str]]:
    for field, texts in take.items():
        for text in values_of(texts):
            yield f"{at}.{field}", field, *split_row(text)


def _given(at: str, give: dict[str, str]) -> Iterator[tuple[str, str, str, str]]:
    for path, text in give.items():
        source, transform = split_row(text)
        yield f"{at}.{path}", source, path, transform


def _row_findings(tables: MappingTables) -> Iterator[Finding]:
    """Unknown transforms, unknown fields and sources, transforms that cannot carry their field."""
    for key, field, _, transform in rows_of(tables):
        read = ".take." in key or key == "request.serial" or key.startswith("management.")
        allowed = {**GIVEN, **TAKEN} if read else GIVEN
        if not field:
            allowed = {}
        elif field not in allowed:
            yield key, repr(field), f"one of {', '.join(allowed)}"
            continue
        yield from _transform_findings(key, transform, allowed.get(field))
    if tables.bills:
        for name, text in tables.bills.columns.items():
            source, transform = split_row(text)
            yield from _transform_findings(
                f"bills.columns.{name}", transform, BILL_COLUMNS.get(source, frozenset())
            )
        missing = set(BILL_COLUMNS) - {split_row(text)[0] for text in tables.bills.columns.values()}
        for source in sorted(missing):
            yield "bills.columns", f"no column for {source}", "a column for every field of a bill"


def _transform_findings(key: str, text: str, allowed: frozenset[str] | None) -> Iterator[Finding]:
    try:
        transform_of(text)
    except ValueError as error:
        yield key, repr(text), str(error)
        return
    if allowed is not None and text.partition(":")[0] not in allowed:
        yield key, repr(text), f"one of {', '.join(sorted(allowed)) or 'no rows of this name'}"


def _transaction_findings(tables: MappingTables) -> Iterator[Finding]:
    """Fields that a kind cannot do without; fields that are no fields; empty `when`."""
    for name, rows in tables.transactions.items():
        at = f"transactions.{name}"
        taken = {**tables.request.take, **rows.take}
        for field in sorted(set(taken) - set(TAKEN)):
            yield f"{at}.take.{field}", "no field of a request", f"one of {', '.join(TAKEN)}"
        for field in sorted(OURS & set(taken)) if rows.kind not in OUR_KINDS else ():
            yield f"{at}.take.{field}", "ours alone", "nothing: a bank's message does not say it"
        for field, texts in taken.items():
            if field != "serial" and not isinstance(texts, str):
                yield f"{at}.take.{field}", "a list", "one row; only a serial is joined from several"
        for field in sorted(DEMANDS[rows.kind] - set(taken)):
            yield f"{at}.take", f"no {field}", f"a row for {field}, which this kind needs"
        yield from _serial_findings(name, taken)
        if rows.kind in ABOUT and "own_serial" not in taken:
            yield f"{at}.take", "no own_serial", "a row for the message's own serial beside its original's"
        if not rows.when:
            yield f"{at}.when", "an empty table", "what the message says to be this transaction"
        for path, wanted in rows.when.items():
            if not values_of(wanted):
                yield f"{at}.when.{path}", "an empty list", "at least one value"
        if rows.kind == "owed" and tables.bills is None:
            yield "bills", "missing", "how the bills of an owed answer are listed"


def _overlap_findings(tables: MappingTables) -> Iterator[Finding]:
    """Two names that one message could have at once."""
    whens = [(f"transactions.{name}", rows.when) for name, rows in tables.transactions.items()]
    whens += [(f"management.{name}", rows.when) for name, rows in tables.management.items()]
    whens += [("match.answer", tables.match.answer)]
    for (first, one), (second, other) in combinations(whens, 2):
        if not _disjoint(one, other):
            where = f"{second}.when" if not second.startswith("match") else second
            yield where, f"what {first} says too", "a value that no other message has"


def _disjoint(one: When, other: When) -> bool:
    return any(not meet(values_of(one[path]), values_of(other[path])) for path in one.keys() & other.keys())


def _stamp_findings(tables: MappingTables) -> Iterator[Finding]:
    for name, rows in tables.management.items():
        for path in rows.stamp:
            if path not in tables.request.stamp:
                yield (
                    f"management.{name}.stamp",
                    repr(path),
                    f"one of {', '.join(tables.request.stamp) or 'none'}",
                )


def _path_findings(tables: MappingTables, known: set[str]) -> Iterator[Finding]:
    for key, path in paths_of(tables):
        if path not in known:
            yield key, f"the path {path!r}", "a path of the message spec"


def paths_of(tables: MappingTables) -> Iterator[tuple[str, str]]:
    """Yield (dotted key, path) of every path that a profile names."""
    for key, _, path, _ in rows_of(tables):
        yield key, path
    yield "reply.result", tables.reply.result
    lists = [("request.need", tables.request.need), ("reply.echo", tables.reply.echo)]
    wholes: Wholes = [
        ("request.set", tables.request.set),
        ("reply.set", tables.reply.set),
        ("reply.copy", tables.reply.copy),
        ("match.answer", tables.match.answer),
        ("match.rejected", tables.match.rejected),
    ]
    for name, rows in tables.transactions.items():
        wholes += _named(f"transactions.{name}", when=rows.when, answer=rows.answer, set=rows.set)
        lists.append((f"transactions.{name}.need", [need.partition("=")[0] for need in rows.need]))
    for name, line in tables.management.items():
        wholes += _named(f"management.{name}", when=line.when, ours=line.ours, theirs=line.theirs)
        lists.append((f"management.{name}.need", line.need))
    for key, paths in [*lists, *((key, list(whole)) for key, whole in wholes)]:
        for path in paths:
            yield f"{key}.{path}", path
    if tables.bills:
        yield "bills.path", tables.bills.path
        for name in tables.bills.columns:
            yield f"bills.columns.{name}", f"{tables.bills.path}.{name}"


def _named(at: str, **wholes: Mapping[str, str | list[str]]) -> Wholes:
    return [(f"{at}.{name}", whole) for name, whole in wholes.items()]


def _width_findings(tables: MappingTables, codec: Codec, amount_fen_max: int) -> Iterator[Finding]:
    """Fields too narrow for what is written into them, amounts too wide for their digits, cut serials."""
    known = codec.paths()
    for key, field, path, text in _written_rows(tables):
        if path not in known:
            continue
        room = codec.width(path) or 0
        try:
            wanted = transform_of(text).width
        except ValueError:
            continue  # said already
        if field == "order" and not wanted:
            wanted = ORDER_CHARS
        if room and wanted > room:
            yield key, f"{wanted} characters for {path}, which has {room}", "a field that is wide enough"
        longest = len(str(amount_fen_max)) + text.startswith("yuan")
        if field.endswith("amount_fen") and 0 < wanted < longest:
            yield key, f"{wanted} digits", f"{longest} digits, for limits.amount_fen_max"
    for key, path, value in _constants(tables):
        room = (codec.width(path) or 0) if path in known else 0
        if room and len(value) > room:
            yield key, f"{len(value)} characters for {path}, which has {room}", "a value that fits"


def _written_rows(tables: MappingTables) -> Iterator[tuple[str, str, str, str]]:
    yield from (row for row in rows_of(tables) if not row[0].startswith(("reply.copy", "match.keys")))
    if tables.bills:
        for name, text in tables.bills.columns.items():
            source, transform = split_row(text)
            yield f"bills.columns.{name}", source, f"{tables.bills.path}.{name}", transform


def _constants(tables: MappingTables) -> Iterator[tuple[str, str, str]]:
    """Yield (dotted key, path, value) of every constant that is written."""
    wholes: Wholes = _named("request", set=tables.request.set) + _named("reply", set=tables.reply.set)
    for name, rows in tables.transactions.items():
        wholes += _named(f"transactions.{name}", when=rows.when, answer=rows.answer, set=rows.set)
    for name, line in tables.management.items():
        wholes += _named(f"management.{name}", when=line.when, ours=line.ours, theirs=line.theirs)
    for key, whole in wholes:
        for path, wanted in whole.items():
            yield from ((f"{key}.{path}", path, value) for value in values_of(wanted) if value != ANYTHING)


def _serial_findings(name: str, take: dict[str, str | list[str]]) -> Iterator[Finding]:
    parts = values_of(take.get("serial", []))
    for text in parts if len(parts) > 1 else []:
        if not split_row(text)[1].startswith("digits:"):
            yield (
                f"transactions.{name}.take.serial",
                repr(text),
                "parts of fixed widths, such as stan|digits:6",
            )
