"""The one thread that writes a front's store, so that the reactor never waits for a disk.

Writes are done in the order in which they were asked for.  A write that the disk refuses is tried again until
it succeeds: what rests on it stays unsaid meanwhile, and later writes wait behind it.
"""

import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any

from frontends.store import FrontStore, StoreError

RETRY_SECONDS = 1.0


class StoreThread:
    """Writes for one store; `on_stored(token)` and `on_trouble()` are called on the reactor's thread."""

    def __init__(
        self,
        store: FrontStore,
        on_stored: Callable[[int], None],
        on_trouble: Callable[[], None],
        reactor: Any,
    ) -> None:
        self._store = store
        self._on_stored = on_stored
        self._on_trouble = on_trouble
        self._reactor = reactor
        self._work: SimpleQueue[tuple[int, list[Any]] | None] = SimpleQueue()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="front-store", daemon=True)

    def start(self) -> None:
        """Begin to write."""
        self._thread.start()

    def write(self, token: int, rows: list[Any]) -> None:
        """Write these rows after those before them."""
        self._work.put((token, rows))

    def stop(self) -> None:
        """Finish what was asked for, once each, and end; blocks for as long as that takes."""
        self._stopping.set()
        self._work.put(None)
        if self._thread.is_alive():
            self._thread.join()
        self._store.close()

    def _run(self) -> None:
        while (item := self._work.get()) is not None:
            token, rows = item
            if self._write(rows):
                self._reactor.callFromThread(self._on_stored, token)

    def _write(self, rows: list[Any]) -> bool:
        while True:
            try:
                self._store.write(rows)
            except StoreError:
                self._reactor.callFromThread(self._on_trouble)
                if self._stopping.wait(RETRY_SECONDS):
                    return False
            else:
                return True
