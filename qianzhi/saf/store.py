"""Entries, charges and serials in a database: one SQLite file per node, or rows that a group's nodes lease.

A lease is a row per node: its epoch and until when it holds, by the database's clock.  Every write proves the
epoch and renews the lease in its own transaction; a node that finds another one's lease run out raises that
one's epoch and takes its rows in one transaction.  So no two nodes own one entry, and what a node that was
thought dead still has to write is refused as a whole.

An order is a row for ever, whatever becomes of its charge.  Nodes with files of their own meet in one more
file, beside theirs: an order becomes one node's there before its charge is written, and a slot of serials
becomes one node's for good.

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
from qianzhi.saf.rows import (
    SLOTS,
    Charge,
    Entry,
    Forget,
    Row,
    Saved,
    Serials,
    Standing,
    Taken,
    free_slot,
    joined,
    same,
)

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
    """CREATE TABLE IF NOT EXISTS {s}saf_orders (
        id TEXT NOT NULL PRIMARY KEY, node TEXT NOT NULL, key TEXT NOT NULL)""",
    # What was charged before orders were rows of their own.
    """INSERT INTO {s}saf_orders (id, node, key)
        SELECT id, node, space || '/' || date || '/' || serial FROM {s}saf_charges
        WHERE NOT EXISTS (SELECT 1 FROM {s}saf_orders) ON CONFLICT DO NOTHING""",
)
SLOTS_TABLE = """CREATE TABLE IF NOT EXISTS {s}saf_slots (
    slot INTEGER NOT NULL PRIMARY KEY, node TEXT NOT NULL UNIQUE)"""
# In the file in which nodes meet that keep their rows in files of their own.
SHARED_TABLES = (
    SLOTS_TABLE,
    "CREATE TABLE IF NOT EXISTS saf_owners (id TEXT NOT NULL PRIMARY KEY, node TEXT NOT NULL) WITHOUT ROWID",
)
GRANT = """DO $$ BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'qianzhi_front') THEN
        GRANT USAGE ON SCHEMA state TO qianzhi_front;
        GRANT SELECT, INSERT, UPDATE, DELETE
            ON state.saf_leases, state.saf_entries, state.saf_charges, state.saf_serials TO qianzhi_front;
        GRANT SELECT, INSERT, DELETE ON state.saf_orders TO qianzhi_front;
        GRANT SELECT, INSERT ON state.saf_slots TO qianzhi_front;
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
NEW_ORDER = "INSERT INTO {s}saf_orders (id, node, key) VALUES (:id, :node, :key) ON CONFLICT DO NOTHING"
DROP_ORDER = "DELETE FROM {s}saf_orders WHERE id = :id"
FIND_ORDER = "SELECT id, node, key FROM {s}saf_orders WHERE id = :id"
KEEP_OWNER = "INSERT INTO saf_owners (id, node) VALUES (:id, :node) ON CONFLICT DO NOTHING"
FIND_OWNER = "SELECT node FROM saf_owners WHERE id = :id"
ORDERS = "SELECT id, node FROM saf_orders"
LAST_SLOT = "SELECT slot FROM saf_serials ORDER BY date DESC LIMIT 1"
LOAD_SLOTS = "SELECT node, slot FROM {s}saf_slots"
NEW_SLOT = "INSERT INTO {s}saf_slots (slot, node) VALUES (:slot, :node) ON CONFLICT DO NOTHING"
FORGET = "DELETE FROM {s}TABLE WHERE ended_us > 0 AND ended_us < :before_us"
ENTRIES, CHARGES = "saf_entries", "saf_charges"
SHARED = "shared.db"  # no node's name has a dot

_to_text = msgspec.json.encode
_entry = msgspec.json.Decoder(Entry).decode
_charge = msgspec.json.Decoder(Charge).decode


class SafStore:
    """One node's rows; safe to call from one other thread at a time."""

    def __init__(
        self,
        database: Database,
        node: str,
        team: str,
        lease_us: int,
        shared: Database | None = None,
        slot: int = SLOTS,
    ) -> None:
        """`team` are the nodes that stand in for each other; `lease_us` 0 takes nothing over.

        `shared` is where all nodes of the site meet, None for who charges nobody; `slot` is the one to begin
        with, where it is free.
        """
        self._database = database
        self._shared = shared
        self._slot = slot
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
        slot = self._own_slot()
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
                slot,
            )
        self._epoch, self._whole = epoch, False
        return saved

    def write(self, rows: Iterable[Row]) -> list[Standing]:
        """Write all rows in one transaction; return what stands already where a new row was to be written.

        Raises LostError, and then nothing was written; SafError, and then it may have been.
        """
        crashpoint("saf.before_store")
        versions = joined(rows)
        standing: list[Standing] = self._claim(row for row, since in versions if since == 0)
        others = {one.order for one in standing if isinstance(one, Taken)}
        with _in_words(), self._database.transaction() as run:
            self._renew(run)
            for row, since in versions:
                if isinstance(row, Charge) and row.order in others:
                    continue
                stood = self._write(run, row, since)
                standing += [stood] if stood is not None else []
        crashpoint("saf.after_store")
        return standing

    def find(self, entry_id: str) -> Entry | None:
        """Return an entry whoever owns it, ended ones too, if it can be read.  Raises SafError."""
        with _in_words(), self._database.transaction() as run:
            found = run(FIND.replace("TABLE", ENTRIES), {"id": entry_id}).fetchone()
        entries = _read(_entry, [(entry_id, *found)] if found is not None else [], [])
        return entries[0] if entries else None

    def close(self) -> None:
        """Let the databases go."""
        self._database.close()
        if self._shared is not None:
            self._shared.close()

    def _own_slot(self) -> int:
        """Return this node's slot, bound when it is first asked for."""
        if self._shared is None:
            return SLOTS
        with _in_words(), self._shared.transaction() as run:
            slots = dict(run(LOAD_SLOTS, {}).fetchall())
            slot: int = slots.get(self._mine["node"], SLOTS)
            if slot < SLOTS:
                return slot
            slot = free_slot(self._slot, slots.values())
            if slot < SLOTS and run(NEW_SLOT, {**self._mine, "slot": slot}).rowcount != 1:
                raise StateError(f"another node has just taken slot {slot}")
        return slot

    def _claim(self, rows: Iterable[Row]) -> list[Standing]:
        """Make orders this node's where nodes with files of their own meet; return those that are others'.

        Before their charges are written: an order that is claimed and not charged is charged when its node is
        asked again.
        """
        orders = [row.order for row in rows if isinstance(row, Charge)]
        if not orders or self._shared is None or self._shared is self._database:
            return []
        taken: list[Standing] = []
        with _in_words(), self._shared.transaction() as run:
            for order in orders:
                if run(KEEP_OWNER, {**self._mine, "id": order}).rowcount == 1:
                    continue
                (node,) = run(FIND_OWNER, {"id": order}).fetchone()
                taken += [Taken(order, node)] if node != self._mine["node"] else []
        return taken

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

    def _write(self, run: Run, row: Row, since: int) -> Standing | None:
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

    def _put(self, run: Run, row: Entry | Charge, values: dict[str, Any]) -> Standing | None:
        table, new = (ENTRIES, NEW_ENTRY) if isinstance(row, Entry) else (CHARGES, NEW_CHARGE)
        if values["since"] == 0:
            begun = isinstance(row, Entry) or run(NEW_ORDER, values).rowcount == 1
            if begun and run(new, values).rowcount == 1:
                return None
            found = run(FIND.replace("TABLE", table), values).fetchone()
            if not (found or begun):  # its charge is kept no more
                return Taken(*run(FIND_ORDER, values).fetchone())
            if found is None:
                run(DROP_ORDER, values) if isinstance(row, Charge) else None
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


def open_file(path: Path, node: str, wall_us: Callable[[], int], slot: int = 0) -> SafStore:
    """Open a node's own SQLite file, made where it is missing, and beside it the one that all nodes share.

    `slot` is the one to begin with where it is free.  Raises SafError.
    """
    with _in_words():
        database, shared = SqliteFile(path, wall_us), SqliteFile(path.parent / SHARED, wall_us)
        with database.transaction() as run:
            for statement in TABLES:
                run(statement, {})
            used = run(LAST_SLOT, {}).fetchone()
        with shared.transaction() as run, database.transaction() as of_node:
            for statement in SHARED_TABLES:
                run(statement, {})
            if node not in dict(run(LOAD_SLOTS, {}).fetchall()):  # the shared file is new, or was lost
                for order, owner in of_node(ORDERS, {}):
                    run(KEEP_OWNER, {"id": order, "node": owner})
    return SafStore(database, node, node, 0, shared, used[0] if used is not None else slot)


def open_url(url: str, node: str, team: str, lease_us: int, password: str = "", slot: int = 0) -> SafStore:
    """Return the store in a PostgreSQL; it is connected to when it is first asked."""
    database = PostgresState(url, password, f"qianzhi {node}")
    return SafStore(database, node, team, lease_us, database, slot)


def prepare(url: str, password: str = "") -> None:
    """Make the tables in the schema `state`, and grant them to the role qianzhi_front where that exists.

    For the owner of the database; may be done again at any time.  Raises SafError.
    """
    database = PostgresState(url, password)
    try:
        with _in_words(), database.transaction() as run:
            run("CREATE SCHEMA IF NOT EXISTS state", {})
            for statement in (*TABLES, SLOTS_TABLE):
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
        values |= {"space": row.space, "serial": row.serial, "key": row.key.text}
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
