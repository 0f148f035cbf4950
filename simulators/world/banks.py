"""A bank of the simulated world: a process with a `Teller` and its lines to the fronts.  Pure."""

from collections.abc import Callable, Mapping
from functools import partial
from itertools import count
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from qianzhi.domain.requests import Key, Kind, Request
from qianzhi.domain.results import Result
from qianzhi.runtime.effects import Send
from qianzhi.runtime.now import SECOND_US
from simulators.bank_line import BankLine
from simulators.codecs import bank_codec
from simulators.line import Incoming
from simulators.plans import Identity
from simulators.world.banks_deals import Deal, HeardAt
from simulators.world.banks_house import House
from simulators.world.banks_lines import line_maker
from simulators.world.banks_model import Teller
from simulators.world.faults import Fault
from simulators.world.habits import combined, without_dates
from simulators.world.kernel import Kernel
from simulators.world.parts import BankPlan, Lines
from simulators.world.population import people_of
from simulators.world.process import Process, Waker

if TYPE_CHECKING:
    from frontends.profile import Profile  # it reads files; its shape alone is used here

VOID_US = (3 * SECOND_US, 40 * SECOND_US)  # at once, or when the money may have been spent
CUTOVER = "cutover"  # the notice of the business date that begins
NOTICE_AGAIN_US = 8 * SECOND_US
EVENING_US = 6 * 3_600 * SECOND_US  # so long before midnight a bank's next date may begin


class BankActor(Process):
    """One bank; each of `hearers` is told of every answer that it reads."""

    def __init__(
        self,
        kernel: Kernel,
        plan: BankPlan,
        profile: "Profile",
        keys: dict[str, bytes],
        lines: Lines,
        zone: ZoneInfo,
        *,
        edge_is_final: bool = False,
    ) -> None:
        """`keys` are the profile's, in clear; `edge_is_final` as `Teller` has it."""
        super().__init__(kernel, f"bank-{plan.name}")
        self.plan = plan
        self.profile = profile
        self.offset_us = plan.offset_us
        self.hearers: list[Callable[[HeardAt], None]] = []
        self.house: House | None = None  # whom its clerks ask to cancel what was credited
        dice = kernel.dice(self.name)
        self._dice = dice
        serials = partial(next, count(1))
        ends = 1 if profile.transport.kind == "queue" else len(lines.addresses)
        codec = bank_codec(profile.spec)
        habit = combined(plan.habits)
        self._lines = [BankLine(profile, codec, keys, serials, dice.bytes) for _ in range(ends)]
        self.teller = Teller(
            Identity(plan.name, profile.space, tuple(profile.numbers), zone),
            without_dates(habit) if self.dates_are_ours else habit,
            self._lines,
            people_of(plan.phone_first, plan.customers),
            dice,
            serials,
            self._told,
            edge_is_final=edge_is_final,
        )
        make = line_maker(profile)
        self._ends = [make(self, self, profile, lines, number) for number in range(ends)]
        self.handlers = {Send: self._send}

    def begin(self) -> None:
        """Connect and begin."""
        teller, plan = self.teller, self.plan
        Waker(self, "bank time", lambda: teller.deadline, lambda: self.run(teller.on_time(self.now)))
        teller.plan(plan.requests, plan.requests * SECOND_US // max(1, plan.rate), self.now)
        for end in self._ends:
            end.open()
        if plan.notice_us and CUTOVER in self.profile.table.management:
            self.later(plan.notice_us, "notice", self._give_notice, 0, "")

    def stop_asking(self) -> None:
        """Begin nothing new; what was begun goes on to its end."""
        self.teller.stop()

    @property
    def settled(self) -> bool:
        """Whether every serial has come to the end that this bank's habits give it."""
        return self.teller.settled

    @property
    def transactions(self) -> int:
        """How many serials it has begun up to now."""
        return len(self.teller.deals.all)

    def views(self) -> Mapping[Key, Deal]:
        """Return what the bank believes of each key; of a serial that two numbers use, the later."""
        return {deal.record.key: deal for deal in self.teller.deals.all}

    @property
    def dates_are_ours(self) -> bool:
        """Whether this dialect's requests carry no business date."""
        table = self.profile.table
        rows = [one for one in table.transactions.values() if one.kind in ("recharge", "pay")]
        return not any("date" in {**table.request.take, **one.take} for one in rows)

    # -- what its lines tell

    def connected(self, line: int) -> None:
        """A line stands."""
        self.run(self.teller.on_connected(line, self.now))

    def lost(self, line: int) -> None:
        """A line is gone."""
        self.run(self.teller.on_closed(line, self.now))

    def came(self, line: int, items: list[Incoming]) -> None:
        """Whole frames have come."""
        self.run(self.teller.on_frames(line, items, self.now))
        self._cancel()

    def _give_notice(self, turn: int, serial: str) -> None:
        """Say which date begins, by one line after another, until one of them has had it accepted."""
        line = self._lines[turn % len(self._lines)]
        before = self._lines[(turn - 1) % len(self._lines)]
        if serial and before.management_code(serial) == self.profile.table.results.codes["approved"]:
            return
        serial = ""
        if line.ready:
            evening = self.now._replace(wall_us=self.now.wall_us + EVENING_US)
            serial, messages = line.manage(CUTOVER, evening)
            self._ends[turn % len(self._ends)].send(messages)
        self.later(NOTICE_AGAIN_US, "notice again", self._give_notice, turn + 1, serial)

    def begin_fault(self, fault: Fault) -> None:
        """A bank's own faults are the processes'."""

    def end_fault(self, fault: Fault) -> None:
        """A bank's own faults are the processes'."""

    def _send(self, effect: Send) -> None:
        assert isinstance(effect.to, tuple)  # noqa: S101 - a Teller sends to its lines alone
        self._ends[effect.to[1]].send(effect.items)

    def _cancel(self) -> None:
        """Let clerks ask for what is to be cancelled, each some time after its end."""
        for deal in self.teller.take_voids():
            if self.house is None:
                self.teller.voided(deal, Result.UNKNOWN)
            else:
                self.later(
                    self._dice.below(self._dice.pick(VOID_US)), "a clerk cancels", self._ask_void, deal
                )

    def _ask_void(self, deal: Deal) -> None:
        own = deal.record
        request = Request(
            Kind.VOID,
            *own.key,
            bank=self.profile.name,
            bank_number=own.bank_number,
            phone=own.phone,
            amount_fen=own.amount_fen,
            date_ours=self.dates_are_ours,
        )
        if self.house is not None:
            self.house.cancel(request, lambda reply: self.teller.voided(deal, reply.result))

    def _told(self, heard: HeardAt) -> None:
        for hearer in self.hearers:
            hearer(heard)
