"""The one thread that reads and writes a node's rows, so that the reactor never waits for them.

What was asked for is done in its order.  What fails is tried again until it succeeds: what rests on it stays
unsent meanwhile.  A node whose rows are another's now hears that for each thing that it had asked for.
"""

import threading
import traceback
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from typing import Any, NamedTuple, Protocol

from qianzhi.runtime.log import end_process
from qianzhi.saf.errors import LostError, SafError
from qianzhi.saf.rows import Entry, Row, Saved, Standing

RETRY_SECONDS = 0.5


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
        self._reactor = reactor
        self._troubled = False
        self._work: SimpleQueue[tuple[Callable[..., None], tuple[Any, ...]] | None] = SimpleQueue()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="saf-store", daemon=True)

    def start(self) -> None:
        """Begin to read and write."""
        self._thread.start()

    def write(self, token: int, rows: list[Row]) -> None:
        """Write these rows after what was asked for before."""
        self._work.put((self._write, (token, rows)))

    def load(self) -> None:
        """Read after what was asked for before."""
        self._work.put((self._load, ()))

    def find(self, entry_id: str, found: Callable[[Entry | None], None]) -> None:
        """Look an entry up after what was asked for before."""
        self._work.put((self._find, (entry_id, found)))

    def stop(self) -> None:
        """Finish what was asked for, once each, and end; blocks for as long as that takes."""
        self._stopping.set()
        self._work.put(None)
        if self._thread.is_alive():
            self._thread.join()
        self._store.close()

    def _run(self) -> None:
        ended = False
        try:
            while (item := self._work.get()) is not None:
                self._try(*item)
            ended = True
        finally:
            if not ended:  # promises would be taken and never stored
                end_process("saf store failed", "an exception that nobody expected", traceback.format_exc())

    def _try(self, work: Callable[..., None], arguments: tuple[Any, ...]) -> None:
        """Do it until it succeeds; say once that it does not, and once that it does again."""
        while True:
            try:
                work(*arguments)
            except SafError as error:
                if not self._troubled:
                    self._troubled = True
                    self._tell(self._told.trouble, str(error))
                if self._stopping.wait(RETRY_SECONDS):
                    return
            else:
                if self._troubled:
                    self._troubled = False
                    self._tell(self._told.trouble, "")
                return

    def _write(self, token: int, rows: list[Row]) -> None:
        try:
            standing = self._store.write(rows)
        except LostError:
            self._tell(self._told.lost, token)
        else:
            self._tell(self._told.stored, token, standing)

    def _load(self) -> None:
        try:
            saved = self._store.load()
        except LostError:
            self._tell(self._told.lost, None)
        else:
            self._tell(self._told.loaded, saved)

    def _find(self, entry_id: str, found: Callable[[Entry | None], None]) -> None:
        self._tell(found, self._store.find(entry_id))

    def _tell(self, call: Callable[..., None], *arguments: Any) -> None:
        self._reactor.callFromThread(call, *arguments)
