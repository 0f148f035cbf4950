"""The chain against the tables: what acts and operators are must be what the chain says that they became.

Pure.  The chain alone cannot be changed unnoticed; with this, neither can the rows that it tells of.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from crm_bridge.operators.acts import Act, ActState
from crm_bridge.operators.chain import Entry, Fault, canonical
from crm_bridge.operators.people import OperatorState

_STATES = {
    "act proposed": ActState.PENDING,
    "act approved": ActState.APPROVED,
    "act refused": ActState.REFUSED,
    "act withdrawn": ActState.WITHDRAWN,
    "act expired": ActState.EXPIRED,
    "act done": ActState.DONE,
}
_PEOPLE = {
    "operator enlisted": OperatorState.ACTIVE,
    "operator added": OperatorState.ACTIVE,
    "password changed": OperatorState.ACTIVE,
    "password reset": OperatorState.ACTIVE,
    "operator retired": OperatorState.RETIRED,
}
LASTING = frozenset({OperatorState.ACTIVE, OperatorState.RETIRED})


class Told(NamedTuple):
    """What the chain tells of an act: all of it that a row must repeat."""

    state: ActState
    maker: str
    checker: str
    kind: str
    subject: str
    arguments: str
    result: str


class Person(NamedTuple):
    """What the chain tells of an operator: the state, and the mark of the password's hash."""

    state: OperatorState
    mark: str


def compare(entries: Iterable[Entry], acts: Iterable[Act], people: Mapping[str, Person]) -> list[Fault]:
    """Return where acts and operators are not as an unbroken chain tells; `people` are by the rows."""
    told: dict[int, Told] = {}
    known: dict[str, Person] = {}
    faults: list[Fault] = []
    for entry in entries:
        faults += _read(entry, told, known)
    faults += _acts(told, {act.id: act for act in acts})
    faults += _people(known, people)
    return faults


def _read(entry: Entry, told: dict[int, Told], known: dict[str, Person]) -> Iterator[Fault]:
    facts = entry.facts
    if entry.note and (entry.what in _PEOPLE or entry.what in _STATES):
        yield Fault(entry.number, f"a note that reads as an operator's doing: {entry.what}")
        return
    if entry.what in _PEOPLE:
        known[str(facts.get("name"))] = Person(_PEOPLE[entry.what], str(facts.get("mark")))
    state = _STATES.get(entry.what)
    if state is None:
        return
    if state is ActState.PENDING:
        arguments = canonical(facts.get("arguments"))
        kind, subject = str(facts.get("kind")), str(facts.get("subject"))
        told[entry.act] = Told(state, entry.who, "", kind, subject, arguments, "")
        return
    before = told.get(entry.act)
    if before is None:
        yield Fault(entry.number, f"act {entry.act} was never proposed")
        return
    decides = state in (ActState.APPROVED, ActState.REFUSED)
    checker = entry.who if decides else before.checker
    if decides and checker == before.maker:
        yield Fault(entry.number, f"act {entry.act} was decided by {checker}, who had proposed it")
    told[entry.act] = before._replace(state=state, checker=checker, result=str(facts.get("result", "")))


def _acts(told: Mapping[int, Told], rows: Mapping[int, Act]) -> Iterator[Fault]:
    for number in sorted(told.keys() | rows.keys()):
        row = rows.get(number)
        if row is None:
            yield Fault(0, f"act {number} is in the chain and not in the table")
            continue
        found = Told(
            row.state, row.maker, row.checker, row.kind.value, row.subject, row.arguments, row.result
        )
        if number not in told:
            yield Fault(0, f"act {number} is in the table and not in the chain")
        elif found != told[number]:
            names = [name for name in Told._fields if getattr(found, name) != getattr(told[number], name)]
            yield Fault(0, f"act {number} is not as the chain tells it: {', '.join(names)}")


def _people(known: Mapping[str, Person], rows: Mapping[str, Person]) -> Iterator[Fault]:
    lasting = {name: row for name, row in rows.items() if row.state in LASTING}
    for name in sorted(known.keys() | lasting.keys()):
        if name not in lasting:
            yield Fault(0, f"operator {name} is in the chain and not in the table")
        elif name not in known:
            yield Fault(0, f"operator {name} is in the table and not in the chain")
        elif lasting[name] != known[name]:
            yield Fault(
                0, f"operator {name} is not as the chain tells: state or password was changed beside it"
            )
