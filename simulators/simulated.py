"""A simulated bank, whole: its model and its line as one pure core with the usual form.

shell ── frames ──▶ line ── answers ──▶ model ── requests ──▶ line ── frames ──▶ shell
"""

from itertools import groupby

from qianzhi.runtime.effects import Effects, Send
from qianzhi.runtime.now import Now
from simulators.bank import BankModel
from simulators.line import SETTLED, Incoming, Line, Outgoing
from simulators.record import Heard, Record
from simulators.report import Report


class SimulatedBank:
    """One bank on one line; effects are `Send(endpoint, [Outgoing…])` and `Send(SETTLED, [ticket…])`."""

    def __init__(self, model: BankModel, line: Line) -> None:
        self.model = model
        self.line = line
        self._ready = False

    def on_connected(self, now: Now) -> Effects:
        """The transport stands: open the session."""
        return self._go(self.line.on_connected(now), [], [], now)

    def on_closed(self, now: Now) -> Effects:
        """The transport is gone: all that was on its way is unknown."""
        self.line.on_closed()
        self._ready = False
        return self._go([], [], self.model.on_lost(now), now)

    def on_frames(self, items: list[Incoming], now: Now) -> Effects:
        """Take what came, whole frames in order."""
        heard, out = self.line.on_frames(items, now)
        return self._go(out, heard, [], now)

    def on_time(self, now: Now) -> Effects:
        """Do what is due in the session and in the model."""
        return self._go(self.line.on_time(now), [], self.model.on_time(now), now)

    @property
    def deadline(self) -> int | None:
        """Return when `on_time` is wanted next."""
        return min((t for t in (self.line.deadline, self.model.deadline) if t is not None), default=None)

    def stop(self) -> None:
        """Begin nothing new."""
        self.model.stop()

    def settled(self) -> bool:
        """Whether every serial has its final state."""
        return self.model.settled()

    def report(self) -> Report:
        """Return the bank's numbers."""
        report = self.model.report()
        report.bad, report.unmatched = self.line.bad, self.line.unmatched
        return report

    def records(self) -> list[Record]:
        """Return the records of all serials that the core may know."""
        return self.model.records()

    def _go(self, out: list[Outgoing], heard: list[Heard], effects: Effects, now: Now) -> Effects:
        """Let the model hear, tell it when the line opened or closed to requests, and send what both want."""
        ready = self.line.ready
        if self._ready and not ready:
            self.model.on_paused()
        if heard:
            effects = effects + self.model.on_heard(heard, now)
        if ready and not self._ready:
            effects = effects + self.model.on_ready(now)
        self._ready = ready
        asks = [ask for effect in effects if isinstance(effect, Send) for ask in effect.items]
        out = out + self.line.carry(asks, now)
        forgotten = self.model.take_forgotten()
        self.line.forget(forgotten)
        settled: Effects = [Send(SETTLED, forgotten)] if forgotten else []
        return settled + [
            Send(endpoint, list(items)) for endpoint, items in groupby(out, lambda item: item.endpoint)
        ]
