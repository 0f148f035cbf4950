"""The core's database: engine, transactions, the journal's rows, and what its errors mean for a batch.

The only module of crm_bridge that knows SQLAlchemy.  Journal, billing and ledger are loaded and saved here
in one transaction; what differs between databases is one row of `STATEMENTS` in each of the three stores.
"""

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import Connection as Connection
from sqlalchemy import Engine, TextClause, create_engine, event, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError

from crm_bridge.gateway_errors import CommitUnknownError, OutOfSpaceError, RetryableError, SchemaError
from crm_bridge.journal import Row, State
from crm_bridge.journal_decide import Changes as JournalChanges
from crm_bridge.journal_totals import Day, Totals
from qianzhi.billing import store as billing_store
from qianzhi.billing.desk import Changes as BillingChanges
from qianzhi.billing.desk import Loaded
from qianzhi.domain.requests import Key
from qianzhi.ledger import store as ledger_store
from qianzhi.ledger.entries import Account, Name
from qianzhi.ledger.entries import Changes as LedgerChanges
from qianzhi.ledger.store import as_list
from qianzhi.runtime.crash import crashpoint

LOCK_WAIT_MS = 2_000


class Statements(NamedTuple):
    """One database's dialect of what the journal asks it."""

    load_rows: TextClause
    add_rows: TextClause
    mark_reversed: TextClause
    load_totals: TextClause
    add_totals: TextClause


_COLUMNS = ", ".join(Row._fields)
_PLACES = ", ".join(f":{name}" for name in Row._fields)

STATEMENTS = {
    "sqlite": Statements(
        load_rows=text(
            f"""SELECT {", ".join("j." + name for name in Row._fields)} FROM json_each(:keys) w CROSS JOIN
            journal j ON j.space = w.value ->> 0 AND j.business_date = w.value ->> 1 AND j.serial = w.value
            ->> 2"""  # noqa: S608
        ),
        add_rows=text(
            f"""INSERT INTO journal ({_COLUMNS}) VALUES ({_PLACES})
            ON CONFLICT (space, business_date, serial) DO NOTHING"""  # noqa: S608
        ),
        mark_reversed=text(
            """UPDATE journal SET state = :state, reversal_order = :reversal_order, reversal_reply =
            :reversal_reply, reversed_us = :reversed_us WHERE space = :space AND business_date =
            :business_date AND serial = :serial AND state = 1"""
        ),
        load_totals=text(
            """SELECT t.bank_number, t.business_date, sum(t.approved_count), sum(t.approved_fen),
            sum(t.reversed_count), sum(t.reversed_fen) FROM json_each(:days) w CROSS JOIN journal_totals t
            ON t.bank_number = w.value ->> 0 AND t.business_date = w.value ->> 1
            GROUP BY t.bank_number, t.business_date"""
        ),
        add_totals=text(
            """INSERT INTO journal_totals (business_date, bank_number, part, approved_count, approved_fen,
            reversed_count, reversed_fen) VALUES (:date, :bank_number, :part, :approved_count, :approved_fen,
            :reversed_count, :reversed_fen) ON CONFLICT (business_date, bank_number, part) DO UPDATE SET
            approved_count = approved_count + excluded.approved_count, approved_fen = approved_fen +
            excluded.approved_fen, reversed_count = reversed_count + excluded.reversed_count, reversed_fen =
            reversed_fen + excluded.reversed_fen"""
        ),
    ),
}


class Wanted(NamedTuple):
    """What a batch names: keys that it may touch, those it may reverse, phones, quoted bills, accounts.

    `orders_max` is how many work orders it can need at most; `days` are those whose totals it asks for.
    """

    keys: Sequence[Key]
    reversals: frozenset[Key]
    phones: frozenset[str]
    bills: frozenset[str]
    house: Sequence[Name]
    orders_max: int
    days: Sequence[Day]


@dataclass
class Batch:
    """What was loaded for one batch."""

    rows: list[Row]
    totals: list[tuple[Day, Totals]]
    accounts: list[Account]
    billing: Loaded


class Changes(NamedTuple):
    """What a batch writes."""

    journal: JournalChanges
    billing: BillingChanges
    ledger: LedgerChanges


class Store:
    """The database behind one writer; a transaction at a time."""

    def __init__(self, url: str, order_prefix: str) -> None:
        self._engine = open_engine(url)
        self._order_prefix = order_prefix

    @contextmanager
    def transaction(self) -> Iterator["Transaction"]:
        """Open a writing transaction; it is rolled back unless it was committed.

        Raises RetryableError, OutOfSpaceError or CommitUnknownError; anything else is the fault of what was
        asked.
        """
        with translated(), self._engine.connect() as connection:
            yield Transaction(connection, self._order_prefix)

    def rows(self, keys: Sequence[Key]) -> list[Row]:
        """Return the journal's rows of these keys, as far as they exist."""
        with translated(), self._engine.connect() as connection:
            return load_rows(connection, keys)

    def close(self) -> None:
        """Let the database go."""
        self._engine.dispose()


class Transaction:
    """One batch's transaction."""

    def __init__(self, connection: Connection, order_prefix: str) -> None:
        self._connection = connection
        self._order_prefix = order_prefix

    def load(self, wanted: Wanted, now_us: int) -> Batch:
        """Load all that a batch may touch; the accounts by number, before what they protect."""
        connection = self._connection
        rows = load_rows(connection, wanted.keys)
        orders = [row.order_serial for row in rows if row.order_serial and row.key in wanted.reversals]
        standings = billing_store.load_standings(connection, orders) if orders else []
        subscribers = billing_store.load_subscribers(connection, wanted.phones) if wanted.phones else []
        house = ledger_store.ensure_accounts(connection, wanted.house, now_us) if wanted.house else {}
        accounts = set(house.values())
        for subscriber in subscribers:
            accounts |= {subscriber.account, subscriber.arrears}
        for standing in standings:
            accounts |= {standing.account, standing.arrears}
            accounts.update(*((leg.debit, leg.credit) for leg in standing.legs))
        loaded = ledger_store.load_accounts(connection, accounts) if accounts else []
        bills = wanted.bills.union(*((off.bill for off in standing.write_offs) for standing in standings))
        books = {subscriber.book for subscriber in subscribers}
        found = billing_store.load_bills(connection, books, bills) if books or bills else []
        serials = billing_store.take_serials(connection, self._order_prefix, wanted.orders_max)
        totals = load_totals(connection, wanted.days) if wanted.days else []
        return Batch(rows, totals, loaded, Loaded(subscribers, found, standings, house, serials))

    def save(self, changes: Changes, part: str) -> bool:
        """Write a batch's changes, its totals under `part`; False says that a key was claimed meanwhile:
        decide again.
        """
        sql = STATEMENTS[self._connection.dialect.name]
        inserts, reversals, totals = changes.journal
        if inserts and self._connection.execute(sql.add_rows, _dicts(inserts)).rowcount < len(inserts):
            return False
        if reversals and self._connection.execute(sql.mark_reversed, _dicts(reversals)).rowcount < len(
            reversals
        ):
            return False
        if totals:
            added = [day._asdict() | sums._asdict() | {"part": part} for day, sums in totals]
            self._connection.execute(sql.add_totals, added)
        billing_store.save(self._connection, changes.billing)
        ledger_store.save(self._connection, changes.ledger)
        return True

    def commit(self) -> None:
        """Make it durable; raises CommitUnknownError when it cannot be said whether it is."""
        crashpoint("bridge.before_commit")
        try:
            self._connection.commit()
        except DBAPIError as error:
            self._connection.invalidate()  # its transaction may still be open, the next batch's too
            raise CommitUnknownError("the outcome of COMMIT is not known") from error
        crashpoint("bridge.after_commit")


def open_engine(url: str, *, writing: bool = True) -> Engine:
    """Return an engine on the core's database, durable and with foreign keys on.

    A writing one takes SQLite's write lock at once: a deferred transaction that turns to writing fails in
    spite of its time-out.
    """
    engine = create_engine(url, hide_parameters=True)
    begin = "BEGIN IMMEDIATE" if writing else "BEGIN"

    @event.listens_for(engine, "connect")
    def set_up(connection: sqlite3.Connection, _record: object) -> None:
        connection.isolation_level = None  # the driver opens no transactions of its own
        for pragma in (
            "journal_mode=WAL",
            "synchronous=FULL",
            "foreign_keys=ON",
            f"busy_timeout={LOCK_WAIT_MS}",
        ):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def open_transaction(connection: Connection) -> None:
        connection.exec_driver_sql(begin)

    return engine


@contextmanager
def reading(url: str) -> Iterator[Connection]:
    """Open a read-only look at the database, one consistent moment of it, beside a running bridge.

    Raises SchemaError where there is no database: a look never makes one.
    """
    if not Path(database_path(url)).exists():
        raise SchemaError(f"there is no database at {database_path(url)}")
    engine = open_engine(url, writing=False)
    try:
        with translated(), engine.connect() as connection:
            yield connection
    finally:
        engine.dispose()


@contextmanager
def writing(url: str) -> Iterator[Connection]:
    """Open one writing transaction, committed at the end; for whoever holds the lock file (seeding)."""
    engine = open_engine(url)
    try:
        with translated(), engine.begin() as connection:
            yield connection
    finally:
        engine.dispose()


def fetch(connection: Connection, sql: str, **given: Any) -> list[tuple[Any, ...]]:
    """Return the rows of a query, as tuples."""
    return [tuple(row) for row in connection.execute(text(sql), given)]


def insert(connection: Connection, sql: str, rows: Sequence[dict[str, Any]]) -> None:
    """Write many rows with one statement."""
    if rows:
        connection.execute(text(sql), rows)


def load_rows(connection: Connection, keys: Iterable[Key]) -> list[Row]:
    """Return the journal's rows of these keys, as far as they exist."""
    rows = connection.execute(STATEMENTS[connection.dialect.name].load_rows, {"keys": as_list(keys)})
    return list(map(row_of, rows))


def load_totals(connection: Connection, days: Iterable[Day]) -> list[tuple[Day, Totals]]:
    """Return what these days come to, all parts together; a day without rows is missing."""
    rows = connection.execute(STATEMENTS[connection.dialect.name].load_totals, {"days": as_list(days)})
    return [(Day(*row[:2]), Totals(*row[2:])) for row in rows]


def find_rows(connection: Connection, ending: str, rows_max: int) -> list[Row]:
    """Return the newest rows whose serial or work order ends with `ending`; reads the whole journal."""
    sql = f"""SELECT {_COLUMNS} FROM journal WHERE substr(serial, -length(:ending)) = :ending
        OR substr(order_serial, -length(:ending)) = :ending ORDER BY decided_us DESC LIMIT :rows_max
        """  # noqa: S608
    given = {"ending": ending, "rows_max": rows_max}
    return list(map(row_of, connection.execute(text(sql), given)))


def all_rows(connection: Connection) -> Iterator[Row]:
    """Return the whole journal, row by row."""
    sql = f"SELECT {_COLUMNS} FROM journal"  # noqa: S608
    return map(row_of, connection.execution_options(yield_per=1_000).execute(text(sql)))


def row_of(row: Any) -> Row:
    """Return a database row of all columns as a row of the journal."""
    return Row._make((*row[:5], State(row[5]), *row[6:]))


def database_path(url: str) -> str:
    """Return the file of an SQLite URL; raises ValueError for anything else."""
    parsed = make_url(url)
    if parsed.get_backend_name() != "sqlite" or not parsed.database or parsed.database == ":memory:":
        raise ValueError("the core's database is an SQLite file: sqlite:///PATH")
    return parsed.database


@contextmanager
def translated() -> Iterator[None]:
    """Turn the driver's errors into those of `gateway_errors`, as far as a batch is not to blame itself."""
    try:
        yield
    except DBAPIError as error:
        raise _meaning(error) from error


def _meaning(error: DBAPIError) -> Exception:
    code = getattr(error.orig, "sqlite_errorcode", 0) & 0xFF  # the low byte is the primary code
    if code == sqlite3.SQLITE_FULL:
        return OutOfSpaceError("the database's disk is full")
    if code in _TRANSIENT:
        return RetryableError(f"the database is not available: {getattr(error.orig, 'sqlite_errorname', '')}")
    return error


_TRANSIENT = frozenset(
    {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_READONLY,
    }
)


def _dicts(rows: Iterable[Row]) -> list[dict[str, Any]]:
    return [row._asdict() for row in rows]
