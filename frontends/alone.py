"""The small file in which a front-end writes which message it is handling alone (`alone_core`), and the turns
of the reactor in which that happens.

A plain crash of the process is what the file must survive, so it is written and not synced.
"""

import contextlib
from pathlib import Path
from typing import Any, Protocol

from bankmq.queue import Delivery
from frontends.alone_core import AloneCore
from qianzhi.runtime.crash import crashpoint


class Handle(Protocol):
    """Who handles deliveries."""

    def __call__(self, items: list[Delivery]) -> None:
        """Handle one list."""


class Alone:
    """Keeps the deliveries that came again, and hands them over one by one."""

    def __init__(self, path: Path, reactor: Any) -> None:
        """`path` is the file of names; what stands there was being handled when the process ended."""
        self._path = path
        self._reactor = reactor
        self._core = AloneCore(_read(path))
        self._timer: Any = None
        with contextlib.suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)

    def put_aside(self, items: list[Delivery], handle: Handle) -> list[Delivery]:
        """Return the deliveries that come for the first time; the others are handled alone, from the next
        turn of the reactor on."""
        first = self._core.put_aside(items)
        self._plan(handle)
        return first

    def stop(self) -> None:
        """Hand over nothing more."""
        self._core.clear()
        if self._timer is not None and self._timer.active():
            self._timer.cancel()

    def _plan(self, handle: Handle) -> None:
        if self._core.waiting and self._timer is None:
            self._timer = self._reactor.callLater(0, self._next, handle)

    def _next(self, handle: Handle) -> None:
        self._timer = None
        if not self._core.waiting:
            return
        turn = self._core.take()
        self._plan(handle)
        if turn.suspect:
            self._write()
            crashpoint("front.handling_alone")
        handle([turn.delivery])
        self._core.handled(turn)
        self._write()

    def _write(self) -> None:
        with contextlib.suppress(OSError):  # a full disk: then nothing is known, and nothing is backed out
            self._path.write_text(self._core.written, encoding="ascii")


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""
