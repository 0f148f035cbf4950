"""Heartbeats as rows: one for each daemon, in the site's [state] database, for the other machines to read.

    postgresql   state.heartbeats, made by `prepare` as the owner; ages are measured by the database's clock
    (empty)      <data>/heartbeats.db, a SQLite file for daemons of one machine

A row is worth a few seconds and is never synced to a disk on purpose; nothing of money rests on it.
"""

import json
import sqlite3
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from qianzhi.runtime import clock
from qianzhi.runtime.now import SECOND_US
from qianzhi.runtime.store import SEEN_ALIVE
from qianzhi.runtime.tls_database import count_refusals

CONNECT_SECONDS = 3
STATEMENT_MS = 3_000
_SESSION = {
    "statement_timeout": str(STATEMENT_MS),
    "synchronous_commit": "off",
    "application_name": "qianzhi-heartbeat",
    **SEEN_ALIVE,
}
OPTIONS = " ".join(f"-c {name}={value}" for name, value in _SESSION.items())

PREPARE = """
CREATE SCHEMA IF NOT EXISTS state;
CREATE TABLE IF NOT EXISTS state.heartbeats (
    name text PRIMARY KEY, machine text NOT NULL, kind text NOT NULL, ready boolean NOT NULL,
    status text NOT NULL, beaten_at timestamptz NOT NULL DEFAULT clock_timestamp());
"""
GRANT = """
DO $$
DECLARE reader text;
BEGIN
    FOR reader IN SELECT rolname FROM pg_roles
        WHERE rolname IN ('qianzhi_front', 'qianzhi_app', 'qianzhi_auditor') LOOP
        EXECUTE format('GRANT USAGE ON SCHEMA state TO %I', reader);
        EXECUTE format('GRANT SELECT ON state.heartbeats TO %I', reader);
        IF reader <> 'qianzhi_auditor' THEN
            EXECUTE format('GRANT INSERT, UPDATE, DELETE ON state.heartbeats TO %I', reader);
        END IF;
    END LOOP;
END $$
"""
BEAT = """
INSERT INTO state.heartbeats (name, machine, kind, ready, status, beaten_at)
VALUES (%(name)s, %(machine)s, %(kind)s, %(ready)s, %(status)s, clock_timestamp())
ON CONFLICT (name) DO UPDATE SET machine = excluded.machine, kind = excluded.kind, ready = excluded.ready,
    status = excluded.status, beaten_at = excluded.beaten_at
"""
READ = """
SELECT name, machine, kind, ready, status,
    extract(epoch FROM clock_timestamp() - beaten_at)::float8 FROM state.heartbeats
"""
FILE_SCHEMA = """
CREATE TABLE IF NOT EXISTS heartbeats (
    name TEXT PRIMARY KEY, machine TEXT NOT NULL, kind TEXT NOT NULL, ready INTEGER NOT NULL,
    status TEXT NOT NULL, beaten_us INTEGER NOT NULL) WITHOUT ROWID
"""
FILE_BEAT = """
INSERT INTO heartbeats (name, machine, kind, ready, status, beaten_us)
VALUES (:name, :machine, :kind, :ready, :status, :beaten_us)
ON CONFLICT (name) DO UPDATE SET machine = excluded.machine, kind = excluded.kind, ready = excluded.ready,
    status = excluded.status, beaten_us = excluded.beaten_us
"""


class BeatsError(Exception):
    """The rows cannot be written or read now; the text says why, without a password."""


class Row(NamedTuple):
    """What a daemon says of itself: `ready` when it takes new requests, `status` as `qianzhi status` has
    it."""

    name: str
    machine: str
    kind: str
    ready: bool
    status: dict[str, Any]


class Beat(NamedTuple):
    """A row as it was read, and how old it is."""

    row: Row
    age_seconds: float


class BeatStore(Protocol):
    """Where the rows are; one thread uses it at a time, and every method blocks."""

    def write(self, row: Row) -> None:
        """Replace the daemon's row; raises BeatsError."""

    def read(self) -> list[Beat]:
        """Return every daemon's last row; raises BeatsError."""

    def close(self) -> None:
        """Close what is open."""


def open_beats(database: str, password: str, data: Path) -> BeatStore:
    """Return the store of a site's [state]; nothing is connected before it is used."""
    return SharedBeats(database, password) if database else FileBeats(data / "heartbeats.db")


def prepare(url: str, password: str = "") -> None:
    """Make the table and grant its use, as the role that owns the schema; again and again the same.

    Raises BeatsError.
    """
    import psycopg

    try:
        with psycopg.connect(plain_url(url), connect_timeout=CONNECT_SECONDS, **_secret(password)) as opened:
            opened.execute(PREPARE)
            opened.execute(GRANT)
    except psycopg.Error as error:
        raise BeatsError(_words(error)) from error


def plain_url(url: str) -> str:
    """Return libpq's form of a URL that may name SQLAlchemy's driver."""
    scheme, colon, rest = url.partition(":")
    return scheme.partition("+")[0] + colon + rest


class SharedBeats:
    """Rows on PostgreSQL; the connection is made when it is needed, and again after it broke."""

    def __init__(self, url: str, password: str) -> None:
        self._url = plain_url(url)
        self._password = password
        self._connection: Any = None

    def write(self, row: Row) -> None:
        """Replace the daemon's row."""
        self._do(BEAT, {**row._asdict(), "status": json.dumps(row.status, default=str)})

    def read(self) -> list[Beat]:
        """Return every daemon's last row."""
        return [_beat(*found) for found in self._do(READ).fetchall()]

    def close(self) -> None:
        """Hang up."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _do(self, statement: str, values: dict[str, Any] | None = None) -> Any:
        import psycopg

        try:
            if self._connection is None:
                self._connection = psycopg.connect(
                    self._url,
                    autocommit=True,
                    connect_timeout=CONNECT_SECONDS,
                    options=OPTIONS,
                    tcp_user_timeout=STATEMENT_MS,
                    keepalives_idle=CONNECT_SECONDS,
                    **_secret(self._password),
                )
            return self._connection.execute(statement, values)
        except psycopg.Error as error:
            if self._connection is None:
                count_refusals(str(error))
            self.close()
            raise BeatsError(_words(error)) from error


class FileBeats:
    """Rows in a SQLite file of one machine."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection: sqlite3.Connection | None = None

    def write(self, row: Row) -> None:
        """Replace the daemon's row."""
        values = {**row._asdict(), "status": json.dumps(row.status, default=str)}
        self._do(FILE_BEAT, {**values, "beaten_us": clock.now().wall_us})

    def read(self) -> list[Beat]:
        """Return every daemon's last row; none where no daemon has ever run."""
        if not self._path.exists():
            return []
        now_us = clock.now().wall_us
        found = self._do("SELECT name, machine, kind, ready, status, beaten_us FROM heartbeats", {})
        return [
            _beat(name, machine, kind, ready, status, (now_us - beaten_us) / SECOND_US)
            for name, machine, kind, ready, status, beaten_us in found
        ]

    def close(self) -> None:
        """Close the file."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _do(self, statement: str, values: dict[str, Any]) -> list[Any]:
        try:
            if self._connection is None:
                self._connection = _open_file(self._path)
            return self._connection.execute(statement, values).fetchall()
        except (sqlite3.Error, OSError) as error:
            self.close()
            raise BeatsError(f"{self._path}: {error}") from error


def _open_file(path: Path) -> sqlite3.Connection:
    path.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(path, timeout=2, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=OFF")
    connection.execute(FILE_SCHEMA)
    return connection


def _beat(name: str, machine: str, kind: str, ready: object, status: str, age_seconds: float) -> Beat:
    return Beat(Row(name, machine, kind, bool(ready), json.loads(status)), max(0.0, age_seconds))


def _secret(password: str) -> dict[str, Any]:
    return {"password": password} if password else {}


def _words(error: Exception) -> str:
    """Return the first line of what the driver says; libpq never repeats a password."""
    return str(error).strip().partition("\n")[0] or type(error).__name__
