"""The two databases in which daemons keep state of their own: a SQLite file, or the schema `state` of a
PostgreSQL.

Transactions, and errors in one form; whose tables these are is said elsewhere.  Everything blocks: shells use
it on threads of their own.  Drivers are used directly, and PostgreSQL's is imported only where it serves.
"""

import re
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

from qianzhi.runtime import clock
from qianzhi.runtime.tls_database import count_refusals

CONNECT_SECONDS = 2
# The server looks as well whether who has a session is still there: those of a machine whose cable was
# pulled would otherwise hold their places for hours, and nobody new could connect.
SEEN_ALIVE = {
    "tcp_keepalives_idle": "5",
    "tcp_keepalives_interval": "2",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "10000",
}
# What is asked takes milliseconds; what takes longer has failed, and is asked again.
_LIMITS = {"statement_timeout": "2000", "lock_timeout": "1500", "idle_in_transaction_session_timeout": "5000"}
OPTIONS = " ".join(f"-c {name}={value}" for name, value in {**_LIMITS, **SEEN_ALIVE}.items())
KEEPALIVES = {"keepalives_idle": 2, "keepalives_interval": 1, "keepalives_count": 3, "tcp_user_timeout": 4000}

Run = Callable[[str, Mapping[str, Any]], Any]  # carries out one statement, returns its cursor


class StateError(Exception):
    """The database cannot be read or written now; the text says why.  The same may be asked again."""


class ConflictError(StateError):
    """Somebody else has changed what a write rests on; nothing of this write was kept."""


class Database(Protocol):
    """One of the two: `{s}` in a statement is the schema, `{now}` its own wall time, `:name` a value."""

    where: str

    def transaction(self) -> Any:
        """Give a `Run` for one transaction, committed at the end of the block; raises StateError."""

    def close(self) -> None:
        """Let the database go."""


class SqliteFile:
    """One file (WAL, synchronous=FULL), made where it is missing; `wall_us` is the clock of `{now}`."""

    def __init__(self, path: Path, wall_us: Callable[[], int] = lambda: clock.now().wall_us) -> None:
        """Raises StateError."""
        self.where = str(path)
        self._wall_us = wall_us
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(path, timeout=5, isolation_level=None, check_same_thread=False)
            self._connection.execute("PRAGMA journal_mode=WAL")
            self._connection.execute("PRAGMA synchronous=FULL")
        except (OSError, sqlite3.Error) as error:
            raise StateError(f"{path} cannot be opened: {error}") from error

    @contextmanager
    def transaction(self, *, writing: bool = True) -> Iterator[Run]:
        """Give a `Run`; commit what the block does, all of it or nothing.  Raises StateError.

        One that does not write sees one state of all rows.
        """
        connection = self._connection
        try:
            connection.execute("BEGIN IMMEDIATE" if writing else "BEGIN")
            try:
                yield self._run
                connection.execute("COMMIT")
            finally:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
        except sqlite3.Error as error:
            raise StateError(f"{self.where} cannot be used: {error}") from error

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def _run(self, statement: str, values: Mapping[str, Any]) -> Any:
        text = statement.replace("{s}", "").replace("{now}", str(self._wall_us())).replace("{lock}", "")
        return self._connection.execute(text, values)


class PostgresState:
    """The schema `state` of a PostgreSQL; connected to when needed, and anew after every failure."""

    def __init__(self, url: str, password: str = "", name: str = "qianzhi") -> None:
        """`url` holds no password; several hosts may stand in it, of which the writable one is used."""
        self._url = url.replace("postgresql+psycopg:", "postgresql:", 1)
        self._password = password
        self._name = name
        self._connection: Any = None
        self._warning = ""
        self.where = "the state database"

    @contextmanager
    def transaction(self, *, writing: bool = True) -> Iterator[Run]:
        """Give a `Run`; commit what the block does, all of it or nothing.  Raises StateError.

        One that does not write sees one state of all rows.
        """
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
                raise StateError(f"{self.where} has no standby that confirms: {self._warning}")
            done = True
        except ConflictError:
            connection.execute("ROLLBACK")
            done = True
            raise
        except (psycopg.Error, OSError) as error:
            raise StateError(f"{self.where} cannot be used: {_in_words(error)}") from error
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
                "application_name": self._name,
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
    text = statement.replace("{s}", "state.").replace("{lock}", "FOR UPDATE SKIP LOCKED")
    text = text.replace("{now}", "(extract(epoch FROM clock_timestamp()) * 1000000)::bigint")
    return re.sub(r"(?<!:):([a-z]\w*)", r"%(\1)s", text)


def _in_words(error: Exception) -> str:
    """Return a driver's error in one line; it may quote the address, and never the password."""
    text = " ".join(str(error).split())[:200] or type(error).__name__
    state = getattr(error, "sqlstate", None)
    if state in ("42P01", "3F000"):
        return f"{text}; `qianzhi database init` makes its tables"
    return text
