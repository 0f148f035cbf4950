"""Operators, acts and the audit chain in the core's database, SQLite or PostgreSQL.

Each transaction has the tables to itself: SQLite's has the whole database, PostgreSQL's takes a lock first.
It is short, and never open while a password is compared.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from sqlalchemy import Connection, text

from crm_bridge.database.store import commit, fetch, open_engine, reading, translated
from crm_bridge.operators.acts import Act, ActKind, ActState
from crm_bridge.operators.chain import Entry, Fault, Head, verify
from crm_bridge.operators.desk import Book, Changes
from crm_bridge.operators.people import Operator, OperatorState, mark_of
from crm_bridge.operators.proof import Person, compare

_LOCK = "SELECT pg_advisory_xact_lock(28528, 1)"
_OPERATOR = "name, password, state, made_us, failures, locked_until_us, reset"
_ACT = (
    "id, kind, subject, arguments, reason, maker, made_us, expires_us, state, coalesce(checker, ''), "
    "decided_us, coalesce(result, ''), detail, ended_us"
)
_ENTRY = "number, at_us, who, what, act, detail, note, previous, hash"
_PUT_OPERATOR = f"""INSERT INTO operators ({_OPERATOR}) VALUES (:name, :password, :state, :made_us, :failures,
    :locked_until_us, :reset) ON CONFLICT (name) DO UPDATE SET password = excluded.password, state =
    excluded.state, failures = excluded.failures, locked_until_us = excluded.locked_until_us, reset =
    excluded.reset"""  # noqa: S608 - names of our own columns
_ADD_ACT = """INSERT INTO operator_acts (id, kind, subject, arguments, reason, maker, made_us, expires_us,
    state, checker, decided_us, result, detail, ended_us) VALUES (:id, :kind, :subject, :arguments, :reason,
    :maker, :made_us, :expires_us, :state, :checker, :decided_us, :result, :detail, :ended_us)"""
_CHANGE_ACT = """UPDATE operator_acts SET state = :state, checker = :checker, decided_us = :decided_us,
    result = :result, detail = :detail, ended_us = :ended_us WHERE id = :id"""
_ADD_ENTRY = f"""INSERT INTO operator_audit ({_ENTRY}) VALUES (:number, :at_us, :who, :what, :act, :detail,
    :note, :previous, :hash)"""  # noqa: S608 - names of our own columns


class Shown(NamedTuple):
    """An operator as others may see it: without the password's hash."""

    name: str
    state: OperatorState
    made_us: int
    failures: int
    locked_until_us: int


class Store:
    """The operators' tables of one core; used by one thread at a time."""

    def __init__(self, url: str) -> None:
        """Nothing is connected yet."""
        self._engine = open_engine(url)

    @contextmanager
    def transaction(self) -> Iterator["StoreTransaction"]:
        """Open the one transaction; it is rolled back unless it was committed.

        Raises RetryableError, or CommitUnknownError out of a commit.
        """
        with translated(), self._engine.connect() as connection:
            if connection.dialect.name == "postgresql":
                connection.execute(text(_LOCK))
            yield StoreTransaction(connection)

    def book(self) -> Book:
        """Return the book as it is, without keeping anybody from it."""
        with translated(), self._engine.connect() as connection:
            return _load(connection, 0, "")

    def close(self) -> None:
        """Let the database go."""
        self._engine.dispose()


class StoreTransaction:
    """One transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._known: set[int] = set()

    def load(self, act: int = 0, note: str = "") -> Book:
        """Load the book, with that act whatever its state, and whether that note is in the chain."""
        book = _load(self._connection, act, note)
        self._known = set(book.acts)
        return book

    def save(self, changes: Changes) -> None:
        """Write what changed; what was open ends before anything new of its kind and subject comes."""
        for operator in changes.operators.values():
            given = operator._asdict() | {"state": int(operator.state)}
            self._connection.execute(text(_PUT_OPERATOR), given)
        for number in sorted(changes.acts):
            act = changes.acts[number]
            given = act._asdict() | {"kind": act.kind.value, "state": int(act.state)}
            given |= {"checker": act.checker or None}
            given |= {"result": act.result if act.state is ActState.DONE else None}
            self._connection.execute(text(_CHANGE_ACT if number in self._known else _ADD_ACT), given)
        for entry in changes.entries:
            self._connection.execute(text(_ADD_ENTRY), entry._asdict())

    def commit(self) -> None:
        """Make it durable; raises CommitUnknownError when it cannot be said whether it is."""
        commit(self._connection)


def read_acts(url: str, *, number: int = 0, open_only: bool = False, rows_max: int = 100) -> list[Act]:
    """Return acts, newest first: one, those that are open, or the latest."""
    where = "WHERE id = :number" if number else "WHERE state IN (1, 2)" if open_only else ""
    sql = f"SELECT {_ACT} FROM operator_acts {where} ORDER BY id DESC LIMIT :rows_max"  # noqa: S608
    given = {"rows_max": rows_max} | ({"number": number} if number else {})
    with reading(url) as connection:
        return [_act(row) for row in fetch(connection, sql, **given)]


def read_entries(url: str, rows_max: int) -> list[Entry]:
    """Return the newest entries of the chain, oldest of them first."""
    sql = f"SELECT {_ENTRY} FROM operator_audit ORDER BY number DESC LIMIT :rows_max"  # noqa: S608
    with reading(url) as connection:
        return [_entry(row) for row in reversed(fetch(connection, sql, rows_max=rows_max))]


def read_operators(url: str) -> list[Shown]:
    """Return everybody who is, was or may become an operator, by name."""
    sql = "SELECT name, state, made_us, failures, locked_until_us FROM operators ORDER BY name"
    with reading(url) as connection:
        return [Shown(row[0], OperatorState(row[1]), *row[2:]) for row in fetch(connection, sql)]


def prove(url: str, head: Head | None = None) -> tuple[list[Fault], Head]:
    """Return what is wrong with chain and tables, of one moment, and where the chain ends.

    `head` is one that was noted before: the chain must still go through it.
    """
    with reading(url) as connection:
        sql = f"SELECT {_ENTRY} FROM operator_audit ORDER BY number"  # noqa: S608
        entries = [_entry(row) for row in fetch(connection, sql)]
        sql = f"SELECT {_ACT} FROM operator_acts ORDER BY id"  # noqa: S608
        acts = [_act(row) for row in fetch(connection, sql)]
        people = _people(connection)
    faults = verify(entries, head) + compare(entries, acts, people)
    return faults, entries[-1].head if entries else Head()


def _people(connection: Connection) -> dict[str, Person]:
    """Return each operator's state and mark; whoever reads PostgreSQL as auditor sees no hash."""
    if connection.dialect.name == "postgresql":
        rows = fetch(connection, "SELECT name, state, mark FROM operator_marks")
        return {row[0]: Person(OperatorState(row[1]), row[2]) for row in rows}
    rows = fetch(connection, "SELECT name, state, password FROM operators")
    return {row[0]: Person(OperatorState(row[1]), mark_of(row[2])) for row in rows}


def _load(connection: Connection, act: int, note: str) -> Book:
    operators = fetch(connection, f"SELECT {_OPERATOR} FROM operators")  # noqa: S608
    sql = f"SELECT {_ACT} FROM operator_acts WHERE state IN (1, 2) OR id = :act ORDER BY id"  # noqa: S608
    acts = [_act(row) for row in fetch(connection, sql, act=act)]
    last_act = fetch(connection, "SELECT coalesce(max(id), 0) FROM operator_acts")[0][0]
    head = fetch(connection, "SELECT number, hash FROM operator_audit ORDER BY number DESC LIMIT 1")
    noted = note and fetch(connection, "SELECT 1 FROM operator_audit WHERE note = :note", note=note)
    return Book(
        {row[0]: _operator(row) for row in operators},
        {one.id: one for one in acts},
        Head(head[0][0], bytes(head[0][1])) if head else Head(),
        int(last_act),
        bool(noted),
    )


def _operator(row: tuple[Any, ...]) -> Operator:
    return Operator(row[0], row[1], OperatorState(row[2]), *row[3:])


def _act(row: tuple[Any, ...]) -> Act:
    return Act._make((row[0], ActKind(row[1]), *row[2:8], ActState(row[8]), *row[9:]))


def _entry(row: tuple[Any, ...]) -> Entry:
    return Entry._make((*row[:7], bytes(row[7]), bytes(row[8])))
