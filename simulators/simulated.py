"""A simulated bank, whole: its model and its line as one pure core with the usual form.

shell ── frames ──▶ line ── answers ──▶ model ── requests ──▶ line ── frames ──▶ shell
"""

from collections.abc import Callable
from itertools import groupby

from qianzhi.domain.requests import Kind, Request
from qianzhi.domain.results import Result
from qianzhi.runtime.effects import Effects, Send
from qianzhi.runtime.now import Now
from simulators.bank import BankModel
from simulators.line import SETTLED, Incoming, Line, Outgoing
from simulators.record import Ask, Heard, Record
from simulators.report import Report
from simulators.sums import Day, Sums

TOTALS_TICKET = 1 << 40  # tickets of questions about totals begin here, far from the model's
NO_ANSWER = "no answer"


class SimulatedBank:
    """One bank on one line; effects are `Send(endpoint, [Outgoing…])` and `Send(SETTLED, [ticket…])`."""

    def __init__(self, model: BankModel, line: Line) -> None:
        self.model = model
        self.line = line
        self._ready = False
        self._totals: dict[int, Day] = {}  # of questions about totals: ticket -> day

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

    def ask_totals(self, days: dict[Day, Sums], serials: Callable[[], int], now: Now) -> Effects:
        """Ask whether the platform counts the same on these days; the report has what it says."""
        identity, asks = self.model.identity, []
        for day, sums in days.items():
            ticket = TOTALS_TICKET + len(self._totals)
            self._totals[ticket] = day
            self.model.report().totals[day.text] = NO_ANSWER
            request = Request(
                kind=Kind.TOTALS,
                space=identity.space,
                date=day.date,
                serial=self.line.serial_text(serials(), day.date),
                bank=identity.bank,
                bank_number=day.number,
                amount_fen=sums.paid_fen,
                count=sums.paid_count,
                reversed_count=sums.reversed_count,
                reversed_fen=sums.reversed_fen,
            )
            asks.append(Ask(ticket, request, now.wall_us))
        return self._go(self.line.carry(asks, now), [], [], now)

    @property
    def asking_totals(self) -> bool:
        """Whether an answer about totals is waited for."""
        return NO_ANSWER in self.model.report().totals.values()

    def _hear_totals(self, heard: list[Heard]) -> list[Heard]:
        """Take the answers about totals; return the others."""
        words = {Result.APPROVED: "equal", Result.TOTALS_DIFFER: "unequal"}
        for item in heard:
            day = self._totals.get(item.ticket)
            if day is not None:
                word = words.get(item.result) if item.result is not None else None
                self.model.report().totals[day.text] = word or f"answered {item.code}"
        return [item for item in heard if item.ticket not in self._totals]

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
        heard = self._hear_totals(heard) if self._totals else heard
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
