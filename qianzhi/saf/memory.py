"""A store in memory, with the rules of the real ones: for tests and for simulated worlds.  Pure.

`Shelf` is what survives a node's death, and what the nodes of a group share; `MemoryStore` is one node's door
to it.  It passes the same tests as the databases (`store`).
"""

from collections.abc import Callable, Iterable
from itertools import count
from typing import TypeVar

from qianzhi.saf.errors import LostError
from qianzhi.saf.rows import (
    Charge,
    Entry,
    Forget,
    Row,
    Saved,
    Serials,
    Standing,
    State,
    Taken,
    free_slot,
    joined,
    same,
)

T = TypeVar("T", Entry, Charge)

RECENT_US = 3_600_000_000  # charges that ended so lately are known still: an answer may come late


class Commons:
    """What all nodes of a site share, whoever keeps their rows: whose an order is, and which slot."""

    def __init__(self) -> None:
        self.owners: dict[str, str] = {}  # by order
        self.slots: dict[str, int] = {}  # by node


class Shelf:
    """All rows of a group, whose they are, and until when; a node's own where it has a file of its own."""

    def __init__(self, commons: Commons | None = None) -> None:
        self.commons = commons if commons is not None else Commons()
        self.orders: dict[str, tuple[str, str]] = {}  # every order that was ever charged: node and key
        self.entries: dict[str, tuple[str, Entry]] = {}  # by id, with the node that owns it
        self.charges: dict[str, tuple[str, Charge]] = {}
        self.serials: dict[tuple[str, int, int], int] = {}
        self.leases: dict[str, tuple[int, int]] = {}  # by node: its epoch, and until when
        self._epochs = count(1)

    def claim(self, node: str, until_us: int) -> int:
        """Begin a new life of a node, whatever another one may still do."""
        epoch = next(self._epochs)
        self.leases[node] = (epoch, until_us)
        return epoch


class MemoryStore:
    """One node's store; `wall_us` is the database's clock, `lease_us` 0 where rows are one node's alone."""

    def __init__(self, shelf: Shelf, node: str, lease_us: int, wall_us: Callable[[], int]) -> None:
        self._shelf = shelf
        self._node = node
        self._lease_us = lease_us
        self._wall_us = wall_us
        self._epoch = 0
        self._whole = True

    def load(self) -> Saved:
        """Return what this node owns, the first time, and later what it takes over; raises LostError."""
        now_us = self._wall_us()
        if self._epoch:
            self._renew(now_us)
        else:
            self._epoch = self._shelf.claim(self._node, now_us + self._lease_us)
        taken = self._take_over(now_us)
        whole, self._whole = self._whole, False
        entries = [one for one in self._mine(self._shelf.entries) if whole or one.id in taken]
        charges = [one for one in self._mine(self._shelf.charges) if whole or one.order in taken]
        return Saved(
            [entry for entry in entries if entry.state is not State.SETTLED],
            [one for one in charges if not one.ended_us or one.ended_us > now_us - RECENT_US],
            [Serials(*key, next_) for key, next_ in self._shelf.serials.items()],
            [],
            len(taken),
            self._slot(),
        )

    def write(self, rows: Iterable[Row]) -> list[Standing]:
        """Write all rows as one; return what stands already where a new row was to be written.

        Raises LostError, and then nothing was written.
        """
        self._renew(self._wall_us())
        versions = joined(rows)
        for row, since in versions:
            self._check(row, since)
        return [stood for row, since in versions if (stood := self._write(row, since)) is not None]

    def find(self, entry_id: str) -> Entry | None:
        """Return an entry whoever owns it, ended ones too."""
        found = self._shelf.entries.get(entry_id)
        return found[1] if found is not None else None

    def close(self) -> None:
        """Nothing is open."""

    def _check(self, row: Row, since: int) -> None:
        """Refuse all when a row that this write rests on is not there."""
        if isinstance(row, Entry | Charge) and since:
            there = self._shelf.entries if isinstance(row, Entry) else self._shelf.charges
            owner, stands = there.get(_key(row), ("", row))
            if owner != self._node or not since <= stands.version <= row.version:
                self._lose()

    def _write(self, row: Row, since: int) -> Standing | None:
        if isinstance(row, Entry):
            return self._put(self._shelf.entries, row, since)
        if isinstance(row, Charge):
            taken = self._claim(row) if since == 0 else None
            return taken or self._put(self._shelf.charges, row, since)
        if isinstance(row, Serials):
            key = (row.space, row.date, row.slot)
            self._shelf.serials[key] = max(row.next, self._shelf.serials.get(key, 0))
        elif isinstance(row, Forget):
            _forget(self._shelf.entries, row.before_us)
            _forget(self._shelf.charges, row.before_us)
        return None

    def _put(self, there: dict[str, tuple[str, T]], row: T, since: int) -> T | None:
        found = there.get(_key(row))
        if since == 0 and found is not None and not same(found[1], row):
            return found[1]
        there[_key(row)] = (self._node, row)
        return None

    def _claim(self, charge: Charge) -> Taken | None:
        """Make an order this node's for ever, or say whose it is."""
        order, key = charge.order, charge.key.text
        if not self._lease_us:
            owner = self._shelf.commons.owners.setdefault(order, self._node)
            if owner != self._node:
                return Taken(order, owner)
        node, first = self._shelf.orders.setdefault(order, (self._node, key))
        known = first == key or order in self._shelf.charges
        return None if known else Taken(order, node, first)

    def _slot(self) -> int:
        slots = self._shelf.commons.slots
        return slots.setdefault(self._node, free_slot(0, slots.values()))

    def _mine(self, there: dict[str, tuple[str, T]]) -> list[T]:
        return [one for node, one in there.values() if node == self._node]

    def _take_over(self, now_us: int) -> set[str]:
        """Make the open rows of dead nodes this one's; their next write is refused."""
        taken: set[str] = set()
        if not self._lease_us:
            return taken
        for node, (_, until_us) in list(self._shelf.leases.items()):
            if node != self._node and until_us < now_us:
                self._shelf.claim(node, until_us)
                taken |= self._take(self._shelf.entries, node) | self._take(self._shelf.charges, node)
        return taken

    def _take(self, there: dict[str, tuple[str, T]], node: str) -> set[str]:
        found = {key for key, (owner, one) in there.items() if owner == node and not one.ended_us}
        there.update({key: (self._node, there[key][1]) for key in found})
        return found

    def _renew(self, now_us: int) -> None:
        epoch, _ = self._shelf.leases.get(self._node, (0, 0))
        if not self._epoch or epoch != self._epoch:
            self._lose()
        self._shelf.leases[self._node] = (epoch, now_us + self._lease_us)

    def _lose(self) -> None:
        self._epoch, self._whole = 0, True
        raise LostError("these rows are another's now")


def _key(row: Entry | Charge) -> str:
    return row.id if isinstance(row, Entry) else row.order


def _forget(there: dict[str, tuple[str, T]], before_us: int) -> None:
    for key in [key for key, (_, one) in there.items() if 0 < one.ended_us < before_us]:
        del there[key]
