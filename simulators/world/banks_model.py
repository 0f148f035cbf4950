"""A simulated bank's side of its business: what it asks, when it gives up, and where its customers' money is.

Pure.  It insists on a final state for every serial, by its own habit's means.  Frames are those of the bank's
own codec (`bank_line`).  A bank with two fronts has two lines, numbered from 0; a queue's bank has one.
Effects are `Send(("line", number), [Outgoing…])`.
"""

import heapq
from collections.abc import Callable, Sequence

from qianzhi.domain.requests import Bill, Kind
from qianzhi.domain.results import EDGE_RESULTS, Result
from qianzhi.runtime.effects import Effects, Send
from qianzhi.runtime.now import SECOND_US, Now
from simulators.bank_line import BankLine
from simulators.line import Incoming, Outgoing
from simulators.plans import Identity, make_request
from simulators.record import Ask, Debit, Heard, Outcome, Verdict, judge
from simulators.scenario import Chance, Step, choose
from simulators.world.banks_deals import DAY_US, Deal, Deals, HeardAt, Sent
from simulators.world.customers import Customers, People
from simulators.world.habits import Habit

BUNCHES = (1, 1, 1, 2, 6)  # how many customers come at once
HELD_US = 200_000  # between two looks for a line that is ready
CALMER_TRIES, CALM_MAX = 3, 4  # after so many messages in vain its patience grows, up to so many times
BACKOFF_US = 400_000
BACKOFF_US_MAX = 8 * SECOND_US
_ORIGINALS = frozenset({Step.ORIGINAL, Step.REPEAT})
_ASIDE = frozenset({Step.OWED, Step.OTHER})  # whose answers say nothing about the serial


class Teller:
    """The core of one simulated bank; `told` is called with every answer that it reads."""

    def __init__(
        self,
        identity: Identity,
        habit: Habit,
        lines: Sequence[BankLine],
        people: People,
        dice: Chance,
        serials: Callable[[], int],
        told: Callable[[HeardAt], None] | None = None,
        *,
        edge_is_final: bool = False,
    ) -> None:
        """`edge_is_final` says that no wire of this run brings a frame twice, so that an edge refusal of the
        only attempt ends a serial; else the bank makes sure.
        """
        self.identity = identity
        self.habit = habit
        self.lines = tuple(lines)
        self.customers = Customers()
        self.deals = Deals(
            identity, habit, people, dice, len(self.lines), lambda date: lines[0].serial_text(serials(), date)
        )
        self.sent: dict[bytes, Sent] = {}  # by the frame
        self.lost = 0  # connections
        self.late = 0  # answers to what was settled before
        self._dice = dice
        self._told = told
        self._edge_is_final = edge_is_final
        self._timers: list[tuple[int, int, str, Deal | None, int]] = []
        self._order = 0
        self._tickets: dict[int, Sent] = {}
        self._ticket = 0
        self._open = 0
        self._left = 0
        self._gap_us = 0
        self._voids: list[Deal] = []
        self._voiding = 0
        self._out: dict[int, list[Outgoing]] = {}

    # -- what the world tells us

    def plan(self, deals: int, span_us: int, now: Now) -> None:
        """Begin so many deals, spread over so long, from now on."""
        self._left = deals
        self._gap_us = max(1, span_us // max(1, deals))
        if deals:
            self._arm(now.mono_us + self._dice.randrange(0, self._gap_us), "begin", None, 0)

    def on_connected(self, line: int, now: Now) -> Effects:
        """A line's transport stands."""
        self._put(line, self.lines[line].on_connected(now))
        return self._effects()

    def on_closed(self, line: int, now: Now) -> Effects:
        """A line's transport is gone; the bank's patience with what was on its way goes on."""
        self.lost += 1
        self.lines[line].on_closed()
        return self._effects()

    def on_frames(self, line: int, items: list[Incoming], now: Now) -> Effects:
        """Take whole frames, oldest first."""
        own = self.lines[line]
        heard, out = own.on_frames(items, now)
        own.take_key()
        self._put(line, out)
        for item in heard:
            self._hear(item, now)
        return self._effects()

    def on_time(self, now: Now) -> Effects:
        """Do what is due."""
        for number, line in enumerate(self.lines):
            if line.deadline is not None and line.deadline <= now.mono_us:
                self._put(number, line.on_time(now))
        timers = self._timers
        while timers and timers[0][0] <= now.mono_us:
            _, _, what, deal, of_round = heapq.heappop(timers)
            if deal is None:
                self._begin_some(now)
            elif what == "move":
                if deal.at == of_round:
                    self._move(deal, now)
            elif deal.record.round == of_round and not deal.settled:
                if what == "patience":
                    self._give_up(deal, now)
                else:
                    self._send(deal, deal.record.steps[0], now)
        return self._effects()

    def stop(self) -> None:
        """Begin nothing new; what was begun comes to its end."""
        self._left = 0

    # -- cancellations, which a clerk asks for by other ways

    def take_voids(self) -> list[Deal]:
        """Return what is to be cancelled, once; `voided` says what came of each."""
        voids, self._voids = self._voids, []
        self._voiding += len(voids)
        return voids

    def voided(self, deal: Deal, result: Result) -> None:
        """Hear what came of a cancellation: only an approved one gives the money back."""
        self._voiding -= 1
        if result is Result.APPROVED:
            deal.record.result = Result.REVERSED
            self._settle(deal, Outcome.REVERSED)

    # -- what can be asked of it

    @property
    def deadline(self) -> int | None:
        """When `on_time` is wanted next, on the monotonic clock."""
        times: list[int] = [at for line in self.lines if (at := line.deadline) is not None]
        if self._timers:
            times.append(self._timers[0][0])
        return min(times, default=None)

    @property
    def settled(self) -> bool:
        """Whether every serial has its final state and nothing is to be begun."""
        return not self._open and not self._left and not self._voiding

    # -- beginning

    def _begin_some(self, now: Now) -> None:
        """Let customers come as they do: mostly one by one, now and then several at once."""
        some = min(self._left, BUNCHES[self._dice.randrange(0, len(BUNCHES))])
        if not some:
            return
        self._left -= some
        if self._left:
            gap_us = self._dice.randrange(0, 2 * some * self._gap_us)
            self._arm(now.mono_us + gap_us, "begin", None, 0)
        for _ in range(some):
            self._begin_one(now)

    def _begin_one(self, now: Now) -> None:
        self._open += 1
        deal = self.deals.draw(choose(self.habit.actions, self._dice), self._wall_us(now))
        if deal.moves[0].beside:
            self._move_later(deal, now)
        else:
            self._move(deal, now)

    def _wall_us(self, now: Now) -> int:
        return now.wall_us + self.habit.days_ahead * DAY_US

    # -- moving

    def _move(self, deal: Deal, now: Now) -> None:
        """Make the next move of a script, and arrange the one beside it."""
        move = deal.moves[deal.at]
        if move.other:
            deal.line = (deal.line + 1) % len(self.lines)
        deal.at += 1
        deal.settled = False
        deal.record.tries = 0
        self._send(deal, move.step, now)
        if deal.at < len(deal.moves) and deal.moves[deal.at].beside:
            self._move_later(deal, now)

    def _move_later(self, deal: Deal, now: Now) -> None:
        after = deal.moves[deal.at]
        wait_us = self._dice.randrange(after.from_us, max(after.to_us, after.from_us + 1))
        self._arm(now.mono_us + wait_us, "move", deal, deal.at)

    def _send(self, deal: Deal, step: Step, now: Now) -> None:
        deal.record.round += 1
        deal.record.steps = [step]
        line = self._ready_line(deal.line)
        if line is None:
            self._arm(now.mono_us + HELD_US, "again", deal, deal.record.round)
            return
        if step in _ORIGINALS:
            self._debit(deal)
        stamped = now._replace(wall_us=self._wall_us(now))
        request, stamp_us = make_request(
            self.identity, deal.record, step, stamped, lambda: self.deals.new_key(stamped.wall_us).serial
        )
        if step is Step.REVERSAL:
            deal.record.reversing = deal.undoing = True
        deal.record.queried |= step is Step.STATUS
        deal.record.tries += 1
        self._ticket += 1
        sent = Sent(deal, step)
        self._tickets[self._ticket] = sent
        deal.record.tickets.append(self._ticket)
        out = self.lines[line].carry([Ask(self._ticket, request, stamp_us, deal.record.stamp_us, "")], now)
        for item in out:
            self.sent[item.frame] = sent
        self._put(line, out)
        patience_us = self.habit.reply_us * min(1 + deal.record.tries // CALMER_TRIES, CALM_MAX)
        self._arm(now.mono_us + patience_us, "patience", deal, deal.record.round)

    def _ready_line(self, wanted: int) -> int | None:
        wanted_first = [wanted, *range(len(self.lines))]
        return next((number for number in wanted_first if self.lines[number].ready), None)

    def _debit(self, deal: Deal) -> None:
        """Take the customer's money before the first original goes out."""
        deal.record.originals += 1
        if deal.record.debit is Debit.NONE:
            self.customers.take(deal.record.phone, deal.record.amount_fen)
            deal.record.debit = Debit.UNKNOWN

    # -- hearing

    def _hear(self, heard: Heard, now: Now) -> None:
        sent = self._tickets.pop(heard.ticket, None)
        if sent is None:
            self.late += 1
            return
        deal, step = sent
        deal.shut |= step is Step.REVERSAL and heard.result is Result.DATE_CLOSED
        verdict, outcome = self._judge(deal, step, heard)
        final = verdict is Verdict.FINAL
        if self._told is not None:
            self._told(HeardAt(self.identity.bank, deal, step, heard, final))
        record = deal.record
        record.code, record.result, record.order = heard.code, heard.result, heard.order or record.order
        present = step is record.steps[0]
        if deal.done or deal.settled or (deal.undoing and step is not Step.REVERSAL):
            self.late += 1
        elif final and (present or step not in _ASIDE):
            self._conclude(deal, step, outcome, heard, now)
        elif present:
            self._again(deal, step, verdict, now)

    def _judge(self, deal: Deal, step: Step, heard: Heard) -> tuple[Verdict, Outcome | None]:
        verdict, outcome = judge(deal.record, step, heard.result)
        edge = heard.result in EDGE_RESULTS
        if edge and verdict is Verdict.FINAL and step is not Step.OWED:
            again = self.habit.repeat and self._dice.randrange(0, 2)
            if again or not self._edge_is_final:
                return Verdict.UNSURE, None
        if self.habit.shares_serials and heard.result is Result.DUPLICATE_SERIAL and step in _ORIGINALS:
            return Verdict.FINAL, Outcome.REFUSED  # the other number has it, and this content never will
        return verdict, outcome

    def _conclude(self, deal: Deal, step: Step, outcome: Outcome | None, heard: Heard, now: Now) -> None:
        deal.undoing = False
        if step is Step.OWED:
            self._quote(deal, heard.bills)
        elif outcome is not None:
            if outcome is Outcome.APPROVED and deal.unknown and self.habit.reverses_found and not deal.shut:
                deal.record.stood = True
                self._send(deal, Step.REVERSAL, now)
                return
            self._settle(deal, outcome)
        deal.settled = True
        over = heard.result in EDGE_RESULTS or (
            self.habit.refunds_not_found and heard.result is Result.NOT_FOUND and deal.record.originals
        )
        if over or deal.at >= len(deal.moves):
            self._finish(deal)
        elif not deal.moves[deal.at].beside:
            self._move(deal, now)

    def _settle(self, deal: Deal, outcome: Outcome) -> None:
        """Give the serial its state, and the customer the money back where the core has not kept it.

        An approval that comes after the end of what was approved is a late answer to an early message.
        """
        if outcome is Outcome.APPROVED and deal.record.outcome in (Outcome.REVERSED, Outcome.REFUSED):
            return
        deal.record.outcome = outcome
        deal.record.stood |= deal.record.result is Result.APPROVED
        if outcome is Outcome.APPROVED:
            if deal.record.debit is Debit.UNKNOWN:
                deal.record.debit = Debit.DEBITED
        elif deal.record.debit in (Debit.UNKNOWN, Debit.DEBITED):
            self.customers.give(deal.record.phone, deal.record.amount_fen)
            deal.record.debit = Debit.RETURNED

    def _quote(self, deal: Deal, bills: tuple[Bill, ...]) -> None:
        """Take the oldest bill of an owed answer for the payment that follows, if there is one."""
        if deal.record.kind is not Kind.PAY:
            return
        if not bills:
            deal.record.kind, deal.moves = Kind.OWED, ()
            return
        bill = min(bills, key=lambda one: one.month)
        deal.record.bill = bill.serial
        deal.record.amount_fen = bill.total_fen + (100 if deal.record.action == "pay_changed" else 0)

    def _finish(self, deal: Deal) -> None:
        deal.done = True
        deal.at = len(deal.moves)
        self._open -= 1
        if deal.record.outcome is Outcome.APPROVED and self._dice.randrange(0, 1_000) < self.habit.voids:
            self._voids.append(deal)
        for ticket in deal.record.tickets:
            self._tickets.pop(ticket, None)
        for line in self.lines:
            line.forget(deal.record.tickets)
        deal.record.tickets = []

    # -- no answer, or none that settles anything

    def _give_up(self, deal: Deal, now: Now) -> None:
        """Patience with a message is over: say it again, ask, or take it back."""
        step = deal.record.steps[0]
        if step in _ORIGINALS:
            deal.unknown = True
        if step is Step.OTHER and deal.record.outcome is not None:
            deal.settled = True  # nothing rests on it
            self._finish(deal)
            return
        self._send(deal, self._settling_step(deal, step), now)

    def _again(self, deal: Deal, step: Step, verdict: Verdict, now: Now) -> None:
        """Arrange the next message about this serial, later each time."""
        wait_us = min(BACKOFF_US_MAX, BACKOFF_US << min(deal.record.tries, 6))
        deal.unknown |= step in _ORIGINALS and verdict is Verdict.UNSURE
        if verdict is Verdict.QUERY:
            deal.undoing = False
            deal.record.steps = [Step.REPEAT if self.habit.shares_serials else Step.STATUS]
        elif verdict is Verdict.UNSURE:
            deal.record.steps = [self._settling_step(deal, step)]
        deal.record.round += 1
        self._arm(now.mono_us + self._dice.randrange(wait_us // 2, wait_us), "again", deal, deal.record.round)

    def _settling_step(self, deal: Deal, step: Step) -> Step:
        if step not in _ORIGINALS:
            return step
        if deal.record.reversing:
            return Step.REVERSAL
        if deal.record.outcome in (Outcome.APPROVED, Outcome.REVERSED):
            return Step.REPEAT
        return Step(choose(self.habit.settling, self._dice))

    # -- small things

    def _arm(self, at_us: int, what: str, deal: Deal | None, of_round: int) -> None:
        self._order += 1
        heapq.heappush(self._timers, (at_us, self._order, what, deal, of_round))

    def _put(self, line: int, out: list[Outgoing]) -> None:
        if out:
            self._out.setdefault(line, []).extend(out)

    def _effects(self) -> Effects:
        if not self._out:
            return []
        out, self._out = self._out, {}
        return [Send(("line", number), items) for number, items in out.items()]
