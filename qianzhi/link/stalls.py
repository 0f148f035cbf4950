"""What a process that stood still must take off the budgets that it then reads.  Pure.

A budget is told as what is left at sending.  Bytes that lay in a socket while the process was stopped, or the
machine had no time for it, are read later than they came, and nothing says by how much; it cannot be more
than the standstill.  So the whole of that is taken off: a request whose time is over by then is not passed
on, and one that has some left loses nothing but time.
"""

from collections.abc import Iterator

import msgspec

from qianzhi.link.events import LinkEvent, Requests
from qianzhi.link.messages import Envelope

TICK_US = 500_000  # how often the shell says that it is alive
STALL_US = 500_000  # later than that by so much is a standstill
AFTER_US = 250_000  # in which all is read that lay waiting


class Stalls:
    """Told of the time by a regular `tick`; says how long what is read now may have lain waiting."""

    def __init__(self, now_us: int) -> None:
        self._ticked_us = now_us
        self._stall_us = 0
        self._ended_us = now_us - AFTER_US

    def tick(self, now_us: int) -> None:
        """Note that the process runs."""
        self._look(now_us)
        self._ticked_us = now_us

    def late_us(self, now_us: int) -> int:
        """Return how late what is read now may be, 0 where the process did not stand still."""
        self._look(now_us)
        return self._stall_us if now_us - self._ended_us < AFTER_US else 0

    def _look(self, now_us: int) -> None:
        """A standstill that two ticks or two readings see is one."""
        stall_us = now_us - self._ticked_us - TICK_US
        if stall_us >= STALL_US:
            self._stall_us, self._ended_us = stall_us, now_us
            self._ticked_us = now_us


def shortened(events: list[tuple[str, LinkEvent]], late_us: int) -> Iterator[tuple[str, LinkEvent]]:
    """Yield the events with `late_us` taken off the budget of every request."""
    late_ms = -(-late_us // 1_000)
    for peer, event in events:
        if isinstance(event, Requests):
            event = Requests([_short(item, late_ms) for item in event.items])
        yield peer, event


def _short(envelope: Envelope, late_ms: int) -> Envelope:
    return msgspec.structs.replace(envelope, budget_ms=max(0, envelope.budget_ms - late_ms))
