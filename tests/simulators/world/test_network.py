"""The model network: what is written arrives whole and in order, sooner or later, or the wire breaks."""

from random import Random  # noqa: TID251 - the tests bring the seeds

import pytest

from qianzhi.runtime.now import SECOND_US
from simulators.world.faults import Fault
from simulators.world.kernel import Dice, Kernel
from simulators.world.network import KEEPALIVE_US, Network, damaged
from simulators.world.parts import Wire
from simulators.world.process import Process


class Ear:
    """Keeps what it hears."""

    def __init__(self) -> None:
        self.wires: list[Wire] = []
        self.heard = bytearray()
        self.pieces = 0
        self.shut: list[str] = []

    def on_open(self, wire: Wire) -> None:
        self.wires.append(wire)

    def on_data(self, wire: Wire, data: bytes) -> None:
        self.pieces += 1
        self.heard += data

    def on_shut(self, wire: Wire | None, reason: str) -> None:
        self.shut.append(reason)


class Pair:
    """Two processes and a connection between them."""

    def __init__(self, seed: int = 1, *, short: bool = False) -> None:
        self.kernel = Kernel(lambda name: Random(f"{seed}/{name}"), 0)
        self.network = Network(self.kernel)
        self.near, self.far = Process(self.kernel, "near"), Process(self.kernel, "far")
        self.ear, self.other = Ear(), Ear()
        for process in (self.near, self.far):
            process.start()
        self.network.listen(self.far, "far", self.other)
        self.network.dial(self.near, "far", self.ear, short=short)
        self.pass_us(5_000)

    def pass_us(self, us: int) -> None:
        self.kernel.run(self.kernel.now_us + us)

    def say(self, *messages: bytes) -> None:
        for message in messages:
            self.ear.wires[0].say(message)

    def fault(self, kind: str, strength: int = 1_000, other: str = "") -> Fault:
        target = "near" if other else "network"
        fault = Fault(kind, target, 0, 0, strength, other)
        self.network.begin_fault(fault)
        return fault


@pytest.mark.parametrize("seed", range(20))
def test_a_stream_arrives_whole_and_in_order_whatever_is_lost_slow_or_in_pieces(seed: int) -> None:
    pair = Pair(seed)
    pair.fault("lossy", 300)
    pair.fault("slow", 400)
    pair.fault("split", 500)
    sent = b""
    for number in range(60):
        data = bytes([number]) * (1 + 7 * number)
        pair.ear.wires[0].send(data)
        sent += data
        pair.pass_us(20_000)
    pair.pass_us(60 * SECOND_US)
    assert bytes(pair.other.heard) == sent
    assert pair.other.pieces > 60


@pytest.mark.parametrize("seed", range(8))
def test_what_a_cut_holds_back_arrives_after_it_or_the_connection_breaks(seed: int) -> None:
    pair = Pair(seed)
    cut = pair.fault("cut", other="far")
    pair.say(b"abc", b"def")
    pair.other.wires[0].send(b"back")
    pair.pass_us(SECOND_US)
    assert not pair.other.heard
    assert not pair.ear.heard
    pair.network.end_fault(cut)
    pair.pass_us(10 * SECOND_US)
    through = (bytes(pair.other.heard), bytes(pair.ear.heard)) == (b"abcdef", b"back")
    assert through or "reset" in pair.ear.shut + pair.other.shut


def test_a_one_way_cut_lets_the_other_way_through() -> None:
    pair = Pair()
    pair.fault("cut_one_way", other="far")
    pair.say(b"abc")
    pair.other.wires[0].send(b"back")
    pair.pass_us(SECOND_US)
    assert not pair.other.heard
    assert bytes(pair.ear.heard) == b"back"


def test_through_a_cut_nobody_hears_of_a_death_until_it_is_looked_for() -> None:
    pair = Pair()
    pair.fault("cut", other="far")
    pair.near.kill()
    pair.network.died(pair.near)
    pair.pass_us(KEEPALIVE_US - SECOND_US)
    assert pair.other.shut == []
    pair.pass_us(2 * SECOND_US)
    assert pair.other.shut == ["keepalive"]


def test_a_death_breaks_connections_and_nobody_listens_any_more() -> None:
    pair = Pair()
    pair.far.kill()
    pair.network.died(pair.far)
    pair.pass_us(SECOND_US)
    assert pair.ear.shut == ["reset"]
    pair.network.dial(pair.near, "far", pair.ear)
    pair.pass_us(SECOND_US)
    assert pair.ear.shut == ["reset", "refused"]


def test_a_message_of_a_bank_may_be_lost_and_those_beside_it_arrive() -> None:
    pair = Pair()
    pair.fault("bank_frames_lost", 500)
    pair.say(*(bytes([number]) for number in range(100)))
    pair.pass_us(SECOND_US)
    assert 20 < len(pair.other.heard) < 80
    assert list(pair.other.heard) == sorted(pair.other.heard)


def test_a_message_of_a_bank_may_come_twice_or_be_overtaken_or_damaged() -> None:
    twice = Pair()
    twice.fault("bank_frames_twice")
    twice.say(b"x")
    twice.pass_us(100 * SECOND_US)
    assert bytes(twice.other.heard) == b"xx"
    late = Pair()
    fault = late.fault("bank_frames_late")
    late.say(b"first")
    late.network.end_fault(fault)
    late.say(b"second")
    late.pass_us(100 * SECOND_US)
    assert bytes(late.other.heard) == b"secondfirst"
    broken = Pair()
    broken.fault("bank_frames_broken")
    broken.say(b"message")
    broken.pass_us(SECOND_US)
    assert bytes(broken.other.heard) != b"message"


def test_a_damaged_message_has_another_byte_or_fewer_or_more() -> None:
    message = bytes(range(40))
    found = [damaged(message, Dice(Random(seed))) for seed in range(300)]
    assert message not in found
    assert {(len(one) > 40) - (len(one) < 40) for one in found} == {-1, 0, 1}
    for one in found:
        assert len(one) != 40 or sum(a != b for a, b in zip(one, message, strict=True)) == 1
        assert len(one) >= 40 or message.startswith(one)


def test_a_message_of_a_dialect_without_a_mac_is_lost_or_late_and_never_another_message() -> None:
    pair = Pair()
    pair.fault("bank_frames_broken")
    pair.ear.wires[0].say(b"message", False)
    pair.pass_us(SECOND_US)
    assert bytes(pair.other.heard) == b"message"


def test_a_doubled_message_of_a_short_connection_comes_on_a_connection_of_its_own() -> None:
    pair = Pair(short=True)
    pair.fault("bank_frames_twice")
    pair.say(b"x")
    pair.pass_us(50_000)
    pair.ear.wires[0].close()
    pair.pass_us(100 * SECOND_US)
    assert bytes(pair.other.heard) == b"xx"
    assert len(pair.other.wires) == 2


class Greeter(Ear):
    """Whoever says something as soon as somebody has dialled."""

    def on_open(self, wire: Wire) -> None:
        super().on_open(wire)
        wire.send(b"good day")


class Caller(Ear):
    """Whoever notes what came before the connection stood."""

    early = b""

    def on_data(self, wire: Wire, data: bytes) -> None:
        super().on_data(wire, data)
        if wire not in self.wires:
            self.early += data


@pytest.mark.parametrize("seed", range(20))
def test_whoever_dials_hears_that_the_connection_stands_before_anything_else(seed: int) -> None:
    pair, caller = Pair(seed), Caller()
    pair.network.listen(pair.far, "greeter", Greeter())
    pair.fault("slow", 400)
    pair.network.dial(pair.near, "greeter", caller)
    pair.pass_us(60 * SECOND_US)
    assert bytes(caller.heard) == b"good day"
    assert not caller.early


def test_whoever_dials_one_that_dies_before_the_connection_stands_hears_that_there_is_none() -> None:
    for us in range(1, 900, 40):
        pair = Pair()
        ear = Ear()
        pair.network.dial(pair.near, "far", ear)
        pair.pass_us(us)
        pair.far.kill()
        pair.network.died(pair.far)
        pair.pass_us(10 * SECOND_US)
        assert ear.shut in (["refused"], ["reset"])
        assert bool(ear.wires) == (ear.shut == ["reset"])
