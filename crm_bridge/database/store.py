"""Engines on the core's database, SQLite or PostgreSQL, and what their drivers' errors mean for a batch.

A PostgreSQL URL is libpq's own, so it may name several hosts; the one that takes writes is found.  Nothing of
what is kept in the database is known here.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from sqlalchemy import Connection as Connection
from sqlalchemy import Engine, create_engine, event, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError

from crm_bridge.gateway_errors import (
    CommitUnknownError,
    OutOfSpaceError,
    RetryableError,
    SchemaError,
    Trouble,
)
from qianzhi.runtime import clock
from qianzhi.runtime.now import SECOND_US
from qianzhi.runtime.store import SEEN_ALIVE
from qianzhi.runtime.tls_database import count_refusals
from qianzhi.runtime.urls import is_postgres

LOCK_WAIT_MS = 2_000  # SQLite
CLOCK_SECONDS_MAX = 60  # that a bridge's clock may differ from PostgreSQL's
# PostgreSQL: as long as a slow batch of another bridge may take; who gives up has waited for nothing.
LOCK_TIMEOUT_MS = 4_000
# PostgreSQL counts no time-out while it waits for the rest of what a client began to send.
FROZEN_SECONDS = 5
# A connection that a machine's death or a cut cable took is noticed within seconds; what the URL says of
# these prevails.  A writer that stands still in mid-transaction must not hold its accounts for ever.
_CONNECTING = {
    "target_session_attrs": "read-write",
    "connect_timeout": "3",
    "keepalives_idle": "3",
    "keepalives_interval": "2",
    "keepalives_count": "3",
    "tcp_user_timeout": "6000",
    "application_name": "qianzhi",
}
_SESSION = {
    "statement_timeout": "5000",
    "lock_timeout": str(LOCK_TIMEOUT_MS),
    "idle_in_transaction_session_timeout": "5000",
    **SEEN_ALIVE,
}


def open_engine(url: str, *, writing: bool = True, **given: Any) -> Engine:
    """Return an engine on the core's database, durable and with foreign keys on; `given` as for `connect`."""
    return _postgres_engine(url, writing, given) if is_postgres(url) else _sqlite_engine(url, writing)


def _sqlite_engine(url: str, writing: bool) -> Engine:
    """A writing one takes SQLite's write lock at once: a deferred transaction that turns to writing fails in
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


def _postgres_engine(url: str, writing: bool, given: dict[str, Any]) -> Engine:
    level = "READ COMMITTED" if writing else "REPEATABLE READ"
    engine = create_engine(
        "postgresql+psycopg://",
        creator=lambda: connect(url, writing=writing, **given),
        hide_parameters=True,
        isolation_level=level,
        pool_size=1,
        max_overflow=1,
    )
    return engine if writing else engine.execution_options(postgresql_readonly=True)


def connect(url: str, *, writing: bool = True, **given: Any) -> "psycopg.Connection[Any]":
    """Open a connection of PostgreSQL's own driver, with time-outs; a `writing` one to the primary alone.

    A look may take long (an audit reads everything), so only a writing session's statements have limits.
    Raises psycopg.OperationalError.
    """
    asked = psycopg.conninfo.conninfo_to_dict(url)
    anywhere = {} if writing else {"target_session_attrs": "any"}
    settings = {**_CONNECTING, **anywhere, **asked, **given}
    if writing:
        options = [f"-c {name}={value}" for name, value in _SESSION.items()]
        others = (given.get("options", ""), asked.get("options", ""))  # what the URL says comes last
        settings["options"] = " ".join([*options, *map(str, filter(None, others))])
    try:
        connection: psycopg.Connection[Any] = psycopg.connect(**settings)
    except psycopg.OperationalError as error:
        count_refusals(str(error))
        raise
    connection.add_notice_handler(_Notices(connection))
    return connection


class _Notices:
    """Keeps a connection's latest warning: one during COMMIT says that it is not on the standby."""

    def __init__(self, connection: "psycopg.Connection[Any]") -> None:
        connection.qianzhi_warnings = self  # type: ignore[attr-defined]
        self.latest = ""

    def __call__(self, diagnostic: psycopg.errors.Diagnostic) -> None:
        if diagnostic.severity_nonlocalized == "WARNING":
            self.latest = diagnostic.message_primary or "a warning"


def commit(connection: Any) -> None:
    """Make a transaction durable; raises CommitUnknownError when it cannot be said whether it is.

    PostgreSQL may stop waiting for its synchronous standby: it then says COMMIT, with a warning, of what a
    promoted standby would not have.
    """
    driver = getattr(connection, "connection", connection).driver_connection
    warnings = getattr(driver, "qianzhi_warnings", None)
    if warnings is not None:
        warnings.latest = ""
    try:
        connection.commit()
    except (DBAPIError, psycopg.Error) as error:
        connection.invalidate()  # its transaction may still be open, the next batch's too
        raise CommitUnknownError("the outcome of COMMIT is not known") from error
    if warnings is not None and warnings.latest:
        said = f"COMMIT was not confirmed by the standby: {warnings.latest}"
        raise CommitUnknownError(said, Trouble.NO_STANDBY)


@contextmanager
def reading(url: str) -> Iterator[Connection]:
    """Open a read-only look at the database, one consistent moment of it, beside a running bridge.

    Raises SchemaError where there is no database: a look never makes one.
    """
    if not is_postgres(url) and not Path(database_path(url)).exists():
        raise SchemaError(f"there is no database at {database_path(url)}")
    engine = open_engine(url, writing=False)
    try:
        with translated(), engine.connect() as connection:
            yield connection
    finally:
        engine.dispose()


@contextmanager
def writing(url: str) -> Iterator[Connection]:
    """Open one writing transaction, committed at the end; for seeding, which has the database to itself."""
    engine = open_engine(url)
    try:
        with translated(), engine.begin() as connection:
            yield connection
    finally:
        engine.dispose()


_CLOCK = text("SELECT CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS bigint)")


def compare_clocks(connection: Any) -> None:
    """Raise RetryableError where our wall clock is not PostgreSQL's, which all bridges share."""
    if connection.dialect.name != "postgresql":
        return
    theirs_us = int(connection.execute(_CLOCK).scalar_one())
    ahead_seconds = (clock.now().wall_us - theirs_us) / SECOND_US
    if abs(ahead_seconds) > CLOCK_SECONDS_MAX:
        side = "ahead of" if ahead_seconds > 0 else "behind"
        said = f"it is {abs(ahead_seconds):.0f} s {side} the database's"
        raise RetryableError(said, Trouble.CLOCK)


# A quarter of a megabyte that cannot be compressed.
_GROW = """SELECT lo_from_bytea(0, string_agg(sha256(CAST(CAST(n AS text) AS bytea)), ''))
    FROM generate_series(1, 8192) AS n"""


class Probe:
    """A connection of one's own to look at the database with; made again when it breaks."""

    def __init__(self, url: str) -> None:
        self._engine = open_engine(url)

    def look(self) -> None:
        """Look whether the database answers; raises RetryableError."""
        with translated(), self._engine.connect() as connection:
            connection.execute(text("SELECT closed_through FROM journal_fence"))
            compare_clocks(connection)

    def end_frozen(self) -> list[int]:
        """End what another process of this user left half sent, whose locks would stand as long as it stands
        still; return the server processes that were ended.  Raises RetryableError.
        """
        if self._engine.dialect.name != "postgresql":
            return []
        with translated(), self._engine.connect() as connection:
            return [pid for (pid,) in fetch(connection, _END_FROZEN, seconds=FROZEN_SECONDS)]

    def prove(self) -> None:
        """Write something that changes nothing, and commit it; raises RetryableError, CommitUnknownError."""
        sql = "UPDATE journal_fence SET closed_through = closed_through"
        if self._engine.dialect.name == "postgresql":  # without a row that others would wait for
            sql = "SELECT pg_logical_emit_message(true, 'qianzhi', 'proof') FROM journal_fence"
        with translated(), self._engine.connect() as connection:
            connection.execute(text(sql))
            compare_clocks(connection)
            commit(connection)

    def prove_room(self) -> None:
        """Let files of a PostgreSQL grow, by what is undone; raises RetryableError.

        On a full disk the log, whose files are made beforehand, still takes a proof while no table can grow.
        SQLite's proof itself needs room.
        """
        if self._engine.dialect.name == "postgresql":
            with translated(), self._engine.connect() as connection:
                connection.execute(text(_GROW))
                connection.rollback()

    def close(self) -> None:
        """Let the database go."""
        self._engine.dispose()


# Materialized, or the planner may call the function before it looks at the other conditions.
_END_FROZEN = """
    WITH frozen AS MATERIALIZED (
        SELECT pid FROM pg_stat_activity
        WHERE datname = current_database() AND usename = current_user AND pid <> pg_backend_pid()
            AND state = 'active' AND wait_event = 'ClientRead'
            AND (backend_xid IS NOT NULL
                OR pid IN (SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted))
            AND query_start < clock_timestamp() - make_interval(secs => :seconds))
    SELECT pid FROM frozen WHERE pg_terminate_backend(pid)
"""


def fetch(connection: Connection, sql: str, **given: Any) -> list[tuple[Any, ...]]:
    """Return the rows of a query, as tuples."""
    return [tuple(row) for row in connection.execute(text(sql), given)]


def insert(connection: Connection, sql: str, rows: Sequence[dict[str, Any]]) -> None:
    """Write many rows with one statement."""
    if rows:
        connection.execute(text(sql), rows)


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
    except (DBAPIError, psycopg.Error) as error:
        raise _meaning(error) from error


def _meaning(error: DBAPIError | psycopg.Error) -> Exception:
    if isinstance(error, psycopg.Error):
        trouble = postgres_trouble(error)
        said = str(error).strip().partition("\n")[0]
    elif isinstance(error.orig, psycopg.Error):
        trouble = postgres_trouble(error.orig, lost=error.connection_invalidated)
        said = str(error.orig).strip().partition("\n")[0]
    else:
        trouble = _SQLITE.get(getattr(error.orig, "sqlite_errorcode", 0) & 0xFF)  # the low byte is the code
        said = getattr(error.orig, "sqlite_errorname", "")
    if trouble is None:
        return error
    if trouble is Trouble.DISK_FULL:
        return OutOfSpaceError(f"the database's disk is full: {said}", trouble)
    return RetryableError(f"{trouble.value}: {said}", trouble)


def postgres_trouble(error: psycopg.Error, *, lost: bool = False) -> Trouble | None:
    """Return what is wrong with the database when PostgreSQL's driver says this; None blames the request.

    A connection that was refused carries no SQLSTATE, only the server's text.
    """
    code = error.sqlstate or ""
    if code in _STATES or code[:2] in _STATES:
        return _STATES.get(code) or _STATES[code[:2]]
    if code:
        return None
    if lost or isinstance(error, psycopg.OperationalError | psycopg.InterfaceError):
        said = str(error)
        return next((trouble for words, trouble in _SAID.items() if words in said), Trouble.DOWN)
    return None


_SQLITE = {
    sqlite3.SQLITE_FULL: Trouble.DISK_FULL,
    sqlite3.SQLITE_BUSY: Trouble.CONFLICT,
    sqlite3.SQLITE_LOCKED: Trouble.CONFLICT,
    sqlite3.SQLITE_IOERR: Trouble.DISK,
    sqlite3.SQLITE_CANTOPEN: Trouble.DOWN,
    sqlite3.SQLITE_READONLY: Trouble.READ_ONLY,
}

_STATES = {
    "08": Trouble.DOWN,
    "57": Trouble.DOWN,
    "57014": Trouble.SLOW,  # statement_timeout
    "25006": Trouble.READ_ONLY,
    "25P03": Trouble.CONFLICT,  # we stood still in mid-transaction
    "40": Trouble.CONFLICT,  # serialization failure, deadlock
    "55P03": Trouble.CONFLICT,  # lock_timeout
    "53": Trouble.DOWN,
    "53200": Trouble.CONFLICT,  # no place in the table of locks: half a batch needs half of them
    "53100": Trouble.DISK_FULL,
    "53300": Trouble.TOO_MANY_CONNECTIONS,
    "58": Trouble.DISK,
    "28": Trouble.NO_PERMISSION,
    "3D": Trouble.NO_PERMISSION,
    "3F": Trouble.SCHEMA,
    "42501": Trouble.NO_PERMISSION,
    "42P01": Trouble.SCHEMA,
    "42703": Trouble.SCHEMA,
}

_SAID = {
    "too many clients": Trouble.TOO_MANY_CONNECTIONS,
    "remaining connection slots": Trouble.TOO_MANY_CONNECTIONS,
    "too many connections": Trouble.TOO_MANY_CONNECTIONS,
    "session is read-only": Trouble.READ_ONLY,
    "hot standby": Trouble.READ_ONLY,
    "password authentication failed": Trouble.NO_PERMISSION,
    "no password supplied": Trouble.NO_PERMISSION,
    "no pg_hba.conf entry": Trouble.NO_PERMISSION,
    "permission denied": Trouble.NO_PERMISSION,
    "does not exist": Trouble.NO_PERMISSION,
}
