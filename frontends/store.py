"""The rows of a line that must survive a restart and that its instances share: wrapped working keys and
which were retired, sign-on state, leased serials, the business date of the bank's notice.

One SQLite file per bank (WAL, synchronous=FULL), or the schema `state` of a PostgreSQL where the instances
run on several machines.  All methods block; the shell calls them in a thread of their own.  Writes rest on
what they were decided upon (`Basis`): compare-and-set, so that of two instances one decides anew.  No clear
key ever comes here: the caller hands over keys that are wrapped under the line's master key.
"""

from pathlib import Path
from typing import Any

from frontends.session_rows import Basis, DateRow, KeyRow, RetiredRow, Saved, SessionRow, SignOnRow
from qianzhi.runtime.crash import crashpoint
from qianzhi.runtime.store import ConflictError, PostgresState, Run, SqliteFile

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


class FrontStore:
    """The rows of one front-end daemon's line; safe to call from one other thread at a time."""

    def __init__(self, database: SqliteFile | PostgresState) -> None:
        self._database = database

    @property
    def where(self) -> str:
        """What an operator looks at when the rows cannot be read."""
        return self._database.where

    def load(self, line: str) -> Saved:
        """Return what is kept of a line; an unknown line is signed off and has no key.  Raises StateError."""
        asked = {"line": line}
        with self._database.transaction(writing=False) as run:
            keys = [_key_row(row) for row in run(LOAD_KEYS, asked).fetchall()]
            signed_on, stamp = run(LOAD_LINE, asked).fetchone() or (0, "")
            (leased,) = run(LOAD_SERIALS, asked).fetchone() or (0,)
            (noticed,) = run(LOAD_DATE, asked).fetchone() or (0,)
            retired = frozenset(bytes(value) for (value,) in run(LOAD_RETIRED, asked).fetchall())
        return Saved(keys, bool(signed_on), leased, retired, stamp, noticed)

    def stamp(self, line: str) -> str:
        """Return which write left the line's rows as they are.  Raises StateError."""
        with self._database.transaction(writing=False) as run:
            (stamp,) = run(LOAD_STAMP, {"line": line}).fetchone() or ("",)
        return str(stamp)

    def write(self, rows: list[SessionRow]) -> None:
        """Write all rows in one transaction; a key row without a key deletes its slot.

        A write that is there already, by its `Basis`, is left as it is.  Raises ConflictError when the rows
        are not any more what these rest on, StateError when nothing can be written now.
        """
        crashpoint("front.before_store")
        with self._database.transaction() as run:
            if not _is_there(run, rows):
                for row in rows:
                    _write_row(run, row)
        crashpoint("front.after_store")

    def close(self) -> None:
        """Let the database go."""
        self._database.close()


def open_file(path: Path) -> FrontStore:
    """Open the SQLite file of one bank's instances on this machine, made where it is missing.

    Raises StateError.
    """
    database = SqliteFile(path)
    with database.transaction() as run:
        for statement in TABLES:
            run(statement.replace("{bytes}", "BLOB"), {})
        if not run(HAS_STAMP, {}).fetchone()[0]:
            run(ADD_STAMP, {})
    return FrontStore(database)


def open_url(url: str, password: str = "") -> FrontStore:
    """Return the store in a PostgreSQL; it is connected to when it is first asked."""
    return FrontStore(PostgresState(url, password, "qianzhi front"))


def prepare(url: str, password: str = "") -> None:
    """Make the tables of the schema `state`, and grant them to the role qianzhi_front where that exists.

    For the owner of the database; may be done again at any time.  Raises StateError.
    """
    database = PostgresState(url, password, "qianzhi front")
    try:
        with database.transaction() as run:
            run("CREATE SCHEMA IF NOT EXISTS state", {})
            for statement in TABLES:
                run(statement.replace("{bytes}", "BYTEA"), {})
            run(GRANT, {})
    finally:
        database.close()


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
