"""Every profile's bank against its front-end's real core in one process, messages lost and late."""

from pathlib import Path
from random import Random  # noqa: TID251 - the tests bring the seeds
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from frontends.profile import Profile, load_profile, resolve_keys
from qianzhi.domain.results import Result
from qianzhi.runtime.now import Now
from qianzhi.wire.keys import Delivered, build_delivery
from qianzhi.wire.paths import get_path, put_path
from simulators.bank import BankModel
from simulators.bank_line import BankLine
from simulators.codecs import bank_codec
from simulators.line import Incoming, Outgoing
from simulators.line_world import LineWorld
from simulators.plans import Identity
from simulators.record import Debit
from simulators.scenario_file import load_scenario
from simulators.serials import Serials
from simulators.sessions import State
from simulators.simulated import SimulatedBank
from simulators.tiny_core import TinyCore

CONFIG = Path(__file__).parents[2] / "config"
NETWORKS = ("lnet", "mnet", "unet", "vnet")  # which are asked by us: tests/simulators/test_network.py
NAMES = sorted(path.stem for path in (CONFIG / "banks").glob("*.toml") if path.stem not in NETWORKS)
START = Now(1_000_000, 1_795_312_800_250_000)  # ten in the morning of 2026-11-22 in Shanghai
ZONE = ZoneInfo("Asia/Shanghai")
PROFILES: dict[str, Profile] = {}


def profile_of(name: str) -> Profile:
    if name not in PROFILES:
        profile, problems = load_profile(CONFIG, name)
        assert profile is not None, problems
        PROFILES[name] = profile
    return PROFILES[name]


SIGNED_ON = [name for name in NAMES if profile_of(name).session.sign_on]
KEYED = [name for name in NAMES if profile_of(name).session.keys in ("ours", "theirs")]


class TestedWorld(LineWorld):
    """A world whose bank is made from the profile, with the default scenario at `rate` requests a second."""

    __test__ = False

    def __init__(self, name: str, seed: int = 1, faults: int = 0, rate: int = 20) -> None:
        profile, random = profile_of(name), Random(seed)
        keys = resolve_keys(profile, CONFIG, production=False)
        scenario = load_scenario()
        people = scenario.customers
        phones = range(people.phone_first, people.phone_first + people.count)
        serials = Serials()
        serials.add(range(1_000_000))
        line = BankLine(profile, bank_codec(profile.spec), keys, serials, random.randbytes)
        identity = Identity(name, profile.space, tuple(profile.numbers), ZONE)
        model = BankModel(identity, scenario, Random(seed + 1), serials, line.serial_text, rate)
        core = TinyCore(phones, frozenset(people.closed_phones))
        super().__init__(profile, keys, SimulatedBank(model, line), line, core, random, START, faults)

    def agree(self) -> None:
        for record in self.bank.records():
            row = self.core.rows.get(record.key)
            assert record.debit is not Debit.UNKNOWN
            assert record.standing_fen == (row.standing_fen if row else 0), record
        assert self.bank.report().surprises == {}


@pytest.mark.parametrize("name", NAMES)
def test_without_faults_every_request_is_answered_once_and_the_books_agree(name: str) -> None:
    world = TestedWorld(name)
    world.start()
    world.run(10)
    assert world.settle()
    world.agree()
    report = world.bank.report()
    assert report.sent == report.answered > 150
    assert (report.bad, report.unmatched, report.resent, report.unanswered) == (0, 0, 0, 0)
    assert report.approved > 50
    assert report.reversed > 2
    assert report.refused["DUPLICATE_SERIAL"] > 1
    numbers = {record.bank_number for record in world.bank.records()}
    assert numbers == set(world.profile.numbers)


@pytest.mark.parametrize("name", NAMES)
def test_lost_and_late_messages_are_settled_and_the_books_agree(name: str) -> None:
    world = TestedWorld(name, seed=3, faults=100)
    world.start()
    world.run(15)
    world.faults = 0
    assert world.settle()
    world.agree()
    assert world.lost > 10
    assert world.bank.report().resent > 10


@pytest.mark.parametrize("name", SIGNED_ON)
def test_a_session_comes_up_although_half_of_its_messages_are_lost(name: str) -> None:
    for seed in range(3):
        world = TestedWorld(name, seed=seed, faults=500, rate=1)
        world.start()
        world.run(60)
        world.faults = 0
        world.run(20)
        assert world.line.state is State.READY
        assert world.settle()
        world.agree()
        assert world.bank.report().approved > 10


@pytest.mark.parametrize("name", KEYED)
def test_a_front_end_that_has_forgotten_the_key_is_given_or_gives_another(name: str) -> None:
    world = TestedWorld(name, seed=5)
    world.start()
    world.run(5)
    first = world.line.session.key
    assert world.kept == [first]
    world.restart_front()
    world.run(20)
    assert world.settle()
    world.agree()
    assert world.line.session.key == world.kept[-1] != first
    report = world.bank.report()
    assert report.sent == report.answered > 200


@pytest.mark.parametrize("name", [name for name in NAMES if name not in SIGNED_ON])
def test_a_line_without_a_session_is_ready_as_it_stands_and_says_nothing_of_itself(name: str) -> None:
    world = TestedWorld(name, rate=0)
    world.start()
    world.run(5)
    assert world.line.state is State.READY
    assert world.line.deadline is None


def begun(name: str, seed: int = 1) -> tuple[TestedWorld, list[Outgoing]]:
    """Return a bank that has just connected, and what it says first; the wire carries nothing."""
    world = TestedWorld(name, seed=seed, rate=0)
    world.faults = 1000
    world.start()
    return world, world.line.on_connected(world.now)


def answer_to(world: TestedWorld, frame: bytes, result: Result) -> dict[str, Any]:
    asked = world.profile.codec.decode(frame)
    return world.profile.mapping.refusal_message(asked, result, world.now)


ANSWERED = [name for name in KEYED if profile_of(name).session.delivery == "answer"]


@pytest.mark.parametrize("name", ANSWERED)
def test_a_key_in_an_answer_is_used_only_with_its_check_value(name: str) -> None:
    master = resolve_keys(profile_of(name), CONFIG, production=False)["master"]
    key = bytes.fromhex("1A2A3D4C5E6E708091A2B3C4D5E6F708")[: profile_of(name).session.key_bytes]
    table = profile_of(name).table.delivery
    told = [Delivered(key, purpose) for purpose in (("mac", "pin") if table.pin_key else ("mac",))]
    for path in [table.mac_check, table.mac_key, *([table.pin_check] if table.pin_key else [])]:
        world, (sign_on,) = begun(name)
        answer = answer_to(world, sign_on.frame, Result.APPROVED)
        answer = build_delivery(table, answer, world.profile.codec, master, *told)
        right = get_path(answer, path)
        flipped = bytes([right[0] ^ 0x40]) + right[1:] if isinstance(right, bytes) else swapped(right)
        put_path(answer, path, flipped)
        assert world.line.on_frames([Incoming(world.profile.codec.encode(answer))], world.now) == ([], [])
        assert (world.line.ready, world.line.take_key(), world.line.bad) == (False, None, 1)
        again = world.line.on_time(world.now.after(6_000_000))
        answer = answer_to(world, again[0].frame, Result.APPROVED)
        answer = build_delivery(table, answer, world.profile.codec, master, *told)
        world.line.on_frames([Incoming(world.profile.codec.encode(answer))], world.now)
        assert (world.line.ready, world.line.take_key()) == (True, key)


def swapped(text: str) -> str:
    return ("0" if text[0] != "0" else "1") + text[1:]


THEIRS = [name for name in KEYED if profile_of(name).session.keys == "theirs"]


@pytest.mark.parametrize("name", THEIRS)
def test_a_key_of_the_banks_is_said_again_unchanged_and_used_from_the_approved_answer_on(name: str) -> None:
    world, (sign_on,) = begun(name)
    codec, line, later = world.profile.codec, world.line, world.now.after(6_000_000)
    answer = answer_to(world, sign_on.frame, Result.APPROVED)
    _, (delivery,) = line.on_frames([Incoming(codec.encode(answer), 0)], world.now)
    assert line.session.key is None
    (again,) = line.on_time(later)
    assert again.frame == delivery.frame
    answer = answer_to(world, delivery.frame, Result.BAD_MAC)
    assert line.on_frames([Incoming(codec.encode(answer), 0)], later) == ([], [])
    assert (line.ready, line.take_key(), line.session.key) == (False, None, None)
    (other,) = line.on_time(later.after(6_000_000))
    path = world.profile.table.delivery.mac_key
    assert get_path(codec.decode(other.frame), path) != get_path(codec.decode(again.frame), path)
    answer = answer_to(world, other.frame, Result.APPROVED)
    line.on_frames([Incoming(codec.encode(answer), 0)], later)
    assert line.ready
    assert line.take_key() == line.session.key is not None
