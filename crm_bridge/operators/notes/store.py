"""Notes for the audit chain: written where no bridge may run, and taken up by whichever bridge comes by.

    postgresql   state.notes, made by `prepare` as the owner
    (empty)      <data>/notes.db, an SQLite file for daemons of one machine

A note lies here until it is in the chain; its id makes it come in once, however many bridges take it up.
"""

import json
import secrets
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import psycopg

from crm_bridge.database.store import connect
from qianzhi.link.protection import config_folder
from qianzhi.link.site import data_folder
from qianzhi.link.store import plain_url
from qianzhi.link.tables import Site
from qianzhi.runtime.secrets import resolve_password

NOTES_MAX = 100  # taken up at one go
_COLUMNS = "id, at_us, who, what, detail"
_PREPARE = """
CREATE SCHEMA IF NOT EXISTS state;
CREATE TABLE IF NOT EXISTS state.notes (
    id text PRIMARY KEY, at_us bigint NOT NULL, who text NOT NULL, what text NOT NULL, detail text NOT NULL);
DO $$
DECLARE writer text;
BEGIN
    FOR writer IN SELECT rolname FROM pg_roles WHERE rolname IN ('qianzhi_front', 'qianzhi_app') LOOP
        EXECUTE format('GRANT USAGE ON SCHEMA state TO %I', writer);
        EXECUTE format('GRANT SELECT, INSERT, DELETE ON state.notes TO %I', writer);
    END LOOP;
END $$
"""
_FILE = """CREATE TABLE IF NOT EXISTS notes (
    id TEXT PRIMARY KEY, at_us INTEGER NOT NULL, who TEXT NOT NULL, what TEXT NOT NULL, detail TEXT NOT NULL)
    STRICT, WITHOUT ROWID"""


class NotesError(Exception):
    """Notes cannot be written or read now; the text says why, without a password."""


class Note(NamedTuple):
    """One thing that somebody did, and when; `detail` is JSON."""

    id: str
    at_us: int
    who: str
    what: str
    detail: str


class Notes(Protocol):
    """Where notes lie; every method blocks, and raises NotesError."""

    def write(self, note: Note) -> None:
        """Keep a note."""

    def read(self) -> list[Note]:
        """Return the oldest notes."""

    def forget(self, ids: Sequence[str]) -> None:
        """Remove notes that are in the chain."""


def new_note(at_us: int, who: str, what: str, detail: dict[str, Any]) -> Note:
    """Return a note with an id of its own."""
    return Note(secrets.token_hex(12), at_us, who, what, json.dumps(detail | {"at_us": at_us}))


def notes_of(site: Site) -> Notes:
    """Return the notes of a site; nothing is connected yet.  Raises KeyReferenceError."""
    state = site.state
    if not state.database:
        return FileNotes(data_folder(site) / "notes.db")
    password = ""
    if state.password:
        password = resolve_password(state.password, production=site.production, base=config_folder(site))
    return SharedNotes(state.database, password)


def prepare(url: str) -> None:
    """Make the table on PostgreSQL and grant its use, as the schema's owner; raises NotesError."""
    try:
        with connect(plain_url(url)) as connection:
            connection.execute(_PREPARE)
    except psycopg.Error as error:
        raise NotesError(_words(error)) from error


class SharedNotes:
    """Notes on PostgreSQL, a connection for each call: they are rare."""

    def __init__(self, url: str, password: str) -> None:
        self._url = plain_url(url)
        self._given: dict[str, Any] = {"password": password} if password else {}

    def write(self, note: Note) -> None:
        """Keep a note."""
        with self._connection() as connection:
            sql = f"INSERT INTO state.notes ({_COLUMNS}) VALUES (%s, %s, %s, %s, %s)"  # noqa: S608
            connection.execute(sql, note)

    def read(self) -> list[Note]:
        """Return the oldest notes."""
        with self._connection() as connection:
            sql = f"SELECT {_COLUMNS} FROM state.notes ORDER BY at_us, id LIMIT {NOTES_MAX}"  # noqa: S608
            return [Note(*row) for row in connection.execute(sql)]

    def forget(self, ids: Sequence[str]) -> None:
        """Remove notes that are in the chain."""
        with self._connection() as connection:
            connection.execute("DELETE FROM state.notes WHERE id = ANY(%s)", [list(ids)])

    @contextmanager
    def _connection(self) -> "Iterator[psycopg.Connection[Any]]":
        try:
            with connect(self._url, **self._given) as connection:
                yield connection
        except psycopg.Error as error:
            raise NotesError(_words(error)) from error


class FileNotes:
    """Notes in an SQLite file of one machine."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def write(self, note: Note) -> None:
        """Keep a note."""
        with self._connection() as connection:
            connection.execute(f"INSERT INTO notes ({_COLUMNS}) VALUES (?, ?, ?, ?, ?)", note)  # noqa: S608

    def read(self) -> list[Note]:
        """Return the oldest notes; none where nobody has ever written one."""
        if not self._path.exists():
            return []
        with self._connection() as connection:
            sql = f"SELECT {_COLUMNS} FROM notes ORDER BY at_us, id LIMIT {NOTES_MAX}"  # noqa: S608
            return [Note(*row) for row in connection.execute(sql)]

    def forget(self, ids: Sequence[str]) -> None:
        """Remove notes that are in the chain."""
        with self._connection() as connection:
            connection.executemany("DELETE FROM notes WHERE id = ?", [(each,) for each in ids])

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with closing(sqlite3.connect(self._path, timeout=2)) as connection, connection:
                connection.execute(_FILE)
                yield connection
        except (sqlite3.Error, OSError) as error:
            raise NotesError(f"{self._path}: {error}") from error


def _words(error: Exception) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__
