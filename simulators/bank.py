"""A bank as a pure model: its customers' money, its serials, and how each comes to its end.

Why here: the platform is proved against a bank that keeps its own books and insists on a final state for
every serial, by its own repeats, queries and reversals.  It knows no wire format: a line (`bank_line`)
turns its `Ask`s into bytes and answers into `Heard`s.  It reads no clock and draws from the
randomness that it is given.
"""

import heapq
from collections import deque
from collections.abc import Callable
from contextlib import suppress

from qianzhi.domain.dates import business_date
from qianzhi.domain.requests import Key
from qianzhi.domain.results import EDGE_RESULTS, Result
from qianzhi.runtime.effects import Effects, Send
from qianzhi.runtime.now import SECOND_US, Now
from simulators.customers import Purses
from simulators.exchange import Exchange, Later
from simulators.plans import Identity, make_request, new_record, settling_step, take_bill
from simulators.record import Ask, Debit, Heard, Outcome, Record, Verdict, contradiction, judge
from simulators.report import Report, tally
from simulators.scenario import ACTIONS, Chance, Scenario, Step, choose
from simulators.serials import SerialsSpentError

LINE = "line"  # where the model's asks go
RECORDS_MAX = 500_000  # final records kept for comparing; older ones are forgotten
LATE_US = SECOND_US // 2
# So many serials may be open, in seconds of the rate: who cannot settle what is begun begins nothing more.
OPEN_SECONDS, OPEN_MIN = 60, 200
DOUBTS_MAX = 12  # messages after which an answer counts, whatever else may be on its way


class BankModel:
    """One simulated bank.

    `serials` gives the next unused serial number at each call; `serial_text` writes it as the dialect does,
    for a business date.  `rate` 0 stops new actions.
    """

    def __init__(
        self,
        identity: Identity,
        scenario: Scenario,
        chance: Chance,
        serials: Callable[[], int],
        serial_text: Callable[[int, int], str],
        rate: int | None = None,
    ) -> None:
        self.identity = identity
        self.scenario = scenario
        self.chance = chance
        self.rate = scenario.rate if rate is None else rate
        self.purses = Purses(scenario.customers)
        self._report = Report(identity.bank)
        self._serials = serials
        self._serial_text = serial_text
        self._records: dict[Key, Record] = {}
        self._final: deque[Key] = deque()
        self._exchanges: dict[int, Exchange] = {}
        self._held: deque[Later] = deque()
        self._held_settling: deque[Later] = deque()  # only their window is full
        self._timers: list[tuple[int, int, str]] = []
        self._retries: dict[int, Later] = {}
        self._forgotten: list[int] = []
        self._tickets = 0
        self._in_flight = 0
        self._settling = 0  # of those in flight
        self._open = 0
        self._ready = False
        self._next_us: int | None = None
        self._asks: list[Ask] = []

    # -- what the shell and the line tell us

    def on_ready(self, now: Now) -> Effects:
        """The line is signed on and can carry requests; actions are begun from the first such moment on."""
        self._ready = True
        if self._next_us is None:
            self._next_us = now.mono_us
        self._send_held(now)
        return self._effects()

    def on_paused(self) -> None:
        """The line stands but carries no requests for now; what is on its way may still be answered."""
        self._ready = False

    def on_lost(self, now: Now) -> Effects:
        """The line is gone: whatever is on its way is unknown from now on."""
        self._report.line_losses += 1
        self._ready = False
        for ticket in [t for t, exchange in self._exchanges.items() if not exchange.overdue]:
            self._on_no_answer(ticket, now)
        return self._effects()

    def on_heard(self, items: list[Heard], now: Now) -> Effects:
        """Take answers, in order; an answer to nothing that is open is counted and dropped."""
        for heard in items:
            self._hear(heard, now)
        self._send_held(now)
        return self._effects()

    def on_time(self, now: Now) -> Effects:
        """Begin what is due, give up waiting where patience has run out, and try again where it is time."""
        while self._timers and self._timers[0][0] <= now.mono_us:
            due_us, number, kind = heapq.heappop(self._timers)
            if kind == "reply" and now.mono_us - due_us > LATE_US:
                self._wait_on(number, now)
            elif kind == "reply":
                self._on_no_answer(number, now)
            else:
                self._send(self._retries.pop(number), now)
        self._begin_due(now)
        self._send_held(now)
        return self._effects()

    def stop(self) -> None:
        """Begin no further actions; what was begun goes on to its end."""
        self.rate = 0

    def ask_for(self, action: str, now: Now) -> Effects:
        """Begin one action at once, outside the schedule (tests, and single requests by hand)."""
        self._begin(action, self._new_key(now), now.mono_us, now)
        return self._effects()

    # -- what can be asked of it

    @property
    def deadline(self) -> int | None:
        """Return when `on_time` is wanted next, on the monotonic clock."""
        times = [self._timers[0][0]] if self._timers else []
        if self.rate and self._next_us is not None:
            times.append(self._next_us)
        return min(times, default=None)

    @property
    def in_flight(self) -> int:
        """Return how many messages are on their way."""
        return self._in_flight

    def settled(self) -> bool:
        """Whether every serial has its final state and nothing waits to be sent."""
        return self._open == 0

    @property
    def remembers_all(self) -> bool:
        """Whether no record was forgotten, so that the records are all that was ever sent."""
        return len(self._final) < RECORDS_MAX

    def report(self) -> Report:
        """Return the numbers up to now (one object that goes on changing)."""
        self._report.open = self._open
        self._report.held = len(self._held) + len(self._held_settling)
        return self._report

    def records(self) -> list[Record]:
        """Return the records of all serials that the core may know, oldest first."""
        return [record for record in self._records.values() if record.moves_money]

    def take_forgotten(self) -> list[int]:
        """Return the tickets that no answer is wanted for any more, once."""
        forgotten, self._forgotten = self._forgotten, []
        return forgotten

    # -- beginning

    def _begin_due(self, now: Now) -> None:
        while self.rate and self._next_us is not None and self._next_us <= now.mono_us:
            due_us = self._next_us
            action = choose(self.scenario.mix, self.chance)
            self._next_us = due_us + len(ACTIONS[action]) * SECOND_US // self.rate
            key = None
            full = self._open > max(OPEN_MIN, self.rate * OPEN_SECONDS)
            if len(self._held) <= self.scenario.waits.in_flight_max and not full:
                with suppress(SerialsSpentError):  # the shell leases more at its next look
                    key = self._new_key(now)
            if key is None:
                self._report.skipped += len(ACTIONS[action])
            else:
                self._begin(action, key, due_us, now)

    def _begin(self, action: str, key: Key, due_us: int, now: Now) -> None:
        record = new_record(self.identity, self.scenario, self.chance, action, key, now)
        self._records[record.key] = record
        self._open += 1
        self._next_step(record, due_us, now)

    def _new_key(self, now: Now) -> Key:
        date = business_date(now.wall_us, self.identity.zone)
        return Key(self.identity.space, date, self._serial_text(self._serials(), date))

    def _next_step(self, record: Record, due_us: int, now: Now) -> None:
        if not record.steps:
            self._finish(record)
            return
        step = record.steps[0]
        record.tries = 0
        self._report.sent += 1
        tally(self._report.steps, step.value)
        self._send(Later(record, step, due_us, record.round), now)

    def _finish(self, record: Record) -> None:
        self._open -= 1
        if not record.moves_money:
            del self._records[record.key]
            return
        self._final.append(record.key)
        if len(self._final) > RECORDS_MAX:
            self._records.pop(self._final.popleft(), None)

    # -- sending

    def _send(self, later: Later, now: Now) -> None:
        record, step, due_us, of_round = later
        if record.round != of_round:
            return  # a late answer has settled it meanwhile
        if not self._ready or self._in_flight >= self.scenario.waits.in_flight_max:
            self._held.append(later)
            return
        settling = record.tries > 0
        if settling and self._settling >= self.scenario.waits.settling_max:
            self._held_settling.append(later)
            return
        self._debit(record, step)
        try:
            ask = self._ask(self._tickets + 1, record, step, now)
        except SerialsSpentError:  # an original has its serial already; what asks or reverses can wait
            self._held.append(later)
            return
        record.reversing |= step is Step.REVERSAL
        record.queried |= step is Step.STATUS
        self._tickets += 1
        ticket = self._tickets
        self._exchanges[ticket] = Exchange(record, step, due_us, settling=settling)
        record.tickets.append(ticket)
        record.tries += 1
        self._report.resent += record.tries > 1
        self._in_flight += 1
        self._settling += settling
        self._arm("reply", ticket, now.mono_us + self.scenario.waits.reply_ms * 1000)
        self._asks.append(ask)

    def _ask(self, ticket: int, record: Record, step: Step, now: Now) -> Ask:
        request, stamp_us = make_request(self.identity, record, step, now, lambda: self._new_key(now).serial)
        card = self.purses.card(record.customer)
        return Ask(ticket, request, stamp_us, record.stamp_us, card)

    def _debit(self, record: Record, step: Step) -> None:
        """Note what this message means; the customer pays before the first original goes out."""
        if step in (Step.ORIGINAL, Step.REPEAT):
            record.originals += 1
            if record.debit is Debit.NONE:
                self.purses.take(record.customer, record.amount_fen)
                record.debit = Debit.UNKNOWN

    def _send_held(self, now: Now) -> None:
        while self._held_settling and self._ready and self._settling < self.scenario.waits.settling_max:
            held = len(self._held)
            self._send(self._held_settling.popleft(), now)
            if len(self._held) > held:
                break  # something else is full
        for _ in range(len(self._held)):  # those that must wait on are held again, behind the others
            if not self._ready or self._in_flight >= self.scenario.waits.in_flight_max:
                break
            self._send(self._held.popleft(), now)

    def _landed(self, exchange: Exchange) -> None:
        self._in_flight -= 1
        self._settling -= exchange.settling

    def _arm(self, kind: str, number: int, at_us: int) -> None:
        heapq.heappush(self._timers, (at_us, number, kind))

    def _effects(self) -> Effects:
        asks, self._asks = self._asks, []
        return [Send(LINE, asks)] if asks else []

    # -- hearing

    def _hear(self, heard: Heard, now: Now) -> None:
        exchange = self._exchanges.pop(heard.ticket, None)
        if exchange is None:
            self._report.late += 1
            return
        if not exchange.overdue:
            self._landed(exchange)
        record = exchange.record
        verdict, outcome = judge(record, exchange.step, heard.result)
        wrong = contradiction(record, exchange.step, outcome, heard) if verdict is Verdict.FINAL else ""
        if wrong and not heard.sure and record.tries < DOUBTS_MAX:
            verdict = Verdict.AGAIN  # it may be to an earlier copy: only a certain answer accuses the core
        if exchange.overdue:
            self._report.late += 1
            deciding = _DECIDES_REVERSED if record.reversing else _DECIDES
            if verdict is not Verdict.FINAL or exchange.step not in deciding:
                return  # the message that followed it decides
        record.code, record.result = heard.code, heard.result
        if verdict is Verdict.FINAL:
            if wrong:
                tally(self._report.surprises, wrong)
            self._conclude(record, exchange, outcome, heard, now)
        elif not exchange.overdue:
            self._again(record, exchange, verdict, now)

    def _conclude(
        self, record: Record, exchange: Exchange, outcome: Outcome | None, heard: Heard, now: Now
    ) -> None:
        record.tickets.remove(heard.ticket)
        self._drop_tickets(record)
        self._count(exchange, outcome, heard, now)
        record.order = heard.order or record.order
        if exchange.step is Step.OWED:
            take_bill(record, heard.bills)
        elif outcome is not None:
            self._settle(record, outcome)
        record.steps.pop(0)
        record.round += 1
        if heard.result in EDGE_RESULTS:
            record.steps.clear()  # such a serial may be used again, so nothing more is proved with it
        self._next_step(record, now.mono_us, now)

    def _drop_tickets(self, record: Record) -> None:
        for ticket in record.tickets:
            exchange = self._exchanges.pop(ticket, None)
            if exchange is not None and not exchange.overdue:
                self._landed(exchange)
        self._forgotten += record.tickets
        record.tickets.clear()

    def _settle(self, record: Record, outcome: Outcome) -> None:
        """Give the serial its state, and the customer the money back where the core has not kept it."""
        record.outcome = outcome
        record.stood |= record.result is Result.APPROVED
        keeps = outcome is Outcome.APPROVED
        if record.debit in (Debit.UNKNOWN, Debit.DEBITED) and not keeps:
            self.purses.give(record.customer, record.amount_fen)
            record.debit = Debit.RETURNED
        elif record.debit is Debit.UNKNOWN:
            record.debit = Debit.DEBITED

    def _count(self, exchange: Exchange, outcome: Outcome | None, heard: Heard, now: Now) -> None:
        report = self._report
        report.answered += 1
        report.latency.add(now.mono_us - exchange.due_us)
        if exchange.step is Step.REVERSAL and outcome is Outcome.REVERSED:
            report.reversed += 1
        elif heard.result is Result.APPROVED:
            report.approved += 1
        else:
            name = heard.result.name if heard.result is not None else "NONE"
            tally(report.refused, name)

    # -- no answer, or none that settles anything

    def _wait_on(self, ticket: int, now: Now) -> None:
        """Wait a little longer, once: it was this process that slept, and the answer may have come meanwhile.

        Else a machine that is too busy would have all messages sent again, and be busier by that.
        """
        exchange = self._exchanges.get(ticket)
        if exchange is not None and not exchange.slept:
            exchange.slept = True
            self._arm("reply", ticket, now.mono_us + LATE_US)
        else:
            self._on_no_answer(ticket, now)

    def _on_no_answer(self, ticket: int, now: Now) -> None:
        exchange = self._exchanges.get(ticket)
        if exchange is None or exchange.overdue:
            return
        exchange.overdue = True
        self._landed(exchange)
        if exchange.record.tries == 1:
            self._report.unanswered += 1
        self._again(exchange.record, exchange, Verdict.UNSURE, now)

    def _again(self, record: Record, exchange: Exchange, verdict: Verdict, now: Now) -> None:
        """Arrange the next message about this record, later each time."""
        step = settling_step(record, exchange.step, verdict, self.scenario.settle, self.chance)
        waits = self.scenario.waits
        wait_ms = min(waits.backoff_max_ms, waits.backoff_ms << min(record.tries - 1, 12))
        wait_us = self.chance.randrange(wait_ms * 500, wait_ms * 1000 + 1)
        self._tickets += 1
        self._retries[self._tickets] = Later(record, step, exchange.due_us, record.round)
        self._arm("retry", self._tickets, now.mono_us + wait_us)


# The messages whose late answer may still settle a serial, before and after a reversal went out.
_DECIDES = frozenset({Step.ORIGINAL, Step.REPEAT, Step.STATUS})
_DECIDES_REVERSED = frozenset({Step.REVERSAL})
