"""Entries, charges and serials in a database: one SQLite file per node, or rows that a group's nodes lease.

A lease is a row per node: its epoch and until when it holds, by the database's clock.  Every write proves the
epoch and renews the lease in its own transaction; a node that finds another one's lease run out raises that
one's epoch and takes its rows in one transaction.  So no two nodes own one entry, and what a node that was
thought dead still has to write is refused as a whole.

Everything blocks: `store_thread` calls it.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from qianzhi.runtime.crash import crashpoint
from qianzhi.runtime.store import Database, PostgresState, Run, SqliteFile, StateError
from qianzhi.saf.errors import LostError, SafError
from qianzhi.saf.memory import RECENT_US
from qianzhi.saf.rows import Charge, Entry, Forget, Row, Saved, Serials, joined, same

T = TypeVar("T")

TABLES = (
    """CREATE TABLE IF NOT EXISTS {s}saf_leases (
        node TEXT NOT NULL PRIMARY KEY, team TEXT NOT NULL,
        epoch BIGINT NOT NULL, until_us BIGINT NOT NULL)""",
    """CREATE TABLE IF NOT EXISTS {s}saf_entries (
        id TEXT NOT NULL PRIMARY KEY, node TEXT NOT NULL, destination TEXT NOT NULL, state TEXT NOT NULL,
        date BIGINT NOT NULL, amount_fen BIGINT NOT NULL CHECK (amount_fen >= 0), version BIGINT NOT NULL,
        ended_us BIGINT NOT NULL, body TEXT NOT NULL)""",
    """CREATE TABLE IF NOT EXISTS {s}saf_charges (
        id TEXT NOT NULL PRIMARY KEY, node TEXT NOT NULL, destination TEXT NOT NULL, state TEXT NOT NULL,
        date BIGINT NOT NULL, amount_fen BIGINT NOT NULL CHECK (amount_fen > 0), version BIGINT NOT NULL,
        ended_us BIGINT NOT NULL, body TEXT NOT NULL,
        space TEXT NOT NULL, serial TEXT NOT NULL, UNIQUE (space, date, serial))""",
    """CREATE TABLE IF NOT EXISTS {s}saf_serials (
        space TEXT NOT NULL, date BIGINT NOT NULL, slot INTEGER NOT NULL, next BIGINT NOT NULL,
        PRIMARY KEY (space, date, slot))""",
    "CREATE INDEX IF NOT EXISTS saf_entries_by_node ON {s}saf_entries (node, ended_us)",
    "CREATE INDEX IF NOT EXISTS saf_charges_by_node ON {s}saf_charges (node, ended_us)",
)
GRANT = """DO $$ BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'qianzhi_front') THEN
        GRANT USAGE ON SCHEMA state TO qianzhi_front;
        GRANT SELECT, INSERT, UPDATE, DELETE
            ON state.saf_leases, state.saf_entries, state.saf_charges, state.saf_serials TO qianzhi_front;
    END IF;
END $$"""

CLAIM = (
    "INSERT INTO {s}saf_leases AS lease (node, team, epoch, until_us)"
    " VALUES (:node, :team, 1, {now} + :lease_us)"
    " ON CONFLICT (node) DO UPDATE SET team = excluded.team, epoch = lease.epoch + 1,"
    " until_us = excluded.until_us RETURNING epoch"
)
RENEW = "UPDATE {s}saf_leases SET until_us = {now} + :lease_us WHERE node = :node AND epoch = :epoch"
DEAD = (
    "SELECT node FROM {s}saf_leases"
    " WHERE team = :team AND node <> :node AND until_us < {now} ORDER BY node {lock}"
)
FENCE_OFF = "UPDATE {s}saf_leases SET epoch = epoch + 1 WHERE node = :node"
TAKE = "UPDATE {s}TABLE SET node = :node WHERE node = :dead AND ended_us = 0 RETURNING id, body"
LOAD_ENTRIES = "SELECT id, body FROM {s}saf_entries WHERE node = :node AND ended_us = 0"
LOAD_CHARGES = (
    "SELECT id, body FROM {s}saf_charges"
    " WHERE node = :node AND (ended_us = 0 OR ended_us > {now} - :recent_us)"
)
LOAD_SERIALS = "SELECT space, date, slot, next FROM {s}saf_serials"
FIND = "SELECT body FROM {s}TABLE WHERE id = :id"
NEW_ENTRY = (
    "INSERT INTO {s}saf_entries (id, node, destination, state, date, amount_fen, version, ended_us, body)"
    " VALUES (:id, :node, :destination, :state, :date, :amount_fen, :version, :ended_us, :body)"
    " ON CONFLICT DO NOTHING"
)
NEW_CHARGE = (
    "INSERT INTO {s}saf_charges"
    " (id, node, destination, state, date, amount_fen, version, ended_us, body, space, serial)"
    " VALUES"
    " (:id, :node, :destination, :state, :date, :amount_fen, :version, :ended_us, :body, :space, :serial)"
    " ON CONFLICT DO NOTHING"
)
# What is there already is written again: its COMMIT's answer was lost.
CHANGE = (
    "UPDATE {s}TABLE SET state = :state, version = :version, ended_us = :ended_us, body = :body"
    " WHERE id = :id AND node = :node AND version BETWEEN :since AND :version"
)
KEEP_SERIALS = (
    "INSERT INTO {s}saf_serials AS kept (space, date, slot, next) VALUES (:space, :date, :slot, :next)"
    " ON CONFLICT (space, date, slot) DO UPDATE SET next = excluded.next WHERE excluded.next > kept.next"
)
FORGET = "DELETE FROM {s}TABLE WHERE ended_us > 0 AND ended_us < :before_us"
ENTRIES, CHARGES = "saf_entries", "saf_charges"

_to_text = msgspec.json.encode
_entry = msgspec.json.Decoder(Entry).decode
_charge = msgspec.json.Decoder(Charge).decode


class SafStore:
    """One node's rows; safe to call from one other thread at a time."""

    def __init__(self, database: Database, node: str, team: str, lease_us: int) -> None:
        """`team` are the nodes that stand in for each other; `lease_us` 0 takes nothing over."""
        self._database = database
        self._mine = {"node": node, "team": team, "lease_us": lease_us}
        self._epoch = 0
        self._whole = True

    @property
    def where(self) -> str:
        """What an operator looks at when the rows cannot be read."""
        return self._database.where

    def load(self) -> Saved:
        """Return what this node owns, the first time, and later what it has taken over since.

        Raises LostError when another life of this node has begun or others took its rows, SafError.
        """
        whole, self._whole = self._whole, True
        spoiled: list[str] = []
        with _in_words(), self._database.transaction() as run:
            if self._epoch:
                self._renew(run)
                epoch = self._epoch
            else:
                (epoch,) = run(CLAIM, self._mine).fetchone()
            entries, charges = self._take_over(run) if self._mine["lease_us"] else ([], [])
            taken = len(entries) + len(charges)
            if whole:
                entries = run(LOAD_ENTRIES, self._mine).fetchall()
                charges = run(LOAD_CHARGES, {**self._mine, "recent_us": RECENT_US}).fetchall()
            saved = Saved(
                _read(_entry, entries, spoiled),
                _read(_charge, charges, spoiled),
                [Serials(*row) for row in run(LOAD_SERIALS, {}).fetchall()],
                spoiled,
                taken,
            )
        self._epoch, self._whole = epoch, False
        return saved

    def write(self, rows: Iterable[Row]) -> list[Entry | Charge]:
        """Write all rows in one transaction; return what stands already where a new row was to be written.

        Raises LostError, and then nothing was written; SafError, and then it may have been.
        """
        crashpoint("saf.before_store")
        with _in_words(), self._database.transaction() as run:
            self._renew(run)
            standing = [
                stood for row, since in joined(rows) if (stood := self._write(run, row, since)) is not None
            ]
        crashpoint("saf.after_store")
        return standing

    def find(self, entry_id: str) -> Entry | None:
        """Return an entry whoever owns it, ended ones too, if it can be read.  Raises SafError."""
        with _in_words(), self._database.transaction() as run:
            found = run(FIND.replace("TABLE", ENTRIES), {"id": entry_id}).fetchone()
        entries = _read(_entry, [(entry_id, *found)] if found is not None else [], [])
        return entries[0] if entries else None

    def close(self) -> None:
        """Let the database go."""
        self._database.close()

    def _renew(self, run: Run) -> None:
        if run(RENEW, {**self._mine, "epoch": self._epoch}).rowcount != 1:
            self._lose()

    def _lose(self) -> None:
        self._epoch, self._whole = 0, True
        raise LostError(f"the rows of {self._mine['node']} are another's now")

    def _take_over(self, run: Run) -> tuple[list[Any], list[Any]]:
        """Fence dead nodes off and take what they left open."""
        entries: list[Any] = []
        charges: list[Any] = []
        for (dead,) in run(DEAD, self._mine).fetchall():
            values = {**self._mine, "dead": dead}
            left = run(TAKE.replace("TABLE", ENTRIES), values).fetchall()
            left_charges = run(TAKE.replace("TABLE", CHARGES), values).fetchall()
            if left or left_charges:
                run(FENCE_OFF, {"node": dead})
            entries += left
            charges += left_charges
        return entries, charges

    def _write(self, run: Run, row: Row, since: int) -> Entry | Charge | None:
        """Write one row over the versions from `since` on, or as a new one where that is 0."""
        if isinstance(row, Entry | Charge):
            values = {**self._mine, **_values(row), "since": since}
            return self._put(run, row, values)
        if isinstance(row, Serials):
            run(KEEP_SERIALS, row._asdict())
        elif isinstance(row, Forget):
            for table in (ENTRIES, CHARGES):
                run(FORGET.replace("TABLE", table), row._asdict())
        return None

    def _put(self, run: Run, row: Entry | Charge, values: dict[str, Any]) -> Entry | Charge | None:
        table, new = (ENTRIES, NEW_ENTRY) if isinstance(row, Entry) else (CHARGES, NEW_CHARGE)
        if values["since"] == 0:
            if run(new, values).rowcount == 1:
                return None
            found = run(FIND.replace("TABLE", table), values).fetchone()
            if found is None:
                return row  # another one has its serial
            decode: Callable[[str], Entry | Charge] = _entry if isinstance(row, Entry) else _charge
            stands = _read(decode, [(values["id"], *found)], [])
            if not stands:
                return row  # what stands cannot be read, and stays
            if not same(stands[0], row):
                return stands[0]
        if run(CHANGE.replace("TABLE", table), values).rowcount != 1:
            self._lose()
        return None


def open_file(path: Path, node: str, wall_us: Callable[[], int]) -> SafStore:
    """Open a node's own SQLite file, made where it is missing.  Raises SafError."""
    with _in_words():
        database = SqliteFile(path, wall_us)
        with database.transaction() as run:
            for statement in TABLES:
                run(statement, {})
    return SafStore(database, node, node, 0)


def open_url(url: str, node: str, team: str, lease_us: int, password: str = "") -> SafStore:
    """Return the store in a PostgreSQL; it is connected to when it is first asked."""
    return SafStore(PostgresState(url, password, f"qianzhi {node}"), node, team, lease_us)


def prepare(url: str, password: str = "") -> None:
    """Make the tables in the schema `state`, and grant them to the role qianzhi_front where that exists.

    For the owner of the database; may be done again at any time.  Raises SafError.
    """
    database = PostgresState(url, password)
    try:
        with _in_words(), database.transaction() as run:
            run("CREATE SCHEMA IF NOT EXISTS state", {})
            for statement in TABLES:
                run(statement, {})
            run(GRANT, {})
    finally:
        database.close()


def row_of(entry: Entry, node: str) -> dict[str, Any]:
    """Return what NEW_ENTRY writes, for whoever promises an entry in a transaction of its own."""
    return {"node": node, **_values(entry)}


@contextmanager
def _in_words() -> Iterator[None]:
    """Turn what is wrong with the database into what is wrong with these rows."""
    try:
        yield
    except StateError as error:
        raise SafError(str(error)) from error


def _values(row: Entry | Charge) -> dict[str, Any]:
    """Return the columns of a row."""
    if isinstance(row, Entry):
        values: dict[str, Any] = {"id": row.id, "destination": row.destination}
        values |= {"date": row.request.date, "amount_fen": row.request.amount_fen}
    else:
        values = {"id": row.order, "destination": row.bank, "date": row.date, "amount_fen": row.amount_fen}
        values |= {"space": row.space, "serial": row.serial}
    own = {"state": row.state.value, "version": row.version, "ended_us": row.ended_us}
    return {**values, **own, "body": _to_text(row).decode()}


def _read(decode: Callable[[str], T], rows: Iterable[Any], spoiled: list[str]) -> list[T]:
    """Return the rows that can be read; of the others their ids, so that one bad row holds nobody up."""
    read = []
    for row_id, body in rows:
        try:
            read.append(decode(body))
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            spoiled.append(str(row_id))
    return read
