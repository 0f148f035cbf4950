"""What can be wrong with a profile's table `[outward]`, found before any daemon starts.  Pure."""

import re
from collections.abc import Iterator
from itertools import combinations

from frontends.mapping_checks import mapping_problems
from frontends.mapping_rows import meet, split_row, values_of
from frontends.mapping_tables import MappingTables, When
from frontends.outward_mapping import outward_tables, space_of
from frontends.outward_tables import REASONS, OutwardTable, OutwardTransactionTable
from frontends.profile_tables import BankTable
from frontends.results import NAMES
from qianzhi.runtime.problems import Problem
from qianzhi.wire.codec import Codec

SPACE = re.compile(r"[A-Za-z0-9_.-]{1,32}\Z")
SERIAL_DIGITS_MIN = 6  # of a day's charges, of all nodes together

# The reasons that a policy gives to its reversals.
POLICY_REASONS = {"on_timeout": ("timeout", "late", "bad_mac"), "on_late_approval": ("late",), "none": ()}

Finding = tuple[str, str, str]  # dotted key, found, expected


def outward_problems(
    bank: BankTable, tables: MappingTables, codec: Codec | None, file: str, name: str
) -> list[Problem]:
    """Return everything that is wrong with what we ask of this bank; `tables` are the line's."""
    rows = bank.outward
    if rows is None:
        return [] if bank.transactions else [_nothing_asked(file)]
    whole = outward_tables(rows, tables)
    found = mapping_problems(whole, codec, bank.limits.amount_fen_max, file)
    problems = [
        problem._replace(key=f"outward.{problem.key}")
        for problem in found
        if problem.key.startswith("transactions.")
    ]
    findings = [
        *_line_findings(bank),
        *_both_ways_findings(bank, rows),
        *_kind_findings(rows),
        *_policy_findings(rows),
        *_word_findings(bank, rows),
        *_serial_findings(bank, rows),
        *_space_findings(bank, rows, name),
        *_path_findings(rows, codec),
    ]
    return problems + [Problem(file, f"outward.{key}", was, wanted) for key, was, wanted in findings]


def _nothing_asked(file: str) -> Problem:
    return Problem(file, "transactions", "none", "what the bank asks of us, or a table [outward]")


def _line_findings(bank: BankTable) -> Iterator[Finding]:
    """Only a line that stands can carry what we begin, and only a MAC says that it is ours."""
    transport = bank.transport
    if transport.kind != "socket" or transport.connection != "long":
        found = f"a {transport.connection} {transport.kind}" if transport.kind == "socket" else transport.kind
        yield "policy", found, "transport.kind = 'socket' with connection = 'long': we begin messages"
    for title, rows in bank.outward.transactions.items() if bank.outward and bank.mac else ():
        if not any(_covers(when, rows.when) for when in bank.protection.required):
            expected = f"a row of protection.required that demands a MAC of outward.transactions.{title}"
            yield f"transactions.{title}.when", "no MAC", expected


def _covers(demand: When, when: When) -> bool:
    return all(path in when and set(values_of(when[path])) <= set(values_of(demand[path])) for path in demand)


def _both_ways_findings(bank: BankTable, rows: OutwardTable) -> Iterator[Finding]:
    """A message of ours that is sent back must not pass for one of the bank's: both have the same MAC."""
    for title, each in rows.transactions.items():
        for name, theirs in bank.transactions.items():
            if not _apart(each.when, theirs.when):
                yield (
                    f"transactions.{title}.when",
                    f"what transactions.{name}.when says too",
                    "another message",
                )


def _kind_findings(rows: OutwardTable) -> Iterator[Finding]:
    kinds = [each.kind for each in rows.transactions.values()]
    for kind in sorted({kind for kind in kinds if kinds.count(kind) > 1}):
        yield "transactions", f"{kind} twice", "each kind once"
    for kind in ("charge", "charge_refund"):
        if kind not in kinds:
            expected = f"a transaction of kind {kind!r}: what was charged and not credited is given back"
            yield "transactions", f"no {kind}", expected
    if (rows.policy == "none") == ("charge_reversal" in kinds):
        found = "a reversal" if rows.policy == "none" else "no charge_reversal"
        yield "transactions", found, f"what policy = {rows.policy!r} needs"
    for (first, one), (second, other) in combinations(rows.transactions.items(), 2):
        if not _disjoint(one, other):
            at = f"transactions.{second}.answered"
            yield at, f"what transactions.{first}.answered says too", "an answer that no other one is"


def _disjoint(one: OutwardTransactionTable, other: OutwardTransactionTable) -> bool:
    return _apart(one.answered, other.answered)


def _apart(one: When, other: When) -> bool:
    return any(not meet(values_of(one[path]), values_of(other[path])) for path in one.keys() & other.keys())


def _policy_findings(rows: OutwardTable) -> Iterator[Finding]:
    if rows.late_seconds < rows.answer_seconds:
        yield "late_seconds", str(rows.late_seconds), f"at least answer_seconds, {rows.answer_seconds:g}"
    takes_reason = any("reason" in each.take for each in rows.transactions.values())
    for reason in POLICY_REASONS[rows.policy] if takes_reason else ():
        if reason not in rows.reasons:
            yield f"reasons.{reason}", "missing", "the dialect's code for this reason of a reversal"


def _word_findings(bank: BankTable, rows: OutwardTable) -> Iterator[Finding]:
    for reason in rows.reasons:
        if reason not in REASONS:
            yield f"reasons.{reason}", "no reason that we can have", f"one of {', '.join(REASONS)}"
    known = set(bank.results.codes.values())
    for code, result in rows.codes.items():
        if result not in NAMES:
            yield f"codes.{code}", repr(result), f"one of {', '.join(NAMES)}"
        if code in known:
            yield f"codes.{code}", "a code that results.codes explains", "another code"


def _serial_findings(bank: BankTable, rows: OutwardTable) -> Iterator[Finding]:
    """A node gives serials out by number, so they are digits of one width everywhere."""
    charge = next((each for each in rows.transactions.values() if each.kind == "charge"), None)
    if charge is None:
        return
    wanted = _width({**bank.request.take, **charge.take}.get("serial", []))
    if wanted < SERIAL_DIGITS_MIN:
        yield "transactions", f"serials of {wanted} digits", f"{SERIAL_DIGITS_MIN} digits or more"
    for title, each in rows.transactions.items():
        take = {**bank.request.take, **each.take}
        for field in ("serial", "own_serial"):
            if field in take and _width(take[field]) != wanted:
                expected = f"{wanted} digits, as the serial of a charge has"
                yield f"transactions.{title}.take.{field}", repr(take[field]), expected


def _width(row: str | list[str]) -> int:
    """Return how many digits a serial has, 0 where it is not made of digits of fixed width."""
    parts = [split_row(text)[1].partition(":") for text in values_of(row)]
    fixed = all(name == "digits" and width.isdigit() for name, _, width in parts)
    return sum(int(width) for _, _, width in parts) if fixed else 0


def _space_findings(bank: BankTable, rows: OutwardTable, name: str) -> Iterator[Finding]:
    space = space_of(name, rows)
    if not SPACE.match(space):
        yield "space", repr(space), "letters, digits and _ . -, 32 at most"
    if space == (bank.space or name):
        yield "space", repr(space), "another space than that of the bank's own serials"


def _path_findings(rows: OutwardTable, codec: Codec | None) -> Iterator[Finding]:
    known = codec.paths() if codec is not None else set()
    wholes = [("set", dict(rows.set))]
    for title, each in rows.transactions.items():
        wholes += [(f"transactions.{title}.again", dict(each.again))]
        wholes += [(f"transactions.{title}.answered", dict.fromkeys(each.answered, ""))]
    for key, whole in wholes if codec is not None else []:
        for path in whole:
            if path not in known:
                yield f"{key}.{path}", f"the path {path!r}", "a path of the message spec"
