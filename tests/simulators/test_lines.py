"""Whole simulated banks, codec and session and all, against a front-end made of the platform's codecs."""

from pathlib import Path
from random import Random  # noqa: TID251 - the tests bring the seeds
from zoneinfo import ZoneInfo

import pytest

from frontends.profile import Profile, load_profile
from qianzhi.domain.requests import Kind, Request
from qianzhi.runtime.effects import Effects
from qianzhi.runtime.now import SECOND_US, Now
from simulators.bank import BankModel
from simulators.bank_line import BankLine
from simulators.codecs import bank_codec
from simulators.line import CONTROL, MAIN, SETTLED, Incoming
from simulators.model_front import ModelFront
from simulators.plans import Identity
from simulators.record import Ask
from simulators.scenario_file import load_scenario
from simulators.serials import Serials
from simulators.sessions import State
from simulators.simulated import SimulatedBank
from simulators.tiny_core import TinyCore

CONFIG = Path(__file__).parents[2] / "config"
ZONE = ZoneInfo("Asia/Shanghai")
START = Now(1_000_000, 1_782_900_000_000_000)
MASTER = bytes.fromhex("0123456789ABCDEFFEDCBA9876543210")
KEY = bytes.fromhex("FEDCBA98765432100123456789ABCDEF")
OTHER_KEY = bytes.fromhex("1A2A3D4C5E6E708091A2B3C4D5E6F708")


def profile_of(name: str) -> Profile:
    profile, problems = load_profile(CONFIG, name)
    assert profile is not None, problems
    return profile


class Site:
    """One bank and its front-end, joined without loss; the clock goes from deadline to deadline."""

    def __init__(self, name: str, seed: int = 1, key: bytes | None = None) -> None:
        self.profile = profile_of(name)
        scenario = load_scenario()
        people = scenario.customers
        phones = range(people.phone_first, people.phone_first + people.count)
        self.front = ModelFront(self.profile, TinyCore(phones, frozenset(people.closed_phones)), MASTER, KEY)
        serials = Serials()
        serials.add(range(100_000))
        keys = {"master": MASTER, "mac": KEY}
        line = BankLine(self.profile, bank_codec(self.profile.spec), keys, serials, bytes, key)
        identity = Identity(name, self.profile.space, tuple(self.profile.numbers), ZONE)
        model = BankModel(identity, scenario, Random(seed), serials, line.serial_text, 50)
        self.line, self.model = line, model
        self.bank = SimulatedBank(model, line)
        self.now = START
        self.endpoints: set[str] = set()

    def carry(self, effects: Effects) -> None:
        """Bring frames to the front-end and its answers back until nobody says anything more."""
        while effects:
            back: list[Incoming] = []
            for effect in effects:
                if effect.to == SETTLED:
                    continue
                self.endpoints.add(effect.to)
                for out in effect.items:
                    ticket = out.ticket if self.profile.name == "icbc" else None
                    back += [Incoming(frame, ticket) for frame in self.front.answer(out.frame, self.now)]
            effects = self.bank.on_frames(back, self.now)

    def run(self, seconds: int) -> None:
        until = self.now.mono_us + seconds * SECOND_US
        while True:
            deadline = self.bank.deadline
            if deadline is None or deadline > until:
                return
            self.now = self.now.after(max(0, deadline - self.now.mono_us))
            self.carry(self.bank.on_time(self.now))

    def agree(self) -> None:
        self.bank.stop()
        self.run(600)
        assert self.bank.settled()
        for record in self.bank.records():
            row = self.front.core.rows.get(record.key)
            assert record.standing_fen == (row.standing_fen if row else 0), record


@pytest.mark.parametrize("name", ["hz_citic", "icbc"])
def test_a_bank_in_its_own_wire_format_gets_every_kind_of_answer_and_agrees_with_the_core(name: str) -> None:
    site = Site(name)
    site.carry(site.bank.on_connected(site.now))
    site.run(30)
    site.agree()
    report = site.bank.report()
    assert report.sent == report.answered > 1000
    assert (report.bad, report.unmatched, report.resent, report.surprises) == (0, 0, 0, {})
    assert {request.kind for request in site.front.asked} == {
        *(Kind.OWED, Kind.RECHARGE, Kind.PAY, Kind.STATUS, Kind.REVERSAL)
    }
    assert {"NO_SUCH_PHONE", "PHONE_CLOSED", "DUPLICATE_SERIAL", "BILL_CHANGED", "NOTHING_OWED"} <= set(
        report.refused
    )
    assert report.approved > 300
    assert report.reversed > 50
    assert site.endpoints == ({MAIN, CONTROL} if name == "icbc" else {MAIN})


def test_a_bank_without_a_key_signs_on_and_applies_for_one_and_keeps_it_for_the_next_connection() -> None:
    site = Site("hz_citic")
    line = site.line
    site.carry(site.bank.on_connected(site.now))
    assert line.ready
    assert line.take_key() == KEY
    assert line.take_key() is None
    assert site.front.answered_codes == ["00"]
    site.bank.on_closed(site.now)
    assert not line.ready
    site.front.next_key = OTHER_KEY
    site.carry(site.bank.on_connected(site.now))
    assert line.ready
    assert line.take_key() is None  # the key of before is used again


def test_a_key_whose_check_value_is_wrong_is_refused_and_not_used() -> None:
    site = Site("hz_citic")
    line = site.line
    frames = next(effect.items for effect in site.bank.on_connected(site.now))
    (signed_on,) = site.front.answer(frames[0].frame, site.now)
    (application,) = [effect.items[0] for effect in site.bank.on_frames([Incoming(signed_on)], site.now)]
    answer, delivery = site.front.answer(application.frame, site.now)
    broken = bytearray(delivery)
    broken[-1] ^= 1
    effects = site.bank.on_frames([Incoming(answer), Incoming(bytes(broken))], site.now)
    site.carry(effects)
    assert site.front.answered_codes == ["A0"]
    assert line.state is State.KEYING
    assert line.take_key() is None
    site.run(6)  # patience runs out, and the bank applies once more
    assert line.ready
    assert site.front.answered_codes == ["A0", "00"]


def request_of(site: Site) -> Request:
    number = site.profile.numbers[0]
    return Request(
        Kind.RECHARGE, site.profile.space, 20260701, "000077", site.profile.name, number, "13800000001", 50_00
    )


@pytest.mark.parametrize(("signed_on", "key"), [(False, KEY), (True, OTHER_KEY)])
def test_a_refusal_at_the_door_reopens_the_session_and_loses_nothing(signed_on: bool, key: bytes) -> None:
    """Not signed on, or a MAC that the switch does not accept: the session is opened anew, then the work
    goes on.
    """
    site = Site("hz_citic", key=KEY)
    site.front.key = key
    site.carry(site.bank.on_connected(site.now))
    site.front.signed_on = signed_on
    site.run(20)
    site.agree()
    report = site.bank.report()
    assert report.answered == report.sent > 500
    assert report.surprises == {}
    assert report.resent > 0


def test_a_new_key_in_mid_traffic_is_taken_and_answers_under_the_old_one_still_count() -> None:
    site = Site("hz_citic", key=KEY)
    line = site.line
    site.front.key = KEY
    site.carry(site.bank.on_connected(site.now))
    ask = Ask(77, request_of(site), site.now.wall_us)
    (out,) = line.carry([ask], site.now)
    (answer,) = site.front.answer(out.frame, site.now)
    site.front.next_key = OTHER_KEY
    site.carry(site.bank.on_frames([Incoming(site.front.begin("key_delivery", site.now))], site.now))
    assert line.take_key() == OTHER_KEY
    heard, _ = line.on_frames([Incoming(answer)], site.now)
    assert [item.ticket for item in heard] == [77]
    site.run(5)
    assert site.bank.report().bad == 0


def test_the_bank_answers_an_echo_of_ours_and_never_a_heartbeat() -> None:
    site = Site("hz_citic", key=KEY)
    site.carry(site.bank.on_connected(site.now))
    assert site.bank.on_frames([Incoming(b"")], site.now) == []
    site.carry(site.bank.on_frames([Incoming(site.front.begin("echo", site.now))], site.now))
    assert site.front.answered_codes == ["00"]


def test_a_message_of_ours_that_comes_back_rejected_is_no_answer() -> None:
    site = Site("hz_citic", key=KEY)
    line = site.line
    site.carry(site.bank.on_connected(site.now))
    (out,) = line.carry([Ask(77, request_of(site), site.now.wall_us)], site.now)
    rejected = out.frame[:41] + b"10042" + out.frame[46:]
    assert line.on_frames([Incoming(rejected)], site.now) == ([], [])
    assert line.bad == 1


def test_an_answer_to_nothing_is_counted_and_dropped() -> None:
    for name in ("hz_citic", "icbc"):
        site = Site(name, key=KEY)
        site.front.key = KEY
        site.carry(site.bank.on_connected(site.now))
        ask = Ask(77, replace_serial(site), site.now.wall_us)
        (out,) = site.line.carry([ask], site.now)
        (answer,) = site.front.answer(out.frame, site.now)
        incoming = Incoming(answer, 77 if name == "icbc" else None)
        assert len(site.line.on_frames([incoming, incoming], site.now)[0]) == 1
        assert site.line.unmatched == 1


def replace_serial(site: Site) -> Request:
    serial = "000077" if site.profile.name == "hz_citic" else "20260701000000000077"
    request = request_of(site)
    return Request(**{**{f: getattr(request, f) for f in request.__struct_fields__}, "serial": serial})


def test_a_repeat_is_the_same_message_to_the_last_byte_and_a_reversal_quotes_its_original() -> None:
    site = Site("hz_citic", key=KEY)
    line = site.line
    site.front.key = KEY
    ask = Ask(1, request_of(site), site.now.wall_us, site.now.wall_us)
    (first,) = line.carry([ask], site.now)
    later = site.now.after(90 * SECOND_US)
    (second,) = line.carry([ask._replace(ticket=2)], later)
    assert first.frame == second.frame
    request = request_of(site)
    reversal = Request(
        **{
            **{f: getattr(request, f) for f in request.__struct_fields__},
            "kind": Kind.REVERSAL,
            "own_serial": "000078",
        }
    )
    (out,) = line.carry([Ask(3, reversal, later.wall_us, site.now.wall_us)], later)
    original, message = (site.profile.codec.decode(frame) for frame in (first.frame, out.frame))
    assert message["original"]["transmission_time"] == original["transmission_time"]
    assert message["original"]["stan"] == original["stan"] == "000077"
    assert message["stan"] == "000078"
    assert message["transmission_time"] != original["transmission_time"]
