"""What the cores of a front-end daemon share: where frames come from, and the order in which things are done.

A source is a socket's number or a queue's delivery tag; a core never knows which.  `Outbox` gathers what one
call wants done and lays it out so that a record always stands before the bytes that it is the record of.
"""

from collections.abc import Hashable
from typing import Any, NamedTuple

from qianzhi.runtime.effects import Alarm, Close, Count, Effect, Effects, Event, Load, Record, Send, Store

# Where a front's `Send` goes: `items` are (source, frame) to the bank, tags that need no answer any more, or
# (tag, reason) of queue messages that cannot be served for a fault of their own.
TO_BANK = "bank"
DONE = "done"
BACKOUT = "backout"

# What a front's `Pause` stops: a bank's main queue.  Sockets are paused by the socket pool alone.
MAIN_QUEUE = "main"

FRAMES = "qianzhi_frames_total"
SESSION_EVENTS = "qianzhi_session_events_total"


class Frame(NamedTuple):
    """One frame as it came: `source` takes its answer; `expires_us` (wall) is 0 where no expiry was set.

    `fault` says why a queue message cannot be served whatever its body is; empty for nothing.
    """

    source: Hashable
    body: bytes
    expires_us: int = 0
    fault: str = ""


class Outbox:
    """What one call of a core wants done; `effects()` lays it out, records first."""

    def __init__(self, bank: str) -> None:
        self._bank = bank
        self.rows: list[Event] = []  # in their order, to be written before anything is sent
        self._to_bank: list[tuple[Hashable, bytes]] = []
        self._done: list[Hashable] = []
        self._backout: list[tuple[Hashable, str]] = []
        self._alarms: Effects = []
        self._after: Effects = []
        self._counts: dict[tuple[str, tuple[str, ...]], int] = {}

    def record(self, row: Event) -> None:
        """Write this row before anything is sent."""
        self.rows.append(row)

    def note(self, name: str, wall_us: int, *, key: str = "", trace: str = "", **data: Any) -> None:
        """Record a named event and count it under its name."""
        self.rows.append(Event(wall_us, name, key, trace, data))
        self.count(SESSION_EVENTS, self._bank, name)

    def count_event(self, name: str) -> None:
        """Count something too ordinary to be recorded."""
        self.count(SESSION_EVENTS, self._bank, name)

    def send(self, source: Hashable, frame: bytes) -> None:
        """Send a frame's body to the bank; its record must have been given before."""
        self._to_bank.append((source, frame))

    def done(self, source: Hashable) -> None:
        """Say that `source` gets no answer: a queue's delivery is finished, on a socket nothing happens."""
        self._done.append(source)

    def back_out(self, source: Hashable, reason: str) -> None:
        """Put a queue's message aside, for its own fault and before anything of it was forwarded."""
        self._backout.append((source, reason))

    def count(self, name: str, *labels: str, n: int = 1) -> None:
        """Add to a counter."""
        counted = name, labels
        self._counts[counted] = self._counts.get(counted, 0) + n

    def alarm(self, name: str, **fields: Any) -> None:
        """Raise an alarm; nothing secret may stand in `fields`."""
        self._alarms.append(Alarm(name, {"bank": self._bank, **fields}))

    def close(self, source: Hashable, reason: str) -> None:
        """Close a connection after everything else is sent."""
        self._after.append(Close(source, reason))

    def store(self, token: int, rows: list[Any]) -> None:
        """Write rows durably; what rests on them waits for `on_stored(token)`."""
        self._after.append(Store(token, rows))

    def load(self) -> None:
        """Read the stored rows again, after what stands to be written."""
        self._after.append(Load())

    def extend(self, effects: Effects) -> None:
        """Carry another core's effects (a hop's sends) after the records of this call."""
        self._after.extend(effects)

    def effects(self) -> Effects:
        """Return everything in its order: alarms, the record, what goes to the bank, the rest, the counts."""
        laid: list[Effect] = [*self._alarms]
        if self.rows:
            laid.append(Record(self.rows))
        if self._to_bank:
            laid.append(Send(TO_BANK, self._to_bank))
            self.count(FRAMES, self._bank, "out", n=len(self._to_bank))
        if self._done:
            laid.append(Send(DONE, self._done))
        if self._backout:
            laid.append(Send(BACKOUT, self._backout))
        laid += self._after
        laid += [Count(name, labels, n) for (name, labels), n in self._counts.items()]
        return laid
