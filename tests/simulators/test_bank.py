"""A simulated bank against a tiny perfect core over a line that loses, doubles, delays and breaks."""

import heapq
from dataclasses import replace
from random import Random  # noqa: TID251 - the tests bring the seeds
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qianzhi.domain.requests import Kind, Reply, Request
from qianzhi.domain.results import Result
from qianzhi.runtime.effects import Effects
from qianzhi.runtime.now import SECOND_US, Now
from simulators.bank import BankModel
from simulators.plans import Identity
from simulators.record import Ask, Debit, Heard, Outcome
from simulators.scenario import ACTIONS, Customers, Scenario, Settle, Step, Waits
from simulators.scenario_file import load_scenario
from simulators.serials import Serials
from simulators.tiny_core import TinyCore

ZONE = ZoneInfo("Asia/Shanghai")
START = Now(5_000_000, 1_782_900_000_000_000)
IDENTITY = Identity("hz_citic", "hz_citic", ("102000001", "102000002"), ZONE)


class World:
    """One bank, one core, and the line between them, on a heap clock.

    `faults` is a share in a thousand for each of: lost on the way in, lost on the way out, doubled, UNKNOWN
    instead of an answer.
    """

    def __init__(self, scenario: Scenario, seed: int, faults: int = 0, delay_us: int = 20_000) -> None:
        self.random = Random(seed)
        self.faults = faults
        self.delay_us = delay_us
        serials = iter(range(1, 1_000_000))
        self.model = BankModel(
            IDENTITY, scenario, Random(seed + 1), lambda: next(serials), lambda n, _: f"{n:06d}"
        )
        people = scenario.customers
        self.core = TinyCore(
            range(people.phone_first, people.phone_first + people.count), frozenset(people.closed_phones)
        )
        self.now = START
        self.queue: list[tuple[int, int, str, object]] = []
        self.asked: list[Ask] = []
        self.n = 0

    def push(self, kind: str, item: object, delay_us: int) -> None:
        self.n += 1
        heapq.heappush(self.queue, (self.now.mono_us + delay_us, self.n, kind, item))

    def carry(self, effects: Effects) -> None:
        for effect in effects:
            for ask in effect.items:
                self.asked.append(ask)
                for _ in range(1 + self.hit()):
                    if not self.hit():
                        self.push("in", ask, self.delay())

    def hit(self) -> bool:
        return self.random.randrange(1000) < self.faults

    def delay(self) -> int:
        """Now and then far longer than the bank's patience."""
        return self.random.randrange(self.delay_us * (400 if self.hit() else 1)) + 1

    def execute(self, ask: Ask) -> None:
        reply = self.core.execute(ask.request)
        result = Result.UNKNOWN if self.hit() else reply.result
        if not self.hit():
            self.push(
                "out", Heard(ask.ticket, f"{result:02d}", result, reply.bills, reply.order), self.delay()
            )

    def step(self) -> None:
        """Go to whatever comes next: something on the line, or the bank's own deadline."""
        deadline = self.model.deadline
        head = self.queue[0][0] if self.queue else None
        at = min(t for t in (deadline, head) if t is not None)
        self.now = self.now.after(max(0, at - self.now.mono_us))
        if head is not None and head <= self.now.mono_us:
            _, _, kind, item = heapq.heappop(self.queue)
            if kind == "in":
                self.execute(item)
            else:
                self.carry(self.model.on_heard([item], self.now))
        else:
            self.carry(self.model.on_time(self.now))

    def run(self, seconds: int, settle_seconds: int = 300) -> None:
        self.carry(self.model.on_ready(self.now))
        until = self.now.mono_us + seconds * SECOND_US
        while self.now.mono_us < until and (self.model.deadline is not None or self.queue):
            self.step()
        self.model.stop()
        bound = self.now.mono_us + settle_seconds * SECOND_US
        while not self.model.settled() and self.now.mono_us < bound:
            self.step()
        while self.queue:
            self.step()


def agree(world: World) -> None:
    """The bank's money is the core's, key by key and in all."""
    assert world.model.settled()
    for record in world.model.records():
        row = world.core.rows.get(record.key)
        assert record.outcome is not None
        assert record.debit is not Debit.UNKNOWN
        assert record.standing_fen == (row.standing_fen if row else 0), record
    assert world.model.purses.spent_fen == world.core.standing_fen
    assert {key for key, row in world.core.rows.items() if row.standing_fen} <= {
        record.key for record in world.model.records()
    }


@pytest.mark.parametrize("seed", range(4))
def test_every_serial_ends_and_the_money_is_the_same_when_the_line_is_perfect(seed: int) -> None:
    world = World(load_scenario(), seed)
    world.run(60)
    agree(world)
    report = world.model.report()
    assert report.sent == report.answered > 1000
    assert report.resent == report.unanswered == report.late == 0
    assert report.surprises == {}


@pytest.mark.parametrize("seed", range(8))
def test_every_serial_ends_and_the_money_is_the_same_when_messages_are_lost_doubled_and_late(
    seed: int,
) -> None:
    world = World(load_scenario(), seed, faults=120)
    world.run(40)
    agree(world)
    report = world.model.report()
    assert report.surprises == {}
    assert report.unanswered > 50
    assert report.resent > 50
    assert report.late > 5


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6), faults=st.integers(0, 500), action=st.sampled_from(sorted(ACTIONS)))
def test_each_action_alone_ends_with_equal_money(seed: int, faults: int, action: str) -> None:
    scenario = replace(load_scenario(), mix={action: 1}, rate=10)
    world = World(scenario, seed, faults)
    world.run(5, settle_seconds=3000)
    agree(world)
    assert world.model.report().surprises == {}


def test_the_default_scenario_shows_each_kind_about_one_time_in_ten() -> None:
    world = World(load_scenario(), 7)
    world.run(200)
    report = world.model.report()
    steps = report.steps
    assert steps["repeat"] / report.sent > 0.10
    assert steps["status"] / report.sent > 0.10
    assert steps["reversal"] / report.sent > 0.10
    refused = sum(n for name, n in report.refused.items() if name not in {"NOTHING_OWED", "REVERSED"})
    assert refused / report.sent > 0.10
    assert report.sent / 200 == pytest.approx(20, rel=0.05)  # the rate is of requests, not of actions


def test_the_same_seed_asks_the_same_and_another_does_not() -> None:
    runs = []
    for seed in (3, 3, 4):
        world = World(load_scenario(), seed, faults=100)
        world.run(10)
        runs.append(world.asked)
    assert runs[0] == runs[1]
    assert runs[0] != runs[2]


def only(action: str, **waits: int) -> World:
    scenario = replace(load_scenario(), mix={action: 1}, rate=1, waits=Waits(**waits))
    world = World(scenario, 1)
    world.model.rate = 0
    world.model.on_ready(world.now)
    return world


def test_an_edge_refusal_of_the_only_attempt_gives_the_money_back_and_is_final() -> None:
    world = only("recharge")
    (send,) = world.model.ask_for("recharge", world.now)
    assert world.model.records()[0].debit is Debit.UNKNOWN
    world.model.on_heard([Heard(send.items[0].ticket, "96", Result.BUSY)], world.now)
    (record,) = world.model.records()
    assert (record.outcome, record.debit, world.model.settled()) == (Outcome.REFUSED, Debit.RETURNED, True)


def test_an_edge_refusal_of_a_second_attempt_settles_nothing() -> None:
    world = only("recharge", reply_ms=1000)
    world.model.scenario = replace(
        world.model.scenario, settle=replace(world.model.scenario.settle, status=0, reversal=0)
    )
    world.model.ask_for("recharge", world.now)
    world.now = world.now.after(SECOND_US)
    assert world.model.on_time(world.now) == []
    world.now = world.now.after(2 * SECOND_US)
    (send,) = world.model.on_time(world.now)
    assert send.items[0].request.repeat
    world.model.on_heard([Heard(send.items[0].ticket, "96", Result.BUSY)], world.now)
    (record,) = world.model.records()
    assert (record.outcome, record.debit, world.model.settled()) == (None, Debit.UNKNOWN, False)


def test_a_late_approval_after_the_reversal_went_out_does_not_count() -> None:
    world = only("recharge", reply_ms=1000)
    world.model.scenario = replace(
        world.model.scenario, settle=replace(world.model.scenario.settle, repeat=0, status=0)
    )
    (first,) = world.model.ask_for("recharge", world.now)
    original = first.items[0]
    reversal = None
    while reversal is None:
        world.now = world.now.after(SECOND_US)
        for send in world.model.on_time(world.now):
            reversal = send.items[0]
    assert reversal.request.kind is Kind.REVERSAL
    assert reversal.request.key == original.request.key
    world.model.on_heard([Heard(original.ticket, "00", Result.APPROVED)], world.now)
    assert world.model.records()[0].outcome is None
    world.model.on_heard([Heard(reversal.ticket, "25", Result.NOT_FOUND)], world.now)
    (record,) = world.model.records()
    assert (record.outcome, record.debit) == (Outcome.REVERSED, Debit.RETURNED)
    assert world.model.purses.spent_fen == 0


def test_a_late_approval_settles_what_was_only_asked_about_and_stops_the_asking() -> None:
    world = only("recharge", reply_ms=1000)
    world.model.scenario = replace(
        world.model.scenario, settle=replace(world.model.scenario.settle, repeat=0, reversal=0)
    )
    (first,) = world.model.ask_for("recharge", world.now)
    world.now = world.now.after(SECOND_US)
    world.model.on_time(world.now)
    world.model.on_heard([Heard(first.items[0].ticket, "00", Result.APPROVED)], world.now)
    assert world.model.records()[0].outcome is Outcome.APPROVED
    world.now = world.now.after(60 * SECOND_US)
    assert world.model.on_time(world.now) == []
    assert world.model.settled()


def test_a_broken_line_makes_what_is_on_its_way_unknown_and_it_is_settled_when_the_line_is_back() -> None:
    world = only("recharge")
    world.model.ask_for("recharge", world.now)
    assert world.model.on_lost(world.now) == []
    world.now = world.now.after(10 * SECOND_US)
    assert world.model.on_time(world.now) == []  # nothing is sent on a line that is not there
    (send,) = world.model.on_ready(world.now)
    assert send.items[0].request.key == world.model.records()[0].key
    assert world.model.report().line_losses == 1


def test_a_core_that_doubles_a_repeated_recharge_is_found_out() -> None:
    """The oracle bites: a core that forgets its keys does not agree with the bank."""

    class Forgetful(TinyCore):
        def execute(self, request: Request) -> Reply:
            if request.repeat:
                self.rows[request.key._replace(serial=request.serial + "x")] = self.rows.pop(request.key)
            return super().execute(request)

    world = World(replace(load_scenario(), mix={"repeat": 1}), 1)
    world.core = Forgetful(world.core.phones)
    world.run(5)
    with pytest.raises(AssertionError):
        agree(world)


def test_approval_of_other_content_under_a_used_serial_is_a_surprise() -> None:
    world = only("duplicate")
    (first,) = world.model.ask_for("duplicate", world.now)
    (second,) = world.model.on_heard([Heard(first.items[0].ticket, "00", Result.APPROVED)], world.now)
    other = second.items[0]
    assert other.request.amount_fen != first.items[0].request.amount_fen
    assert other.request.key == first.items[0].request.key
    world.model.on_heard([Heard(other.ticket, "00", Result.APPROVED)], world.now)
    assert world.model.report().surprises == {"other content answered 00": 1}


def test_no_more_messages_are_on_their_way_than_the_bank_allows_itself() -> None:
    scenario = replace(
        load_scenario(), mix={"recharge": 1}, rate=1000, waits=Waits(in_flight_max=5, reply_ms=60_000)
    )
    world = World(scenario, 1)
    world.model.on_ready(world.now)
    world.now = world.now.after(SECOND_US)
    (send,) = world.model.on_time(world.now)
    assert len(send.items) == 5
    report = world.model.report()
    assert report.held <= 6
    assert report.skipped > 900


def test_latency_counts_from_the_moment_the_request_was_due() -> None:
    """A bank that was held up for a second sees that second in its latencies (no coordinated omission)."""
    scenario = replace(load_scenario(), mix={"recharge": 1}, rate=10)
    world = World(scenario, 1)
    world.model.on_ready(world.now)
    world.now = world.now.after(SECOND_US)
    (send,) = world.model.on_time(world.now)
    world.model.on_heard([Heard(ask.ticket, "00", Result.APPROVED) for ask in send.items], world.now)
    latency = world.model.report().latency
    assert latency.max_us == SECOND_US
    assert latency.quantile_us(500) == pytest.approx(SECOND_US / 2, rel=0.15)


def test_customers_are_what_their_numbers_say() -> None:
    world = World(load_scenario(), 1)
    card = world.model.purses.card(42)
    assert len(card) == 19
    digits = [int(digit) for digit in card]
    doubled = [
        digit if place % 2 == 0 else sum(divmod(2 * digit, 10)) for place, digit in enumerate(digits[::-1])
    ]
    assert sum(doubled) % 10 == 0
    assert Customers().count == 1000
    assert set(ACTIONS["reversal_early"]) == {Step.REVERSAL, Step.ORIGINAL}


def settled_by(**parts: int) -> World:
    world = only("recharge", reply_ms=1000)
    settle = replace(world.model.scenario.settle, repeat=0, status=0, reversal=0)
    world.model.scenario = replace(world.model.scenario, settle=replace(settle, **parts))
    return world


def next_ask(world: World) -> Ask:
    while True:
        world.now = world.now.after(SECOND_US)
        for send in world.model.on_time(world.now):
            return send.items[0]


def test_a_late_edge_refusal_of_the_original_says_nothing_while_its_repeat_is_on_its_way() -> None:
    world = settled_by(repeat=1)
    (first,) = world.model.ask_for("recharge", world.now)
    repeat = next_ask(world)
    world.model.on_heard([Heard(first.items[0].ticket, "96", Result.BUSY)], world.now)
    assert world.model.records()[0].outcome is None
    world.model.on_heard([Heard(repeat.ticket, "00", Result.APPROVED)], world.now)
    assert world.model.records()[0].outcome is Outcome.APPROVED


def test_a_reversal_is_sent_again_as_it_was_and_a_query_under_a_new_serial() -> None:
    world = settled_by(reversal=1)
    world.model.ask_for("recharge", world.now)
    one, again = next_ask(world), next_ask(world)
    assert one.request == again.request
    assert one.stamp_us == again.stamp_us
    world = settled_by(status=1)
    world.model.ask_for("recharge", world.now)
    one, again = next_ask(world), next_ask(world)
    assert one.request.key == again.request.key
    assert one.request.own_serial != again.request.own_serial


def test_a_query_that_finds_no_serial_waits_until_more_are_leased() -> None:
    scenario = load_scenario()
    scenario = replace(scenario, settle=Settle(repeat=0, status=1, reversal=0))
    serials = Serials()
    serials.add(range(1, 2))
    model = BankModel(IDENTITY, scenario, Random(1), serials, lambda n, _: f"{n:06d}")
    model.on_ready(START)
    (send,) = model.ask_for("recharge", START)
    assert [ask.request.serial for ask in send.items] == ["000001"]
    now = START
    for _ in range(5):  # nobody answers: the bank wants to ask what became of it
        now = now._replace(mono_us=now.mono_us + scenario.waits.reply_ms * 1_000 + SECOND_US)
        assert model.on_time(now) == []
    serials.add(range(2, 10))
    (send,) = model.on_time(now)
    assert [(ask.request.kind, ask.request.own_serial) for ask in send.items] == [(Kind.STATUS, "000002")]
