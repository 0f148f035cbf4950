"""The rows of a line that must survive a restart and that its instances share: wrapped working keys and
which were retired, sign-on state, leased serials, the business date of the bank's notice.

One SQLite file per bank (WAL, synchronous=FULL), or the schema `state` of a PostgreSQL where the instances
run on several machines.  All methods block; the shell calls them in a thread of their own.  Writes rest on
what they were decided upon (`Basis`): compare-and-set, so that of two instances one decides anew.  No clear
key ever comes here: the caller hands over keys that are wrapped under the line's master key.  Drivers are
used directly, and PostgreSQL's is imported only where it serves: a site has many fronts, which start sooner
so.
"""

import re
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

from frontends.session_rows import Basis, DateRow, KeyRow, RetiredRow, Saved, SessionRow, SignOnRow
from qianzhi.runtime.crash import crashpoint
from qianzhi.runtime.tls_database import count_refusals

CONNECT_SECONDS = 2
# What a front asks takes milliseconds; what takes longer has failed, and is asked again.
OPTIONS = "-c statement_timeout=2000 -c lock_timeout=1500 -c idle_in_transaction_session_timeout=5000"
KEEPALIVES = {"keepalives_idle": 2, "keepalives_interval": 1, "keepalives_count": 3, "tcp_user_timeout": 4000}

# Both databases read these; `{s}` is the schema, `:name` becomes what the driver takes.
TABLES = (
    """CREATE TABLE IF NOT EXISTS {s}line_keys (
        line TEXT NOT NULL, slot TEXT NOT NULL,
        wrapped {bytes} NOT NULL, check_value {bytes} NOT NULL, since_us BIGINT NOT NULL,
        PRIMARY KEY (line, slot))""",
    """CREATE TABLE IF NOT EXISTS {s}lines (
        line TEXT NOT NULL PRIMARY KEY, signed_on INTEGER NOT NULL CHECK (signed_on IN (0, 1)),
        changed_us BIGINT NOT NULL, stamp TEXT NOT NULL DEFAULT '')""",
    """CREATE TABLE IF NOT EXISTS {s}serials (
        line TEXT NOT NULL PRIMARY KEY, leased_until BIGINT NOT NULL CHECK (leased_until >= 0))""",
    """CREATE TABLE IF NOT EXISTS {s}line_dates (
        line TEXT NOT NULL PRIMARY KEY, noticed INTEGER NOT NULL CHECK (noticed > 0),
        changed_us BIGINT NOT NULL)""",
    """CREATE TABLE IF NOT EXISTS {s}retired_keys (
        line TEXT NOT NULL, check_value {bytes} NOT NULL, retired_us BIGINT NOT NULL,
        PRIMARY KEY (line, check_value))""",
)
GRANT = """DO $$ BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'qianzhi_front') THEN
        GRANT USAGE ON SCHEMA state TO qianzhi_front;
        GRANT SELECT, INSERT, UPDATE, DELETE
            ON state.line_keys, state.lines, state.serials, state.line_dates, state.retired_keys
            TO qianzhi_front;
    END IF;
END $$"""
HAS_STAMP = "SELECT count(*) FROM pragma_table_info('lines') WHERE name = 'stamp'"
ADD_STAMP = "ALTER TABLE lines ADD COLUMN stamp TEXT NOT NULL DEFAULT ''"

LOAD_KEYS = "SELECT line, slot, wrapped, check_value, since_us FROM {s}line_keys WHERE line = :line"
LOAD_LINE = "SELECT signed_on, stamp FROM {s}lines WHERE line = :line"
LOAD_STAMP = "SELECT stamp FROM {s}lines WHERE line = :line"
LOAD_SERIALS = "SELECT leased_until FROM {s}serials WHERE line = :line"
LOAD_DATE = "SELECT noticed FROM {s}line_dates WHERE line = :line"
LOAD_RETIRED = "SELECT check_value FROM {s}retired_keys WHERE line = :line"
FIRST = (
    "INSERT INTO {s}lines (line, signed_on, changed_us) VALUES (:line, 0, 0) ON CONFLICT (line) DO NOTHING"
)
SET_STAMP = "UPDATE {s}lines SET stamp = :stamp WHERE line = :line AND stamp = :after"
# A write that is there already is written again: its COMMIT then waits for a synchronous standby as well.
SAME_STAMP = "UPDATE {s}lines SET stamp = :stamp WHERE line = :line AND stamp = :stamp"
KEEP_KEY = (
    "INSERT INTO {s}line_keys (line, slot, wrapped, check_value, since_us)"
    " VALUES (:line, :slot, :wrapped, :check_value, :since_us) ON CONFLICT (line, slot) DO UPDATE SET"
    " wrapped = excluded.wrapped, check_value = excluded.check_value, since_us = excluded.since_us"
)
DROP_KEY = "DELETE FROM {s}line_keys WHERE line = :line AND slot = :slot"
KEEP_SIGN_ON = (
    "INSERT INTO {s}lines (line, signed_on, changed_us) VALUES (:line, :signed_on, :changed_us)"
    " ON CONFLICT (line) DO UPDATE SET signed_on = excluded.signed_on, changed_us = excluded.changed_us"
)
KEEP_DATE = (
    "INSERT INTO {s}line_dates (line, noticed, changed_us) VALUES (:line, :noticed, :changed_us)"
    " ON CONFLICT (line) DO UPDATE SET noticed = excluded.noticed, changed_us = excluded.changed_us"
)
RETIRE = (
    "INSERT INTO {s}retired_keys (line, check_value, retired_us)"
    " VALUES (:line, :check_value, :retired_us) ON CONFLICT (line, check_value) DO NOTHING"
)
LEASE_FIRST = "INSERT INTO {s}serials (line, leased_until) VALUES (:line, 0) ON CONFLICT (line) DO NOTHING"
LEASE = (
    "UPDATE {s}serials SET leased_until = :leased_until WHERE line = :line AND leased_until = :leased_from"
)


class StoreError(Exception):
    """The rows could not be read or written now; the text says why.  The same may be asked again."""


class ConflictError(StoreError):
    """Another instance has changed what these rows rest on; nothing of this write was kept."""


Run = Callable[[str, Mapping[str, Any]], Any]  # carries out one statement, returns its cursor


class Database(Protocol):
    """One of the two databases: transactions, and what its errors are."""

    where: str

    def transaction(self, *, writing: bool) -> Any:
        """Give a `Run` for one transaction, committed at the end of the block; raises StoreError."""

    def close(self) -> None:
        """Let the database go."""


class FrontStore:
    """The rows of one front-end daemon's line; safe to call from one other thread at a time."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @property
    def where(self) -> str:
        """What an operator looks at when the rows cannot be read."""
        return self._database.where

    def load(self, line: str) -> Saved:
        """Return what is kept of a line; an unknown line is signed off and has no key.  Raises StoreError."""
        asked = {"line": line}
        with self._database.transaction(writing=False) as run:
            keys = [_key_row(row) for row in run(LOAD_KEYS, asked).fetchall()]
            signed_on, stamp = run(LOAD_LINE, asked).fetchone() or (0, "")
            (leased,) = run(LOAD_SERIALS, asked).fetchone() or (0,)
            (noticed,) = run(LOAD_DATE, asked).fetchone() or (0,)
            retired = frozenset(bytes(value) for (value,) in run(LOAD_RETIRED, asked).fetchall())
        return Saved(keys, bool(signed_on), leased, retired, stamp, noticed)

    def stamp(self, line: str) -> str:
        """Return which write left the line's rows as they are.  Raises StoreError."""
        with self._database.transaction(writing=False) as run:
            (stamp,) = run(LOAD_STAMP, {"line": line}).fetchone() or ("",)
        return str(stamp)

    def write(self, rows: list[SessionRow]) -> None:
        """Write all rows in one transaction; a key row without a key deletes its slot.

        A write that is there already, by its `Basis`, is left as it is.  Raises ConflictError when the rows
        are not any more what these rest on, StoreError when nothing can be written now.
        """
        crashpoint("front.before_store")
        with self._database.transaction(writing=True) as run:
            if not _is_there(run, rows):
                for row in rows:
                    _write_row(run, row)
        crashpoint("front.after_store")

    def close(self) -> None:
        """Let the database go."""
        self._database.close()


def open_file(path: Path) -> FrontStore:
    """Open one bank's SQLite file, made where it is missing.  Raises StoreError."""
    return FrontStore(SqliteFile(path))


def open_url(url: str, password: str = "") -> FrontStore:
    """Return the store in a PostgreSQL; it is connected to when it is first asked."""
    return FrontStore(PostgresState(url, password))


def prepare(url: str, password: str = "") -> None:
    """Make the tables of the schema `state`, and grant them to the role qianzhi_front where that exists.

    For the owner of the database; may be done again at any time.  Raises StoreError.
    """
    database = PostgresState(url, password)
    try:
        with database.transaction(writing=True) as run:
            run("CREATE SCHEMA IF NOT EXISTS state", {})
            for statement in TABLES:
                run(statement.replace("{bytes}", "BYTEA"), {})
            run(GRANT, {})
    finally:
        database.close()


class SqliteFile:
    """One file that all instances of a bank on this machine open."""

    def __init__(self, path: Path) -> None:
        self.where = str(path)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(path, timeout=5, isolation_level=None, check_same_thread=False)
            self._connection.execute("PRAGMA journal_mode=WAL")
            self._connection.execute("PRAGMA synchronous=FULL")
        except (OSError, sqlite3.Error) as error:
            raise StoreError(f"{path} cannot be opened: {error}") from error
        with self.transaction(writing=True) as run:
            for statement in TABLES:
                run(statement.replace("{bytes}", "BLOB"), {})
            if not run(HAS_STAMP, {}).fetchone()[0]:
                run(ADD_STAMP, {})

    @contextmanager
    def transaction(self, *, writing: bool) -> Iterator[Run]:
        """Give a `Run`; commit what the block does, all of it or nothing.  Raises StoreError."""
        connection = self._connection
        try:
            connection.execute("BEGIN IMMEDIATE" if writing else "BEGIN")
            try:
                yield lambda statement, values: connection.execute(statement.replace("{s}", ""), values)
                connection.execute("COMMIT")
            finally:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
        except sqlite3.Error as error:
            raise StoreError(f"{self.where} cannot be used: {error}") from error

    def close(self) -> None:
        """Close the file."""
        self._connection.close()


class PostgresState:
    """The schema `state` of a PostgreSQL; connected to when needed, and anew after every failure."""

    def __init__(self, url: str, password: str = "") -> None:
        """`url` holds no password; several hosts may stand in it, of which the writable one is used."""
        self._url = url.replace("postgresql+psycopg:", "postgresql:", 1)
        self._password = password
        self._connection: Any = None
        self._warning = ""
        self.where = "the state database"

    @contextmanager
    def transaction(self, *, writing: bool) -> Iterator[Run]:
        """Give a `Run`; commit what the block does, all of it or nothing.  Raises StoreError."""
        import psycopg

        done = False
        try:
            connection = self._connected()
            connection.execute(
                "BEGIN READ WRITE" if writing else "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
            )
            yield lambda statement, values: connection.execute(_for_postgres(statement), values)
            self._warning = ""
            connection.execute("COMMIT")
            if self._warning:  # it stopped waiting for its standby, which may be promoted without these rows
                raise StoreError(f"{self.where} has no standby that confirms: {self._warning}")
            done = True
        except ConflictError:
            connection.execute("ROLLBACK")
            done = True
            raise
        except (psycopg.Error, OSError) as error:
            raise StoreError(f"{self.where} cannot be used: {_in_words(error)}") from error
        finally:
            if not done:
                self.close()

    def close(self) -> None:
        """Close the connection; what stood uncommitted on it is rolled back by the server."""
        connection, self._connection = self._connection, None
        if connection is not None:
            import psycopg

            with suppress(psycopg.Error, OSError):
                connection.close()

    def _connected(self) -> Any:
        if self._connection is None:
            import psycopg
            from psycopg.conninfo import conninfo_to_dict

            given = conninfo_to_dict(self._url)
            wanted: dict[str, Any] = {
                "connect_timeout": CONNECT_SECONDS,
                "target_session_attrs": "read-write",
                "options": OPTIONS,
                "application_name": "qianzhi front",
                **KEEPALIVES,
            }
            if self._password:
                wanted["password"] = self._password
            wanted = {name: value for name, value in wanted.items() if name not in given}
            try:
                self._connection = psycopg.connect(self._url, autocommit=True, **wanted)
            except psycopg.OperationalError as error:
                count_refusals(str(error))
                raise
            self._connection.add_notice_handler(self._on_notice)
        return self._connection

    def _on_notice(self, diagnostic: Any) -> None:
        if diagnostic.severity_nonlocalized == "WARNING":
            self._warning = diagnostic.message_primary or "a warning"


def _for_postgres(statement: str) -> str:
    return re.sub(r":(\w+)", r"%(\1)s", statement.replace("{s}", "state."))


def _in_words(error: Exception) -> str:
    """Return a driver's error in one line; it may quote the address, and never the password."""
    text = " ".join(str(error).split())[:200] or type(error).__name__
    state = getattr(error, "sqlstate", None)
    if state in ("42P01", "3F000"):
        return f"{text}; `qianzhi database init` makes its tables"
    return text


def _is_there(run: Run, rows: list[SessionRow]) -> bool:
    """Claim the line for these rows; tell whether they have been written before.  Raises ConflictError."""
    basis = rows[0] if rows else None
    if not isinstance(basis, Basis):
        return False
    run(FIRST, {"line": basis.line})
    if run(SET_STAMP, basis._asdict()).rowcount == 1:
        return False
    if run(SAME_STAMP, basis._asdict()).rowcount == 1:
        return True
    raise ConflictError(f"another instance has changed line {basis.line}")


def _write_row(run: Run, row: SessionRow) -> None:
    """Write one row by its kind."""
    values = row._asdict()
    if isinstance(row, Basis):
        return
    if isinstance(row, KeyRow):
        run(KEEP_KEY if row.wrapped else DROP_KEY, values)
    elif isinstance(row, SignOnRow):
        run(KEEP_SIGN_ON, {**values, "signed_on": int(row.signed_on)})
    elif isinstance(row, DateRow):
        run(KEEP_DATE, values)
    elif isinstance(row, RetiredRow):
        run(RETIRE, values)
    else:
        run(LEASE_FIRST, {"line": row.line})
        if run(LEASE, values).rowcount != 1:
            raise ConflictError(f"serials of line {row.line} are not free from {row.leased_from} on")


def _key_row(row: Any) -> KeyRow:
    line, slot, wrapped, check_value, since_us = row
    return KeyRow(line, slot, bytes(wrapped), bytes(check_value), since_us)
