"""Messages that were given out before: each handled alone, so that one that ends the process is found.

A queue gives a message again when its consumer died over it, together with all that the consumer had beside
it.  Which of them was at fault, the queue cannot say.  So a message that comes again is handled by itself,
and while it is, its name is written down; whoever starts and finds a name knows that its handling failed
alone.  After the second time the message is backed out (money rule 9).  Pure.
"""

import hashlib
from collections import deque
from typing import NamedTuple

from bankmq.queue import Delivery

FAILED_ALONE = "failed_alone"
FAILURES_MAX = 2
NAMES_MAX = 100


class Turn(NamedTuple):
    """One delivery whose turn it is; `suspect` names what is to be written down before it is handled, empty
    where it is handled no more."""

    delivery: Delivery
    suspect: str


class AloneCore:
    """The deliveries that came again, and what is known of how their handling ended."""

    def __init__(self, written: str) -> None:
        """`written` is what the process before this one had written down when it ended."""
        self._failures = _read(written)
        self._waiting: deque[Delivery] = deque()

    @property
    def waiting(self) -> bool:
        """Whether somebody's turn is next."""
        return bool(self._waiting)

    @property
    def written(self) -> str:
        """What is to stand written down now."""
        names = list(self._failures.items())[-NAMES_MAX:]
        return "".join(f"{name} {failures}\n" for name, failures in names)

    def put_aside(self, items: list[Delivery]) -> list[Delivery]:
        """Return the deliveries that come for the first time; the others wait for their turn."""
        self._waiting.extend(item for item in items if item.failures)
        return [item for item in items if not item.failures]

    def clear(self) -> None:
        """Forget who waits."""
        self._waiting.clear()

    def take(self) -> Turn:
        """Return the next one: with its suspicion, or, having failed alone too often, with its fault."""
        item = self._waiting.popleft()
        name = _name(item)
        failures = self._failures.pop(name, 0)
        if failures >= FAILURES_MAX:
            return Turn(item._replace(fault=item.fault or FAILED_ALONE), "")
        self._failures[name] = failures + 1
        return Turn(item, name)

    def handled(self, turn: Turn) -> None:
        """The handling has ended, and the process lives."""
        self._failures.pop(turn.suspect, None)


def _read(text: str) -> dict[str, int]:
    words = [line.split() for line in text.splitlines()[:NAMES_MAX]]
    return {pair[0]: int(pair[1]) for pair in words if len(pair) == 2 and pair[1] in ("1", "2")}


def _name(item: Delivery) -> str:
    parts = (item.queue.encode(), item.message_id, item.body)
    return hashlib.sha256(b"".join(b"%d:%b" % (len(part), part) for part in parts)).hexdigest()
