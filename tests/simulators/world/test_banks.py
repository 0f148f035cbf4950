"""Simulated banks keep their customers' money, insist on a final state, and differ in how they get it."""

from random import Random  # noqa: TID251 - the tests bring the seeds
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from qianzhi.domain.requests import Kind
from qianzhi.domain.results import Result
from qianzhi.runtime.now import SECOND_US, Now
from simulators.line import MAIN, Incoming, Outgoing
from simulators.plans import Identity
from simulators.record import Ask, Heard, Outcome
from simulators.world import habits
from simulators.world.banks_model import Teller
from simulators.world.customers import People
from simulators.world.habits import ACTIONS, HABITS, Habit, without_dates

START = Now(0, 1_782_900_000_000_000)
PHONES = ("13900000001", "13900000002")


class Wire:
    """A line without a dialect: what is asked is kept, and answers are what the test says."""

    ready = True
    deadline = None

    def __init__(self) -> None:
        self.asks: list[Ask] = []
        self.heard: list[Heard] = []
        self.forgotten: list[int] = []

    def on_connected(self, now: Now) -> list[Outgoing]:
        return []

    def serial_text(self, number: int, date: int) -> str:
        return f"{number:06d}"

    def carry(self, asks: list[Ask], now: Now) -> list[Outgoing]:
        self.asks += asks
        return [Outgoing(MAIN, f"{ask.request}{ask.stamp_us}".encode(), ask.ticket) for ask in asks]

    def on_frames(self, items: list[Incoming], now: Now) -> tuple[list[Heard], list[Outgoing]]:
        heard, self.heard = self.heard, []
        return heard, []

    def take_key(self) -> None:
        return None

    def forget(self, tickets: list[int]) -> None:
        self.forgotten += tickets


class Bank:
    """One teller with one action to its name, and the time."""

    def __init__(
        self,
        habit: Habit,
        *actions: str,
        final: bool = False,
        numbers: int = 1,
        lines: int = 1,
        voids: int = 0,
    ) -> None:
        own = habit._replace(actions=dict.fromkeys(actions or ("recharge",), 1), voids=voids)
        serials = iter(range(1, 1_000))
        self.wires: list[Any] = [Wire() for _ in range(lines)]
        identity = Identity("b", "b", ("01", "02")[:numbers], ZoneInfo("Asia/Shanghai"))
        people = People(PHONES)
        self.now = START
        self.teller = Teller(
            identity, own, self.wires, people, Random(1), lambda: next(serials), edge_is_final=final
        )

    def begin(self, deals: int = 1) -> "Bank":
        self.teller.plan(deals, deals * SECOND_US, self.now)
        return self.wait(1.1 if deals == 1 else 4)

    def wait(self, seconds: float) -> "Bank":
        until_us = self.now.mono_us + int(seconds * SECOND_US)
        while (at_us := self.teller.deadline) is not None and at_us <= until_us:
            self.now = self.now.after(max(0, at_us - self.now.mono_us))
            self.teller.on_time(self.now)
        self.now = self.now.after(until_us - self.now.mono_us)
        return self

    @property
    def asks(self) -> list[Ask]:
        return [ask for wire in self.wires for ask in wire.asks]

    @property
    def kinds(self) -> list[Kind]:
        return [ask.request.kind for ask in self.asks]

    def answer(self, result: Result | None, at: int = -1, wire: int = 0) -> "Bank":
        ticket = self.wires[wire].asks[at].ticket
        self.wires[wire].heard.append(Heard(ticket, "", result, order="Q1"))
        self.teller.on_frames(wire, [Incoming(b"x")], self.now)
        return self

    @property
    def deal(self) -> Any:
        return self.teller.deals.all[0]

    @property
    def spent(self) -> int:
        return sum(self.teller.customers.spent().values())


@pytest.mark.parametrize(
    ("result", "outcome", "kept"),
    [
        (Result.APPROVED, Outcome.APPROVED, True),
        (Result.NO_SUCH_PHONE, Outcome.REFUSED, False),
        (Result.QUARANTINED, Outcome.REFUSED, False),
    ],
)
def test_a_customer_pays_before_the_message_goes_and_gets_back_what_is_refused(
    result: Result, outcome: Outcome, kept: bool
) -> None:
    bank = Bank(habits.CAREFUL).begin()
    amount_fen = bank.asks[0].request.amount_fen
    assert bank.spent == amount_fen > 0
    bank.answer(result)
    assert bank.deal.record.outcome is outcome
    assert bank.spent == (amount_fen if kept else 0)
    assert bank.teller.settled


@pytest.mark.parametrize("result", [None, Result.UNKNOWN, Result.IN_PROCESS])
def test_no_answer_is_no_refusal(result: Result | None) -> None:
    bank = Bank(habits.CAREFUL).begin()
    bank.answer(result).wait(30)
    assert bank.deal.record.outcome is None
    assert bank.spent > 0
    assert len(bank.asks) > 1


def test_a_bank_that_never_reverses_asks_and_repeats_until_it_knows() -> None:
    bank = Bank(habits.NEVER_REVERSES).begin().wait(600)
    assert set(bank.kinds) == {Kind.RECHARGE, Kind.STATUS}
    assert {ask.request.serial for ask in bank.asks} == {bank.asks[0].request.serial}


def test_a_bank_that_resends_the_serial_does_nothing_else_and_marks_it() -> None:
    bank = Bank(habits.RESENDS).begin().wait(120)
    assert set(bank.kinds) == {Kind.RECHARGE}
    assert len({ask.request.key for ask in bank.asks}) == 1
    assert [ask.request.repeat for ask in bank.asks] == [False] + [True] * (len(bank.asks) - 1)
    assert bank.spent == bank.asks[0].request.amount_fen


def test_a_bank_for_which_not_found_is_a_licence_to_refund_looks_no_further() -> None:
    bank = Bank(habits.REFUNDS_NOT_FOUND, "status_overtakes").begin()
    assert bank.kinds == [Kind.STATUS, Kind.RECHARGE]
    bank.answer(Result.NOT_FOUND, at=0)
    assert (bank.spent, bank.deal.record.outcome) == (0, Outcome.REFUSED)
    sent = len(bank.asks)
    bank.answer(Result.BLOCKED).wait(100)
    assert len(bank.asks) == sent
    assert bank.teller.settled


def test_a_bank_that_found_an_approval_after_it_said_failed_takes_it_back() -> None:
    bank = Bank(habits.QUERIES_FIRST).begin().wait(3)
    assert bank.kinds == [Kind.RECHARGE, Kind.STATUS]
    bank.answer(Result.APPROVED)
    assert bank.kinds[-1] is Kind.REVERSAL
    bank.answer(Result.APPROVED)
    assert (bank.deal.record.outcome, bank.spent) == (Outcome.REVERSED, 0)


def test_a_bank_sends_the_serial_again_after_its_reversal_and_hears_so() -> None:
    bank = Bank(habits.RESENDS_REVERSED, "reversal_then_repeat").begin()
    bank.answer(Result.APPROVED).answer(Result.APPROVED)
    assert bank.kinds == [Kind.RECHARGE, Kind.REVERSAL, Kind.RECHARGE]
    assert bank.spent == 0
    bank.answer(Result.REVERSED)
    assert (bank.deal.record.outcome, bank.spent) == (Outcome.REVERSED, 0)


def test_a_late_approval_gives_nothing_back_that_was_taken_back() -> None:
    bank = Bank(habits.CAREFUL, "reversal_at_once").begin()
    assert bank.kinds[:2] == [Kind.RECHARGE, Kind.REVERSAL]
    bank.answer(Result.APPROVED, at=0)
    assert bank.deal.record.outcome is None  # a reversal is out: its answer decides
    bank.answer(Result.APPROVED, at=1)
    assert (bank.deal.record.outcome, bank.spent) == (Outcome.REVERSED, 0)


def test_a_reversal_that_is_refused_is_asked_about_and_the_money_stays() -> None:
    bank = Bank(habits.CAREFUL, "reversal").begin()
    bank.answer(Result.APPROVED).answer(Result.DATE_CLOSED).wait(2)
    assert bank.kinds[-1] is Kind.STATUS
    bank.answer(Result.APPROVED)
    assert bank.deal.record.outcome is Outcome.APPROVED
    assert bank.spent == bank.deal.record.amount_fen


def test_an_edge_refusal_ends_a_serial_only_where_no_copy_can_be_on_its_way() -> None:
    sure = Bank(habits.CAREFUL._replace(repeat=0), final=True).begin()
    assert sure.answer(Result.BUSY).deal.record.outcome is Outcome.REFUSED
    assert sure.spent == 0
    unsure = Bank(habits.CAREFUL).begin()
    assert unsure.answer(Result.BUSY).deal.record.outcome is None
    again = Bank(habits.CAREFUL._replace(repeat=0), "repeat_at_once", final=True).begin()
    assert again.answer(Result.BUSY, at=1).deal.record.outcome is None


def test_two_numbers_of_a_bank_meet_under_one_serial_and_the_later_is_a_duplicate() -> None:
    bank = Bank(habits.SHARES_SERIALS, "shared", numbers=2).begin(2)
    first, second = (ask.request for ask in bank.asks[:2])
    assert first.key == second.key
    assert (first.bank_number, second.bank_number) == ("01", "02")
    bank.answer(Result.APPROVED, at=0).answer(Result.DUPLICATE_SERIAL, at=1)
    assert [deal.record.outcome for deal in bank.teller.deals.all] == [Outcome.APPROVED, Outcome.REFUSED]
    assert bank.spent == first.amount_fen


def test_a_bank_a_day_ahead_and_one_that_goes_two_days_ahead() -> None:
    assert Bank(habits.CAREFUL).begin().asks[0].request.date == 20260701
    assert Bank(habits.DAY_AHEAD).begin().asks[0].request.date == 20260702
    assert Bank(habits.DAY_AHEAD, "two_days_ahead").begin().asks[0].request.date == 20260703


def test_without_dates_nothing_rests_on_a_serial_on_the_other_side_of_midnight() -> None:
    for habit in HABITS:
        adapted = without_dates(habit)
        assert not {"other_content", "shared", "two_days_ahead"} & set(adapted.actions)
        assert (adapted.days_ahead, adapted.shares_serials) == (0, False)


def test_a_line_that_is_down_is_waited_for_and_the_other_one_is_used() -> None:
    bank = Bank(habits.CAREFUL, "twice_by_two_lines", lines=2).begin()
    assert [len(wire.asks) for wire in bank.wires] == [1, 1]
    down = Bank(habits.CAREFUL)
    down.wires[0].ready = False
    down.begin().wait(5)
    assert (down.asks, down.spent) == ([], 0)
    down.wires[0].ready = True
    assert down.wait(1).kinds[0] is Kind.RECHARGE


def test_a_question_about_bills_that_is_answered_twice_says_nothing_of_the_payment() -> None:
    bank = Bank(habits.CAREFUL._replace(reply_us=SECOND_US), "pay").begin().wait(2)
    assert bank.kinds[:2] == [Kind.OWED, Kind.OWED]
    bank.answer(Result.NOTHING_OWED, at=1)
    assert bank.teller.settled
    assert bank.deal.record.kind is Kind.OWED
    bank.answer(Result.NOTHING_OWED, at=0)
    assert bank.teller.settled


@pytest.mark.parametrize(("result", "kept"), [(Result.SPENT, True), (Result.APPROVED, False)])
def test_a_cancellation_gives_the_money_back_only_when_it_is_approved(result: Result, kept: bool) -> None:
    bank = Bank(habits.CAREFUL, voids=1_000).begin().answer(Result.APPROVED)
    (deal,) = bank.teller.take_voids()
    assert not bank.teller.settled
    bank.teller.voided(deal, result)
    assert bank.teller.settled
    assert bank.spent == (deal.record.amount_fen if kept else 0)
    assert bank.teller.take_voids() == []


def test_every_action_that_a_habit_names_has_a_script() -> None:
    for habit in HABITS:
        assert set(habit.actions) <= set(ACTIONS), habit.name
    used = {action for habit in HABITS for action in habit.actions}
    assert used == set(ACTIONS)
