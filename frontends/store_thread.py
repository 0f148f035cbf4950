"""The one thread that reads and writes a front's store, so that the reactor never waits for it.

What was asked for is done in its order.  A write or a reading that fails is tried again until it succeeds:
what rests on it stays unsaid meanwhile, and what was asked for later waits behind it.  A write that was
decided upon rows which another instance has changed is not tried again: the core hears what stands there now.
"""

import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Any, NamedTuple

from frontends.session_rows import Basis, Saved
from frontends.store import FrontStore
from qianzhi.runtime import clock
from qianzhi.runtime.store import ConflictError, StateError

RETRY_SECONDS = 0.5


class Told(NamedTuple):
    """Whom the thread tells what, always on the reactor's thread.

    `loaded` answers `load`; `looked` brings rows that another instance has changed, unasked.
    """

    stored: Callable[[int], None]
    conflict: Callable[[int, Saved], None]
    loaded: Callable[[Saved], None]
    looked: Callable[[Saved], None]
    trouble: Callable[[str], None]
    healed: Callable[[], None]


class StoreThread:
    """Reads and writes one line's rows; `look_seconds`, if not 0, is how often it looks for changes."""

    def __init__(
        self, store: FrontStore, line: str, told: Told, reactor: Any, look_seconds: float = 0
    ) -> None:
        """Nothing is read or written before `start`."""
        self._store = store
        self._line = line
        self._told = told
        self._reactor = reactor
        self._look_seconds = look_seconds
        self._looked_seconds = 0.0
        self._seen = ""
        self._troubled = False
        self._work: SimpleQueue[tuple[Callable[..., None], tuple[Any, ...]] | None] = SimpleQueue()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="front-store", daemon=True)

    def start(self) -> None:
        """Begin to read and write."""
        self._thread.start()

    def write(self, token: int, rows: list[Any]) -> None:
        """Write these rows after what was asked for before."""
        self._work.put((self._write, (token, rows)))

    def load(self) -> None:
        """Read the line's rows after what was asked for before."""
        self._work.put((self._load, ()))

    def stop(self) -> None:
        """Finish what was asked for, once each, and end; blocks for as long as that takes."""
        self._stopping.set()
        self._work.put(None)
        if self._thread.is_alive():
            self._thread.join()
        self._store.close()

    def _run(self) -> None:
        while True:
            try:
                item = self._work.get(timeout=self._look_seconds or None)
            except Empty:
                item = (self._look, ())
            if item is None:
                return
            self._try(*item)
            if self._look_seconds and clock.monotonic_seconds() - self._looked_seconds > self._look_seconds:
                self._try(self._look)

    def _try(self, work: Callable[..., None], arguments: tuple[Any, ...] = ()) -> None:
        """Do it until it succeeds; say once that it does not, and once that it does again."""
        while True:
            try:
                work(*arguments)
            except StateError as error:
                if not self._troubled:
                    self._troubled = True
                    self._tell(self._told.trouble, str(error))
                if self._stopping.wait(RETRY_SECONDS):
                    return
            else:
                if self._troubled:
                    self._troubled = False
                    self._tell(self._told.healed)
                return

    def _write(self, token: int, rows: list[Any]) -> None:
        try:
            self._store.write(rows)
        except ConflictError:
            self._tell(self._told.conflict, token, self._read())
        else:
            self._seen = next((row.stamp for row in rows if isinstance(row, Basis)), self._seen)
            self._tell(self._told.stored, token)

    def _load(self) -> None:
        self._tell(self._told.loaded, self._read())

    def _look(self) -> None:
        """Read the rows when another write has left them than the one that was seen last."""
        self._looked_seconds = clock.monotonic_seconds()
        if self._store.stamp(self._line) != self._seen:
            self._tell(self._told.looked, self._read())

    def _read(self) -> Saved:
        self._looked_seconds = clock.monotonic_seconds()
        saved = self._store.load(self._line)
        self._seen = saved.stamp
        return saved

    def _tell(self, call: Callable[..., None], *arguments: Any) -> None:
        self._reactor.callFromThread(call, *arguments)
