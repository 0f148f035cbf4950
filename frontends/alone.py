"""Messages that were given out before: each handled alone, so that one that ends the process is found.

A queue gives a message again when its consumer died over it, together with all that the consumer had beside
it.  Which of them was at fault, the queue cannot say.  So a message that comes again is handled by itself,
and while it is, its name stands in a small file; whoever starts and finds a name there knows that its
handling failed alone.  After the second time the message is backed out (money rule 9).

A plain crash of the process is what the file must survive, so it is written and not synced.
"""

import contextlib
import hashlib
from collections import deque
from pathlib import Path
from typing import Any, Protocol

from bankmq.queue import Delivery
from qianzhi.runtime.crash import crashpoint

FAILED_ALONE = "failed_alone"
FAILURES_MAX = 2
NAMES_MAX = 100


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
        self._failures = _read(path)
        self._waiting: deque[Delivery] = deque()
        self._timer: Any = None
        with contextlib.suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)

    def put_aside(self, items: list[Delivery], handle: Handle) -> list[Delivery]:
        """Return the deliveries that come for the first time; the others are handled alone, from the next
        turn of the reactor on."""
        first = [item for item in items if not item.failures]
        self._waiting.extend(item for item in items if item.failures)
        self._plan(handle)
        return first

    def stop(self) -> None:
        """Hand over nothing more."""
        self._waiting.clear()
        if self._timer is not None and self._timer.active():
            self._timer.cancel()

    def _plan(self, handle: Handle) -> None:
        if self._waiting and self._timer is None:
            self._timer = self._reactor.callLater(0, self._next, handle)

    def _next(self, handle: Handle) -> None:
        self._timer = None
        if not self._waiting:
            return
        item = self._waiting.popleft()
        self._plan(handle)
        name = _name(item)
        failures = self._failures.pop(name, 0)
        if failures >= FAILURES_MAX:
            handle([item._replace(fault=item.fault or FAILED_ALONE)])
            self._write()
            return
        self._failures[name] = failures + 1
        self._write()
        crashpoint("front.handling_alone")
        handle([item])
        del self._failures[name]
        self._write()

    def _write(self) -> None:
        names = list(self._failures.items())[-NAMES_MAX:]
        text = "".join(f"{name} {failures}\n" for name, failures in names)
        with contextlib.suppress(OSError):  # a full disk: then nothing is known, and nothing is backed out
            self._path.write_text(text, encoding="ascii")


def _read(path: Path) -> dict[str, int]:
    try:
        lines = path.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return {}
    words = [line.split() for line in lines[:NAMES_MAX]]
    return {pair[0]: int(pair[1]) for pair in words if len(pair) == 2 and pair[1] in ("1", "2")}


def _name(item: Delivery) -> str:
    parts = (item.queue.encode(), item.message_id, item.body)
    return hashlib.sha256(b"".join(b"%d:%b" % (len(part), part) for part in parts)).hexdigest()
