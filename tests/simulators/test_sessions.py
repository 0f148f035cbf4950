"""Every profile's bank against its front-end's real core in one process, messages lost and late."""

from pathlib import Path
from random import Random  # noqa: TID251 - the tests bring the seeds
from zoneinfo import ZoneInfo

import pytest

from frontends.profile import Profile, load_profile, resolve_keys
from qianzhi.runtime.now import Now
from simulators.bank import BankModel
from simulators.bank_line import BankLine
from simulators.codecs import bank_codec
from simulators.line_world import LineWorld
from simulators.plans import Identity
from simulators.record import Debit
from simulators.scenario_file import load_scenario
from simulators.serials import Serials
from simulators.sessions import State
from simulators.simulated import SimulatedBank
from simulators.tiny_core import TinyCore

CONFIG = Path(__file__).parents[2] / "config"
NAMES = sorted(path.stem for path in (CONFIG / "banks").glob("*.toml"))
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
