"""A node's rows in the simulated world: the thread of its store, with the real memory store behind it.  Pure.

What was asked for is done in its order and tried again until it succeeds; what rests on it waits.  The rows
stand when they are written, whatever becomes of the node before it hears of that.
"""

from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple

from qianzhi.saf.errors import LostError
from qianzhi.saf.memory import MemoryStore
from qianzhi.saf.rows import Charge, Entry, Row, Saved, Standing, Taken
from simulators.world.disk import RETRY_US, Disk
from simulators.world.process import Process


class Told(NamedTuple):
    """Whom the rows tell what, as `qianzhi.saf.store_thread.Told`."""

    stored: Callable[[int, list[Entry | Charge]], None]
    loaded: Callable[[Saved], None]
    lost: Callable[[int | None], None]
    trouble: Callable[[str], None]


class SafLine:
    """One life's thread."""

    def __init__(self, process: Process, disk: Disk, store: MemoryStore, told: Told) -> None:
        """Nothing is read or written before it is asked for."""
        self._process = process
        self._disk = disk
        self._store = store
        self._told = told
        self._work: deque[tuple[int | None, list[Row]]] = deque()
        self._busy = False
        self._troubled = False

    def write(self, token: int, rows: list[Row]) -> None:
        """Write these rows after what was asked for before."""
        self._add(token, rows)

    def load(self) -> None:
        """Read after what was asked for before."""
        self._add(None, [])

    def died(self) -> None:
        """The node is gone: a transaction that was being written is there whole, or not at all."""
        if not self._busy:
            return
        token, rows = self._work[0]
        if token is not None and not self._disk.full and self._disk.torn_now:
            with suppress(LostError):
                self._write(rows)

    def _write(self, rows: list[Row]) -> Any:
        standing = self._store.write(rows)
        refused = {name_of(one) for one in standing}
        kept = [row for row in rows if name_of(row) not in refused]
        for observer in self._process.kernel.observers:
            observer.on_kept(self._process.name, kept)
        return standing

    def _add(self, token: int | None, rows: list[Row]) -> None:
        self._work.append((token, rows))
        if not self._busy:
            self._busy = True
            self._process.later(self._disk.write_us, "saf store", self._next)

    def _next(self) -> None:
        token, rows = self._work[0]
        if self._disk.full and token is not None:
            if not self._troubled:
                self._troubled = True
                self._told.trouble("no room on the disk")
            self._process.later(RETRY_US, "saf store again", self._next)
            return
        if self._troubled:
            self._troubled = False
            self._told.trouble("")
        self._work.popleft()
        self._busy = bool(self._work)
        if self._busy:
            self._process.later(self._disk.write_us, "saf store", self._next)
        self._do(token, rows)

    def _do(self, token: int | None, rows: list[Row]) -> None:
        answer: Any
        try:
            answer = self._store.load() if token is None else self._write(rows)
        except LostError:
            self._told.lost(token)
            return
        if token is None:
            for observer in self._process.kernel.observers:
                observer.on_loaded(self._process.name, answer.entries)
            self._told.loaded(answer)
        else:
            self._told.stored(token, answer)


def name_of(row: Row | Standing) -> str | None:
    """Return the entry or the order that a row is about, None for a row of another kind."""
    if isinstance(row, Entry):
        return row.id
    return row.order if isinstance(row, Charge | Taken) else None
