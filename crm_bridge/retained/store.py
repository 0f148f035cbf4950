"""Days in the core's database: their parts made, their opening balances written, the oldest detached.

On PostgreSQL the owner's functions do it (`migrations.days`), for whoever may call them.  SQLite has one
table each: there opening balances are written in the same way, and nothing is moved or deleted.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

from crm_bridge.database.store import Connection, compare_clocks, fetch, open_engine, reading, translated
from crm_bridge.gateway_errors import StoreError
from crm_bridge.house.store import load_due
from crm_bridge.journal_breaks import BreakState
from crm_bridge.migrations.days import OLD_SCHEMA, PARENTS
from crm_bridge.retention import Held, Parts, Round, ahead, due, goes_through, wanted_days
from qianzhi.runtime.now import Now
from qianzhi.runtime.urls import is_postgres

# A sum over a day takes its time, and waits for nobody longer than a bridge can wait for it.
_PATIENT = "-c statement_timeout=0 -c lock_timeout=1000 -c idle_in_transaction_session_timeout=0"
_ROUND = "pg_try_advisory_lock(3, 2)"
_OPENED = "SELECT coalesce(max(business_date), 0) FROM ledger_opening_days"
_MOVED = """SELECT account, sum(fen) FROM (
    SELECT credit AS account, amount_fen AS fen FROM ledger_transfers
    WHERE business_date > :before AND business_date <= :through
    UNION ALL SELECT debit, -amount_fen FROM ledger_transfers
    WHERE business_date > :before AND business_date <= :through) moves GROUP BY account"""
_BEFORE = (
    "SELECT balance_fen FROM ledger_openings WHERE account = :account ORDER BY business_date DESC LIMIT 1"
)
# What of a date may still move, or be asked for by somebody: counted up to that date.
_OPEN = {
    "open break": f"""SELECT count(*) FROM journal_breaks
        WHERE state = {BreakState.OPEN:d} AND business_date""",  # noqa: S608
    "outcome that a remote core has not told": """SELECT count(*) FROM journal_claims
        WHERE request IS NOT NULL AND business_date""",
    "unsettled entry": "SELECT count(*) FROM saf_entries WHERE ended_us = 0 AND date > 0 AND date",
    "unsettled charge": "SELECT count(*) FROM saf_charges WHERE ended_us = 0 AND date > 0 AND date",
}


class RetentionError(StoreError):
    """The database refused a step; the text is its own, and nothing of that step was done."""


def kept_after(url: str) -> int:
    """Return the newest date whose keys may be gone, 0 where none is; raises RetryableError."""
    with reading(url) as connection:
        return int(fetch(connection, _OPENED)[0][0])


def look(url: str, today: int) -> Parts:
    """Return how the dates stand; raises RetryableError."""
    with reading(url) as connection:
        return _look(connection, today)


def old_parts(url: str) -> list[tuple[str, int]]:
    """Return the detached parts that are still in the database, with their size in bytes."""
    if not is_postgres(url):
        return []
    sql = """SELECT c.relname, pg_total_relation_size(c.oid) FROM pg_class c JOIN pg_namespace n
        ON n.oid = c.relnamespace WHERE n.nspname = :old AND c.relkind = 'r' ORDER BY 1"""
    with reading(url) as connection:
        return [(row[0], int(row[1])) for row in fetch(connection, sql, old=OLD_SCHEMA)]


def holds(url: str, through: int) -> tuple[Held, ...]:
    """Return what keeps the dates up to `through` from going."""
    with reading(url) as connection:
        return _holds(connection, through)


def run_round(url: str, today: int, keep_days: int, now: Now, rows_max: int) -> Round:
    """Make what is missing, close what may go, detach what is closed; each step a transaction of its own.

    Rows that came without a part are moved into one, up to `rows_max` of a date.  One round runs at a time;
    who comes second does nothing.  Raises RetryableError, RetentionError.
    """
    engine = open_engine(url, options=_PATIENT) if is_postgres(url) else open_engine(url)
    try:
        with _refusing(), engine.connect() as lock:
            if is_postgres(url) and not lock.execute(text(f"SELECT {_ROUND}")).scalar():
                return Round()
            compare_clocks(lock)  # by a clock that is ahead, a date would go too soon
            lock.rollback()  # the lock is the session's
            on_server = _Server(engine, today, keep_days)
            return (
                on_server.run(rows_max) if is_postgres(url) else _on_file(url, engine, today, keep_days, now)
            )
    finally:
        engine.dispose()


def drop(url: str, through: int) -> list[str]:
    """Drop what was detached up to a date, as the owner; return the names of what is gone."""
    gone = [name for name, _ in old_parts(url) if _date_of(url, name) <= through]
    engine = open_engine(url, options=_PATIENT)
    try:
        with _refusing(), engine.begin() as connection:
            for name in gone:
                connection.execute(text(f'DROP TABLE {OLD_SCHEMA}."{name}"'))
            newest = max((_date_of(url, name) for name in gone), default=0)
            connection.execute(text("SELECT qianzhi_thin_openings(:through)"), {"through": newest})
    finally:
        engine.dispose()
    return gone


class _Server:
    """A round on PostgreSQL; beside the session that holds the round's lock."""

    def __init__(self, engine: Engine, today: int, keep_days: int) -> None:
        self._engine, self._today, self._keep_days = engine, today, keep_days

    def run(self, rows_max: int) -> Round:
        parts = self._looked()
        moved = {
            day: self._call("make_day(:day, :rows)", day=day, rows=rows_max) for day in self._wanted(parts)
        }
        closed, held, held_date = [], tuple[Held, ...](), 0
        for day in due(self._today, self._keep_days, self._looked().attached):
            with self._engine.connect() as connection:
                held, held_date = _holds(connection, day), day
            if held:
                break
            self._call("close_day(:day)", day=day)
            closed.append(day)
        waiting = self._looked().closed
        for day in waiting:
            self._call("detach_day(:day)", day=day)
        made = tuple(day for day, rows in moved.items() if rows >= 0)
        return Round(
            made,
            sum(rows for rows in moved.values() if rows > 0),
            tuple(closed),
            waiting,
            held,
            held_date if held else 0,
            self._looked().unplaced,
        )

    def _wanted(self, parts: Parts) -> list[int]:
        return wanted_days(self._today, parts)

    def _looked(self) -> Parts:
        with self._engine.connect() as connection:
            return _look(connection, self._today)

    def _call(self, function: str, **given: int) -> int:
        with self._engine.begin() as connection:
            return int(connection.execute(text(f"SELECT qianzhi_{function}"), given).scalar_one())


def _on_file(url: str, engine: Engine, today: int, keep_days: int, now: Now) -> Round:
    """A round on SQLite: what moved is summed up beside the writer, for nothing of such a date moves now."""
    last = goes_through(today, keep_days)
    sql = "SELECT coalesce(max(business_date), 0) FROM journal_totals WHERE business_date <= :last"
    with reading(url) as connection:
        before = int(fetch(connection, _OPENED)[0][0])
        through = int(fetch(connection, sql, last=last)[0][0])
        if through <= before:
            return Round()
        held = _holds(connection, through)
        if held:
            return Round(held=held, held_date=through)
        moved = fetch(connection, _MOVED, before=before, through=through)
    with engine.begin() as writing:
        for account, fen in moved:
            was = writing.execute(text(_BEFORE), {"account": account}).scalar() or 0
            row = {"account": account, "day": through, "moved": int(fen), "balance": was + int(fen)}
            writing.execute(
                text("INSERT INTO ledger_openings VALUES (:account, :day, :moved, :balance)"), row
            )
        day = {"day": through, "at": now.wall_us}
        writing.execute(text("INSERT INTO ledger_opening_days VALUES (:day, :at, 0)"), day)
    return Round(closed=(through,))


def _look(connection: Connection, today: int) -> Parts:
    detached = "SELECT coalesce(max(business_date), 0) FROM ledger_opening_days WHERE detached_us > 0"
    opened, gone = (int(fetch(connection, sql)[0][0]) for sql in (_OPENED, detached))
    if connection.dialect.name == "sqlite":
        return Parts(opened=opened, detached=gone)
    days = sorted(int(row[0]) for row in fetch(connection, "SELECT qianzhi_days()"))
    closed = {
        row[0]
        for row in fetch(connection, "SELECT business_date FROM ledger_opening_days WHERE detached_us = 0")
    }
    unplaced: dict[int, int] = {}
    for parent in PARENTS:
        sql = f"""SELECT business_date, count(*) FROM {parent}_default WHERE business_date <= :ahead
            GROUP BY business_date"""  # noqa: S608 - our own names
        for day, count in fetch(connection, sql, ahead=ahead(today)):
            unplaced[day] = unplaced.get(day, 0) + int(count)
    return Parts(
        tuple(day for day in days if day > opened),
        tuple(day for day in days if day in closed),
        opened,
        gone,
        sum(unplaced.values()),
        tuple(sorted(unplaced)),
    )


def _holds(connection: Connection, through: int) -> tuple[Held, ...]:
    found = [
        Held(why, int(fetch(connection, f"{sql} <= :through", through=through)[0][0]))
        for why, sql in _OPEN.items()
    ]
    found.append(Held("serial space with a date that is not closed", len(load_due(connection, through))))
    return tuple(one for one in found if one.times)


def _date_of(url: str, part: str) -> int:
    """Return the last date of a detached part, by its name."""
    if not part.endswith("_before"):
        return int(part[-8:])
    with reading(url) as connection:
        return int(fetch(connection, "SELECT business_date FROM ledger_history")[0][0])


@contextmanager
def _refusing() -> Iterator[None]:
    """Turn what the database refuses into a plain failure; raises RetryableError, RetentionError."""
    try:
        with translated():
            yield
    except DBAPIError as error:
        said: Any = str(error.orig).strip().partition("\n")[0]
        raise RetentionError(said) from error
