"""The rows that must survive a restart of a front-end: wrapped working keys and which were retired,
sign-on state, leased serials.

One SQLite file per front (WAL, synchronous=FULL).  `write` and `load` block; the shell calls `write` in a
thread of its own and tells the core `on_stored` afterwards.  No clear key ever comes here: the caller hands
over keys that are wrapped under the line's master key.  Python's own sqlite3 is enough for four tables, and
a site has many fronts: without another library each of them starts with a quarter less work.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from frontends.session_rows import KeyRow, RetiredRow, Saved, SessionRow, SignOnRow
from qianzhi.runtime.crash import crashpoint

SCHEMA = (
    """CREATE TABLE IF NOT EXISTS line_keys (
        line TEXT NOT NULL, slot TEXT NOT NULL,
        wrapped BLOB NOT NULL, check_value BLOB NOT NULL, since_us INTEGER NOT NULL,
        PRIMARY KEY (line, slot))""",
    """CREATE TABLE IF NOT EXISTS lines (
        line TEXT NOT NULL PRIMARY KEY, signed_on INTEGER NOT NULL CHECK (signed_on IN (0, 1)),
        changed_us INTEGER NOT NULL)""",
    """CREATE TABLE IF NOT EXISTS serials (
        line TEXT NOT NULL PRIMARY KEY, leased_until INTEGER NOT NULL CHECK (leased_until >= 0))""",
    """CREATE TABLE IF NOT EXISTS retired_keys (
        line TEXT NOT NULL, check_value BLOB NOT NULL, retired_us INTEGER NOT NULL,
        PRIMARY KEY (line, check_value))""",
)
# Older files keep the keys in a table that has three slots only.
HAS_OLD = "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = 'working_keys'"
FROM_OLD = ("INSERT OR IGNORE INTO line_keys SELECT * FROM working_keys", "DROP TABLE working_keys")
KEEP_KEY = (
    "INSERT INTO line_keys (line, slot, wrapped, check_value, since_us)"
    " VALUES (:line, :slot, :wrapped, :check_value, :since_us) ON CONFLICT (line, slot) DO UPDATE SET"
    " wrapped = excluded.wrapped, check_value = excluded.check_value, since_us = excluded.since_us"
)
DROP_KEY = "DELETE FROM line_keys WHERE line = :line AND slot = :slot"
KEEP_SIGN_ON = (
    "INSERT INTO lines (line, signed_on, changed_us) VALUES (:line, :signed_on, :changed_us)"
    " ON CONFLICT (line) DO UPDATE SET signed_on = excluded.signed_on, changed_us = excluded.changed_us"
)
RETIRE = (
    "INSERT INTO retired_keys (line, check_value, retired_us)"
    " VALUES (:line, :check_value, :retired_us) ON CONFLICT DO NOTHING"
)
LEASE_FIRST = "INSERT INTO serials (line, leased_until) VALUES (:line, 0) ON CONFLICT DO NOTHING"
LEASE = "UPDATE serials SET leased_until = :leased_until WHERE line = :line AND leased_until = :leased_from"


class StoreError(Exception):
    """The file could not be written; the same rows may be written again."""


class LeaseConflictError(StoreError):
    """Somebody else leased serials of this line; nothing of this write was kept."""


class FrontStore:
    """The file of one front-end daemon; safe to call from one other thread at a time."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._connection = open_file(path)
        with self._transaction() as connection:
            for statement in SCHEMA:
                connection.execute(statement)
            if connection.execute(HAS_OLD).fetchone()[0]:
                for statement in FROM_OLD:
                    connection.execute(statement)

    def load(self, line: str) -> Saved:
        """Return what is kept of a line; an unknown line is signed off and has no key."""
        with self._transaction() as connection:
            keys = connection.execute(
                "SELECT line, slot, wrapped, check_value, since_us FROM line_keys WHERE line = ?", (line,)
            )
            rows = [KeyRow(*row) for row in keys]
            signed_on = scalar(connection, "SELECT signed_on FROM lines WHERE line = ?", line)
            leased = scalar(connection, "SELECT leased_until FROM serials WHERE line = ?", line)
            retired = connection.execute("SELECT check_value FROM retired_keys WHERE line = ?", (line,))
            gone = frozenset(check_value for (check_value,) in retired)
        return Saved(rows, bool(signed_on), leased, gone)

    def write(self, rows: list[SessionRow]) -> None:
        """Write all rows in one transaction; a key row without a key deletes its slot.

        Raises LeaseConflictError when the serials were leased by somebody else meanwhile, StoreError when the
        file cannot be written.
        """
        crashpoint("front.before_store")
        try:
            with self._transaction() as connection:
                for row in rows:
                    write_row(connection, row)
        except sqlite3.Error as error:
            raise StoreError(f"{self._path} cannot be written: {type(error).__name__}") from error
        crashpoint("front.after_store")

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """Commit what the block does, all of it or nothing."""
        connection = self._connection
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield connection
            connection.execute("COMMIT")
        finally:
            if connection.in_transaction:
                connection.execute("ROLLBACK")


def open_file(path: Path) -> sqlite3.Connection:
    """Return a connection that writes ahead and syncs every commit; the caller begins transactions."""
    connection = sqlite3.connect(path, timeout=5, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    return connection


def write_row(connection: sqlite3.Connection, row: SessionRow) -> None:
    """Write one row by its kind."""
    if isinstance(row, KeyRow):
        connection.execute(KEEP_KEY if row.wrapped else DROP_KEY, row._asdict())
    elif isinstance(row, SignOnRow):
        connection.execute(KEEP_SIGN_ON, row._asdict())
    elif isinstance(row, RetiredRow):
        connection.execute(RETIRE, row._asdict())
    else:
        connection.execute(LEASE_FIRST, {"line": row.line})
        if connection.execute(LEASE, row._asdict()).rowcount != 1:
            raise LeaseConflictError(f"serials of line {row.line} are not free from {row.leased_from} on")


def scalar(connection: sqlite3.Connection, statement: str, line: str) -> int:
    """Return one number of a line's row, 0 when there is no row."""
    row = connection.execute(statement, (line,)).fetchone()
    return row[0] or 0 if row else 0
