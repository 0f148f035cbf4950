"""Whole simulated banks where answers are late, doubled or lost: nothing may pass for another's answer."""

import heapq
from dataclasses import replace
from pathlib import Path
from random import Random  # noqa: TID251 - the tests bring the seeds
from zoneinfo import ZoneInfo

import pytest

from bankmq.kept import QUEUE, KeepLimits, KeptMessages
from frontends.profile import Profile, load_profile
from qianzhi.domain.requests import Kind, Reply, Request
from qianzhi.domain.results import Result
from qianzhi.runtime.effects import Effects
from qianzhi.runtime.now import SECOND_US, Now
from qianzhi.wire.mac import make_mac
from qianzhi.wire.mackey import MacKey
from simulators.bank import BankModel
from simulators.bank_line import BankLine
from simulators.codecs import bank_codec
from simulators.line import SETTLED, Incoming, Outgoing
from simulators.message_ids import MessageIds
from simulators.model_front import ModelFront
from simulators.plans import Identity
from simulators.record import Ask, Debit
from simulators.scenario_file import load_scenario
from simulators.serials import Serials
from simulators.simulated import SimulatedBank
from simulators.tiny_core import TinyCore

CONFIG = Path(__file__).parents[2] / "config"
START = Now(1_000_000, 1_782_900_000_000_000)
KEY = bytes.fromhex("FEDCBA98765432100123456789ABCDEF")


def profile_of(name: str) -> Profile:
    profile, problems = load_profile(CONFIG, name)
    assert profile is not None, problems
    return profile


def line_of(profile: Profile, serials: Serials) -> BankLine:
    keys = {"master": KEY, "mac": KEY}
    return BankLine(profile, bank_codec(profile.spec), keys, serials, bytes, KEY)


class SlowFront:
    """One bank and its front-end on a heap clock: `faults` in a thousand messages are lost, and as many
    answers; as many wait up to `slow_us`, longer than the bank's patience.

    A queue keeps documents and sends them again, so that one question has many answers; a socket does not,
    but there an answer says only by its fields what it is to.
    """

    def __init__(
        self, name: str, seed: int, mix: dict[str, int] | None = None, faults: int = 200, rate: int = 20
    ) -> None:
        self.random = Random(seed)
        self.faults = faults
        self.slow_us = 9 * SECOND_US
        profile = profile_of(name)
        scenario = load_scenario()
        scenario = replace(scenario, mix=mix or scenario.mix, waits=replace(scenario.waits, reply_ms=2_000))
        people = scenario.customers
        phones = range(people.phone_first, people.phone_first + people.count)
        self.front = ModelFront(profile, TinyCore(phones, frozenset(people.closed_phones)), KEY, KEY)
        self.front.key = KEY
        serials = Serials()
        serials.add(range(100_000))
        line = line_of(profile, serials)
        identity = Identity(name, profile.space, tuple(profile.numbers), ZoneInfo("Asia/Shanghai"))
        model = BankModel(identity, scenario, Random(seed), serials, line.serial_text, rate)
        self.bank = SimulatedBank(model, line)
        self.kept = KeptMessages(KeepLimits(answer_seconds=3)) if name == "icbc" else None
        self.ids = MessageIds(name, 1)
        self.now = START
        self.n = 0
        self.sent = 0
        self.queue: list[tuple[int, int, str, bytes, bytes]] = []

    def hit(self) -> bool:
        return self.random.randrange(1000) < self.faults

    def push(self, kind: str, message_id: bytes, frame: bytes) -> None:
        self.n += 1
        delay_us = 1 + self.random.randrange(self.slow_us if self.hit() else 50_000)
        heapq.heappush(self.queue, (self.now.mono_us + delay_us, self.n, kind, message_id, frame))

    def carry(self, effects: Effects) -> None:
        for effect in effects:
            if effect.to == QUEUE:
                self.transmit(effect.items)
            elif effect.to == SETTLED:
                if self.kept is not None:
                    self.kept.drop([self.ids.of(ticket) for ticket in effect.items])
            else:
                self.submit(effect.items)

    def submit(self, items: list[Outgoing]) -> None:
        pairs = [(self.ids.of(item.ticket), item.frame) for item in items]
        if self.kept is not None:
            self.carry(self.kept.submit(pairs, self.now))
        else:
            self.transmit(pairs)

    def transmit(self, pairs: list[tuple[bytes, bytes]]) -> None:
        for message_id, frame in pairs:
            self.sent += 1
            if not self.bank.line.ready or not self.hit():
                self.push("in", message_id, frame)

    def arrive(self, kind: str, message_id: bytes, frame: bytes) -> None:
        if kind == "in":
            for answer in self.front.answer(frame, self.now):
                if not self.bank.line.ready or not self.hit():
                    self.push("out", message_id, answer)
        elif self.kept is None:
            self.carry(self.bank.on_frames([Incoming(frame)], self.now))
        else:
            self.kept.on_answers([(message_id, frame)])
            for outcome in self.kept.take_outcomes():
                incoming = Incoming(outcome.body, self.ids.ticket(outcome.message_id))
                if outcome.end == "answered":
                    self.carry(self.bank.on_frames([incoming], self.now))

    def step(self) -> None:
        kept = self.kept.deadline if self.kept is not None else None
        head = self.queue[0][0] if self.queue else None
        at = min(time for time in (self.bank.deadline, kept, head) if time is not None)
        self.now = self.now.after(max(0, at - self.now.mono_us))
        if head is not None and head <= self.now.mono_us:
            self.arrive(*heapq.heappop(self.queue)[2:])
        elif self.kept is not None and kept is not None and kept <= self.now.mono_us:
            self.carry(self.kept.on_time(self.now))
        else:
            self.carry(self.bank.on_time(self.now))

    def run(self, seconds: int) -> None:
        self.carry(self.bank.on_connected(self.now))
        until = self.now.mono_us + seconds * SECOND_US
        while self.now.mono_us < until:
            self.step()
        self.bank.stop()
        bound = self.now.mono_us + 1000 * SECOND_US
        while not self.bank.settled() and self.now.mono_us < bound:
            self.step()

    def agree(self) -> None:
        assert self.bank.settled()
        for record in self.bank.records():
            row = self.front.core.rows.get(record.key)
            assert record.debit is not Debit.UNKNOWN
            assert record.standing_fen == (row.standing_fen if row else 0), record


DOUBTFUL = {"duplicate": 4, "reversal_repeat": 3, "repeat": 2, "status_unseen": 1}


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", ["hz_citic", "icbc"])
def test_no_late_answer_passes_for_the_answer_to_another_request(name: str, seed: int) -> None:
    world = SlowFront(name, seed, DOUBTFUL)
    world.run(30)
    world.agree()
    report = world.bank.report()
    assert report.surprises == {}
    assert report.refused["DUPLICATE_SERIAL"] > 20
    assert report.unmatched + report.late > 20  # so late answers there were


@pytest.mark.parametrize("name", ["hz_citic", "icbc"])
def test_a_core_that_pays_twice_is_found_out_however_late_its_answers_are(name: str) -> None:
    class Careless(TinyCore):
        def execute(self, request: Request) -> Reply:
            if request.kind is Kind.RECHARGE and request.key in self.rows:
                return Reply(Result.APPROVED)
            return super().execute(request)

    world = SlowFront(name, 1, {"duplicate": 1, "reversal_repeat": 1})
    world.front.core = Careless(world.front.core.phones)
    world.run(20)
    assert world.bank.settled()
    found = " ".join(world.bank.report().surprises)
    assert "other content answered" in found
    assert "reversed became approved by repeat" in found


def request_of(profile: Profile, amount_fen: int = 50_00) -> Request:
    serial = "000077" if profile.name in ("hz_citic", "wenzhou") else "20260701000000000077"
    number = profile.numbers[0]
    return Request(
        Kind.RECHARGE, profile.space, 20260701, serial, profile.name, number, "13800000001", amount_fen
    )


def rig(name: str) -> tuple[BankLine, ModelFront, Request]:
    profile = profile_of(name)
    line = line_of(profile, Serials())
    front = ModelFront(profile, TinyCore(range(13_800_000_000, 13_800_000_100)), KEY, KEY)
    front.key, front.signed_on = KEY, True
    return line, front, request_of(profile)


def test_a_queues_second_answer_to_the_original_is_not_the_answer_to_other_content() -> None:
    line, front, _ = rig("icbc")
    original, repeat, other = (
        line.carry([Ask(ticket, request_of(front.profile, amount_fen), START.wall_us)], START)[0]
        for ticket, amount_fen in ((1, 50_00), (2, 50_00), (3, 51_00))
    )
    first, second, third = (front.answer(out.frame, START)[0] for out in (original, repeat, other))
    heard, _ = line.on_frames([Incoming(second, 2)], START)
    assert [(item.ticket, item.result) for item in heard] == [(2, Result.APPROVED)]
    line.forget([1])
    assert line.on_frames([Incoming(first, 1)], START) == ([], [])
    assert line.unmatched == 1
    heard, _ = line.on_frames([Incoming(third, 3)], START)
    assert [(item.ticket, item.result) for item in heard] == [(3, Result.DUPLICATE_SERIAL)]


def test_an_answer_whose_document_is_not_the_one_it_names_is_no_answer() -> None:
    line, front, request = rig("icbc")
    (out,) = line.carry([Ask(1, request, START.wall_us)], START)
    (answer,) = front.answer(out.frame, START)
    later = Request(
        **{**{f: getattr(request, f) for f in request.__struct_fields__}, "serial": "2026070100000099"}
    )
    line.carry([Ask(2, later, START.wall_us)], START)
    assert line.on_frames([Incoming(answer, 2)], START) == ([], [])
    assert [heard.ticket for heard in line.on_frames([Incoming(answer, 1)], START)[0]] == [1]


def test_a_sockets_answers_are_told_apart_by_their_amount_and_doubted_while_copies_are_unanswered() -> None:
    line, front, request = rig("hz_citic")
    copies = [line.carry([Ask(ticket, request, START.wall_us)], START)[0] for ticket in (1, 2)]
    answers = [front.answer(out.frame, START)[0] for out in copies]
    (heard,), _ = line.on_frames([Incoming(answers[0])], START)
    assert (heard.ticket, heard.sure) == (2, False)
    line.forget([1])
    other = request_of(front.profile, 51_00)
    (out,) = line.carry([Ask(3, other, START.wall_us)], START)
    assert line.on_frames([Incoming(answers[1])], START) == ([], [])
    (heard,), _ = line.on_frames([Incoming(front.answer(out.frame, START)[0])], START)
    assert (heard.ticket, heard.sure, heard.result) == (3, True, Result.DUPLICATE_SERIAL)
    (out,) = line.carry([Ask(4, request, START.wall_us)], START)
    (heard,), _ = line.on_frames([Incoming(front.answer(out.frame, START)[0])], START)
    assert (heard.ticket, heard.sure) == (4, True)


def test_a_lost_connection_takes_its_unanswered_copies_with_it() -> None:
    line, front, request = rig("hz_citic")
    line.carry([Ask(1, request, START.wall_us)], START)
    line.on_closed()
    (out,) = line.carry([Ask(2, request, START.wall_us)], START)
    (heard,), _ = line.on_frames([Incoming(front.answer(out.frame, START)[0])], START)
    assert (heard.ticket, heard.sure) == (2, True)


def test_a_document_that_the_bank_has_settled_otherwise_is_not_sent_again() -> None:
    world = SlowFront("icbc", 1, {"recharge": 1}, faults=0)
    world.run(1)
    assert world.kept is not None
    assert len(world.kept) == 0
    world = SlowFront("icbc", 2, DOUBTFUL)
    world.run(20)
    world.carry(world.bank.on_time(world.now))
    assert len(world.kept or ()) == 0  # every serial is settled, and so is every document


def test_an_answer_that_repeats_no_amount_is_to_the_last_message_and_doubted() -> None:
    """A refusal of what never became a request need not say how much was asked."""
    line, front, request = rig("wenzhou")
    (out,) = line.carry([Ask(1, request, START.wall_us)], START)
    mapping, codec, mac = front.profile.mapping, front.profile.codec, front.profile.mac
    answer = mapping.refusal_message(codec.decode(out.frame), Result.FORMAT, START)
    assert mac is not None
    make_mac(mac, answer, codec, MacKey(KEY))
    (heard,), _ = line.on_frames([Incoming(codec.encode(answer))], START)
    assert (heard.ticket, heard.result, heard.sure) == (1, Result.FORMAT, False)
