"""A store in memory, with the rules of the real ones: for tests and for simulated worlds.  Pure.

`Shelf` is what survives a node's death, and what the nodes of a group share; `MemoryStore` is one node's door
to it.  It passes the same tests as the databases (`store`).
"""

from collections.abc import Callable, Iterable
from itertools import count
from typing import TypeVar

from qianzhi.saf.errors import LostError
from qianzhi.saf.rows import Charge, Entry, Forget, Row, Saved, Serials, State

T = TypeVar("T", Entry, Charge)

RECENT_US = 3_600_000_000  # charges that ended so lately are known still: an answer may come late


class Shelf:
    """All rows of a group, whose they are, and until when."""

    def __init__(self) -> None:
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
        )

    def write(self, rows: Iterable[Row]) -> list[Entry | Charge]:
        """Write all rows as one; return what stands already where a new row was to be written.

        Raises LostError, and then nothing was written.
        """
        self._renew(self._wall_us())
        rows = list(rows)
        entries, charges = dict(self._shelf.entries), dict(self._shelf.charges)
        standing = [stood for row in rows if (stood := self._write(row, entries, charges)) is not None]
        self._shelf.entries, self._shelf.charges = entries, charges
        for row in rows:
            if isinstance(row, Serials):
                key = (row.space, row.date, row.slot)
                self._shelf.serials[key] = max(row.next, self._shelf.serials.get(key, 0))
        return standing

    def find(self, entry_id: str) -> Entry | None:
        """Return an entry whoever owns it, ended ones too."""
        found = self._shelf.entries.get(entry_id)
        return found[1] if found is not None else None

    def close(self) -> None:
        """Nothing is open."""

    def _write(
        self, row: Row, entries: dict[str, tuple[str, Entry]], charges: dict[str, tuple[str, Charge]]
    ) -> Entry | Charge | None:
        if isinstance(row, Entry):
            return self._put(entries, row.id, row)
        if isinstance(row, Charge):
            return self._put(charges, row.order, row)
        if isinstance(row, Forget):
            for old in [key for key, (_, one) in entries.items() if 0 < one.ended_us < row.before_us]:
                del entries[old]
            for old in [key for key, (_, one) in charges.items() if 0 < one.ended_us < row.before_us]:
                del charges[old]
        return None

    def _put(self, there: dict[str, tuple[str, T]], key: str, row: T) -> T | None:
        found = there.get(key)
        if row.version == 1:
            if found is not None:
                return None if found[1] == row else found[1]
        elif (
            found is None or found[0] != self._node or found[1].version not in (row.version - 1, row.version)
        ):
            self._lose()
        there[key] = (self._node, row)
        return None

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
