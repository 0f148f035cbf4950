"""The one thread that reads and writes a node's rows, so that the reactor never waits for them.

What was asked for is done in its order, again until it succeeds (`qianzhi.runtime.work_thread`).  A node
whose rows are another's now hears that for each thing that it had asked for.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

from qianzhi.runtime.work_thread import WorkThread
from qianzhi.saf.errors import LostError, SafError
from qianzhi.saf.rows import Entry, Row, Saved, Standing


class Rows(Protocol):
    """A store, blocking."""

    def load(self) -> Saved:
        """Return what is owned, or was taken over."""

    def write(self, rows: list[Row]) -> list[Standing]:
        """Write rows as one."""

    def find(self, entry_id: str) -> Entry | None:
        """Return an entry by its id."""

    def close(self) -> None:
        """Let it go."""


class Told(NamedTuple):
    """Whom the thread tells what, always on the reactor's thread; `lost` hears None for a load."""

    stored: Callable[[int, Sequence[Standing]], None]
    loaded: Callable[[Saved], None]
    lost: Callable[[int | None], None]
    trouble: Callable[[str], None]  # why, or nothing when it is over


class SafThread:
    """Reads and writes one node's rows."""

    def __init__(self, store: Rows, told: Told, reactor: Any) -> None:
        """Nothing is read or written before `start`."""
        self._store = store
        self._told = told
        self._thread = WorkThread("saf-store", reactor, SafError, told.trouble)

    def start(self) -> None:
        """Begin to read and write."""
        self._thread.start()

    def write(self, token: int, rows: list[Row]) -> None:
        """Write these rows after what was asked for before."""
        self._thread.do(self._write, token, rows)

    def load(self) -> None:
        """Read after what was asked for before."""
        self._thread.do(self._load)

    def find(self, entry_id: str, found: Callable[[Entry | None], None]) -> None:
        """Look an entry up after what was asked for before."""
        self._thread.do(self._find, entry_id, found)

    def stop(self) -> None:
        """Finish what was asked for, once each, and end; blocks for as long as that takes."""
        self._thread.stop()
        self._store.close()

    def _write(self, token: int, rows: list[Row]) -> None:
        try:
            standing = self._store.write(rows)
        except LostError:
            self._thread.tell(self._told.lost, token)
        else:
            self._thread.tell(self._told.stored, token, standing)

    def _load(self) -> None:
        try:
            saved = self._store.load()
        except LostError:
            self._thread.tell(self._told.lost, None)
        else:
            self._thread.tell(self._told.loaded, saved)

    def _find(self, entry_id: str, found: Callable[[Entry | None], None]) -> None:
        self._thread.tell(found, self._store.find(entry_id))
