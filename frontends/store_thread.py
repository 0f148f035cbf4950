"""The one thread that reads and writes a front's store, so that the reactor never waits for it.

What was asked for is done in its order, again until it succeeds (`qianzhi.runtime.work_thread`).  A write
that was decided upon rows which another instance has changed is not tried again: the core hears what stands
there now.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from frontends.session_rows import Basis, Saved
from frontends.store import FrontStore
from qianzhi.runtime import clock
from qianzhi.runtime.store import ConflictError, StateError
from qianzhi.runtime.work_thread import WorkThread


class Told(NamedTuple):
    """Whom the thread tells what, always on the reactor's thread.

    `loaded` answers `load`; `looked` brings rows that another instance has changed, unasked; `trouble` hears
    why the store does not serve, and an empty text when it does again.
    """

    stored: Callable[[int], None]
    conflict: Callable[[int, Saved], None]
    loaded: Callable[[Saved], None]
    looked: Callable[[Saved], None]
    trouble: Callable[[str], None]


class StoreThread:
    """Reads and writes one line's rows; `look_seconds`, if not 0, is how often it looks for changes."""

    def __init__(
        self, store: FrontStore, line: str, told: Told, reactor: Any, look_seconds: float = 0
    ) -> None:
        """Nothing is read or written before `start`."""
        self._store = store
        self._line = line
        self._told = told
        self._look_seconds = look_seconds
        self._looked_seconds = clock.monotonic_seconds()
        self._seen = ""
        self._thread = WorkThread("front-store", reactor, StateError, told.trouble, self._idle)

    def start(self) -> None:
        """Begin to read and write."""
        self._thread.start()

    def write(self, token: int, rows: list[Any]) -> None:
        """Write these rows after what was asked for before."""
        self._thread.do(self._write, token, rows)

    def load(self) -> None:
        """Read the line's rows after what was asked for before."""
        self._thread.do(self._load)

    def stop(self) -> None:
        """Finish what was asked for, once each, and end; blocks for as long as that takes."""
        self._thread.stop()
        self._store.close()

    def _write(self, token: int, rows: list[Any]) -> None:
        try:
            self._store.write(rows)
        except ConflictError:
            self._thread.tell(self._told.conflict, token, self._read())
        else:
            self._seen = next((row.stamp for row in rows if isinstance(row, Basis)), self._seen)
            self._thread.tell(self._told.stored, token)

    def _load(self) -> None:
        self._thread.tell(self._told.loaded, self._read())

    def _idle(self) -> float | None:
        """Read the rows, where it is time, if another write has left them than the one that was seen last."""
        if not self._look_seconds:
            return None
        rest_seconds = self._looked_seconds + self._look_seconds - clock.monotonic_seconds()
        if rest_seconds > 0:
            return rest_seconds
        self._looked_seconds = clock.monotonic_seconds()
        if self._store.stamp(self._line) != self._seen:
            self._thread.tell(self._told.looked, self._read())
        return self._look_seconds

    def _read(self) -> Saved:
        self._looked_seconds = clock.monotonic_seconds()
        saved = self._store.load(self._line)
        self._seen = saved.stamp
        return saved
