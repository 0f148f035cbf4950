"""What the fuzz of live ports stands on: its frames, its bytes beneath a queue, and that it notices."""

import copy
import json
import os
import subprocess
import sys
from pathlib import Path
from random import Random  # noqa: TID251 - seeded
from types import SimpleNamespace

import ports_attack
import ports_run
import ports_site
import pytest
import zmq
from ports_attack import GROWTH_BYTES_MAX, HANG_US, Attack
from ports_frames import MUTATIONS, Frames, Made, broken_lengths, read_vectors, resigned
from ports_weapons import GREETING, READY, Strokes, _zmtp

from frontends.profile import load_profile, load_profiles
from qianzhi.link.site import load_site
from simulators.codecs import bank_codec
from simulators.framing import framed
from simulators.macs import is_signed, sign

ROOT = Path(__file__).resolve().parents[2]
KEY = bytes.fromhex("15D6F2A762018AD004155E6E0162527A")


def profile_of(bank):
    profile, problems = load_profile(ROOT / "config", bank, None, rehearsed=False)
    assert profile is not None, problems
    return profile


@pytest.mark.parametrize("bank", ["hz_citic", "abc", "ccb", "lianlian", "icbc"])
def test_mutated_bytes_get_a_right_mac(bank):
    profile, chance = profile_of(bank), Random(7)
    codec = bank_codec(profile.spec)
    right = 0
    for message in read_vectors(ROOT / "tests/vectors" / bank)[1]:
        sign(profile.mac, message, codec, KEY)
        frame = codec.encode(message)
        for _ in range(20):
            mutated = MUTATIONS["digits"](chance, frame, frame)
            data = resigned(profile, codec, KEY, message, mutated)
            if data is None or data == frame:
                continue
            try:
                read = codec.decode(data)
            except ValueError:
                continue
            right += is_signed(profile.mac, read, codec, KEY, data)
    assert right > 20


def test_a_seed_makes_the_same_frames_again():
    profile = profile_of("zongheng")
    made = []
    for _ in range(2):
        frames = Frames(profile, bank_codec(profile.spec), ROOT / "tests/vectors/zongheng")
        frames.key = KEY[:16]
        made.append([(one.data, one.how) for one in frames.take(300, Random("x"))])
    assert made[0] == made[1]
    assert len({data for data, _ in made[0]}) > 200
    assert any("signed" in how for _, how in made[0]) or any("changed" in how for _, how in made[0])


def test_mutations_leave_what_they_are_given():
    profile = profile_of("icbc")
    frames = Frames(profile, bank_codec(profile.spec), ROOT / "tests/vectors/icbc")
    before = copy.deepcopy(frames._messages)
    frames.take(300, Random(3))
    assert frames._messages == before


def test_lengths_lie():
    for bank in ("hz_citic", "lianlian", "zongheng"):
        profile = profile_of(bank)
        body, chance = b"A" * 120, Random(1)
        broken = [broken_lengths(profile, body, chance) for _ in range(40)]
        assert all(one != framed(profile.frame, body) for one in broken)


def test_every_port_of_every_bank_is_known():
    known = ports_run.ports()
    banks = {path.stem for path in (ROOT / "config/banks").glob("*.toml")}
    assert {port.rpartition("-")[0] for port in known} - {"link"} == banks
    assert {"icbc-control", "link-node1", "link-bridge1"} <= set(known)


@pytest.mark.parametrize("bank", ["boc", "unet"])
def test_a_bank_gets_a_twin_with_numbers_of_its_own(tmp_path, bank):
    site = ports_site.PortSite(tmp_path, bank)
    tables, problems = load_site(site.config)
    assert tables is not None, problems
    profiles, problems = load_profiles(site.config, tables)
    assert not problems
    assert set(profiles) == {bank, ports_site.BESIDE}
    assert not set(profiles[bank].numbers) & set(profiles[ports_site.BESIDE].numbers)


def test_a_queue_understands_the_bytes_beneath():
    router = zmq.Context.instance().socket(zmq.ROUTER)
    port = router.bind_to_random_port("tcp://127.0.0.1")
    strokes = Strokes(("127.0.0.1", port), GREETING)
    try:
        wire = GREETING + READY + _zmtp(b"id", True) + _zmtp(b"x" * 300, False)
        strokes.alone([wire] * 3, Random(1))
        for _ in range(3):
            assert router.poll(10_000)
            assert router.recv_multipart()[1:] == [b"id", b"x" * 300]
        strokes.slowly(wire, Random(1))
        assert router.poll(10_000)
    finally:
        strokes.close()
        router.close(linger=0)


# -- that it notices


class Site:
    """Daemons that are none: what a test sets is what the attack sees."""

    def __init__(self):
        self.ended, self.said = [], []
        self.held = ports_site.Usage(50 << 20, 20)
        self.waited_us = self.worked_us = 0

    def dead(self):
        return self.ended

    def undeclared(self):
        said, self.said = self.said, []
        return said

    def usage(self):
        return {"front": self.held}

    def times(self):
        return ports_site.Times(self.waited_us, {"front": self.worked_us})

    def counters(self, _):
        return {}


class Weapon:
    """Sends ten frames at a time to nobody; `poison` is what `slow` the customer is after."""

    name, daemon = "bank-main", "front"

    def __init__(self, clock):
        self._clock, self.sent, self.poison, self.repeats = clock, 0, None, True
        self._wait_us, self.on_batch = 0, lambda number: None

    def strike(self, _):
        self.on_batch(self.sent // 10)
        made = [Made(b"%d" % (self.sent + number), "made") for number in range(10)]
        self.sent += 10
        self._wait_us = self._cost(made)
        return made

    def repeat(self, frames):
        self._wait_us = self._cost(frames) if self.repeats else 0

    def _cost(self, frames):
        return 3 * HANG_US if self.poison in [one.data for one in frames] else 1000

    def ask(self):
        self._clock.us += self._wait_us

    def read(self, _):
        return self.sent * 2

    def masked(self, frame):
        return frame.hex()

    def close(self):
        pass


@pytest.fixture
def staged(tmp_path, monkeypatch):
    clock = SimpleNamespace(us=0, sleep=lambda seconds: setattr(clock, "us", clock.us + int(seconds * 1e6)))
    clock.now = lambda: SimpleNamespace(mono_us=clock.us)
    clock.monotonic_seconds = lambda: clock.us / 1e6
    monkeypatch.setattr(ports_attack, "clock", clock)
    site, weapon = Site(), Weapon(clock)
    return site, weapon, Attack(site, weapon, 5, tmp_path)


def test_a_quiet_attack_finds_nothing(staged):
    _, _, attack = staged
    struck = attack.run(2000)
    assert not struck.faults
    assert struck.read >= 2000
    assert struck.longest_us == 1000


def test_the_frame_behind_a_hang_is_found(staged):
    _, weapon, attack = staged
    weapon.poison = b"137"
    struck = attack.run(500)
    (fault,) = struck.faults
    assert "waited 300 ms" in fault.what
    assert fault.frames == ["made: " + b"137".hex()]
    assert json.loads(Path(fault.file).read_text())["frames"][0]["frame"] == b"137".hex()


def test_a_wait_that_does_not_come_again_is_counted(staged):
    _, weapon, attack = staged
    weapon.poison, weapon.repeats = b"137", False
    struck = attack.run(500)
    assert not struck.faults
    assert struck.slow == 1


@pytest.mark.parametrize(("works", "faults"), [(True, 1), (False, 0)])
def test_the_machines_other_work_excuses_a_wait_but_not_a_daemons_own(staged, works, faults):
    site, weapon, attack = staged
    weapon.poison, ask = b"137", weapon.ask

    def slowly():
        ask()
        site.waited_us += weapon._wait_us
        site.worked_us += weapon._wait_us * works

    weapon.ask = slowly
    assert len(attack.run(500).faults) == faults


def test_a_dead_daemon_ends_the_attack(staged):
    site, weapon, attack = staged

    def die(number):
        site.ended = ["front ended with -11"] if number == 3 else []

    def ask():
        if site.ended:
            raise ConnectionResetError("gone")

    weapon.on_batch, weapon.ask = die, ask
    struck = attack.run(5000)
    assert [fault.what for fault in struck.faults] == ["crash: front ended with -11"]
    assert struck.frames == 40


def test_an_undeclared_exception_growth_and_descriptors_are_faults(staged):
    site, weapon, attack = staged

    def spoil(number):
        if number == 60:
            site.said = ["front: Traceback"]
        if number == 150:
            site.held = ports_site.Usage((50 << 20) + GROWTH_BYTES_MAX + 1, 40)

    weapon.on_batch = spoil
    whats = [fault.what.partition(":")[0] for fault in attack.run(4000).faults]
    assert whats == ["undeclared", "memory", "descriptors"]


def test_logs_are_searched_for_what_nobody_declared(tmp_path):
    site = ports_site.PortSite(tmp_path, "icbc")
    (site.data / "log").mkdir(parents=True)
    site.daemons = {"front": None}
    log = site.data / "log/front.log"
    log.write_text('{"event": "mac_failures", "level": "warning"}\n')
    assert site.undeclared() == []
    with log.open("a") as more:
        more.write("Traceback (most recent call last):\n")
    assert len(site.undeclared()) == 1
    assert site.undeclared() == []


# -- and for real


def test_a_live_port_stands(tmp_path):
    command = [
        sys.executable,
        str(ROOT / "tests/fuzz/ports_run.py"),
        "--frames",
        "600",
        "--seed",
        "3",
        "hz_ceb",
    ]
    done = subprocess.run(
        command, cwd=tmp_path, env=dict(os.environ), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 ports" in done.stdout
    assert "none failed" in done.stdout
