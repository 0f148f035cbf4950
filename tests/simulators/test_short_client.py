"""A bank on short connections, on a reactor that is played: one frame each, and several at once."""

from pathlib import Path
from random import Random  # noqa: TID251 - the tests bring the seeds
from typing import Any
from zoneinfo import ZoneInfo

from twisted.internet.testing import MemoryReactorClock, StringTransport

from frontends.profile import load_profile
from qianzhi.runtime.effects import Effects, Send
from qianzhi.wire.framing import FrameSpec
from simulators.bank import BankModel
from simulators.bank_line import BankLine
from simulators.codecs import bank_codec
from simulators.line import MAIN, SETTLED, Outgoing
from simulators.plans import Identity
from simulators.scenario_file import load_scenario
from simulators.serials import Serials
from simulators.short_client import ANSWER_SECONDS, RETRY_SECONDS, TRIES_MAX, WAITING_SECONDS, ShortBank
from simulators.simulated import SimulatedBank

CONFIG = Path(__file__).parents[2] / "config"
COUNTED = FrameSpec(kind="ascii", size=4)
DELIMITED = FrameSpec(kind="message")


class Transport(StringTransport):
    """A connection that is played: what was written, and how it was ended."""

    half_closed = False
    aborted = False

    def setTcpNoDelay(self, _: bool) -> None:
        """Nothing to do."""

    def loseWriteConnection(self) -> None:
        self.half_closed = True

    def abortConnection(self) -> None:
        self.aborted = True


class Rig:
    """A short bank whose core only keeps what it hears."""

    def __init__(self, spec: FrameSpec, seed: int = 1) -> None:
        profile, problems = load_profile(CONFIG, "psbc")
        assert profile is not None, problems
        identity = Identity("psbc", "psbc", ("0403",), ZoneInfo("Asia/Shanghai"))
        model = BankModel(identity, load_scenario(), Random(seed), Serials(), lambda n, _: f"{n:06d}", 0)
        line = BankLine(profile, bank_codec(profile.spec), {}, Serials(), bytes)
        core = SimulatedBank(model, line)
        self.heard: list[tuple[bytes, int | None]] = []

        def on_frames(items: list[Any], _: Any) -> Effects:
            self.heard += [(item.frame, item.ticket) for item in items]
            return []

        core.on_frames = on_frames  # type: ignore[method-assign]
        self.reactor = MemoryReactorClock()
        self.bank = ShortBank(
            core, "127.0.0.1", 1, spec, lambda: None, Random(seed), self.reactor, open_max=3
        )

    def send(self, *frames: bytes) -> None:
        items = [Outgoing(MAIN, frame, ticket) for ticket, frame in enumerate(frames, 1)]
        self.bank.ask([Send(MAIN, items)])

    def connect(self, at: int) -> tuple[Any, Transport]:
        exchange = self.reactor.tcpClients[at][2]
        transport = Transport()
        exchange.makeConnection(transport)
        return exchange, transport


def test_each_message_has_a_connection_of_its_own_and_only_so_many_at_once() -> None:
    rig = Rig(COUNTED)
    rig.send(b"a", b"b", b"c", b"d")
    assert len(rig.reactor.tcpClients) == 3
    exchange, transport = rig.connect(1)
    assert transport.value() == b"0001b"
    exchange.dataReceived(b"0006answ")
    assert rig.heard == []
    exchange.dataReceived(b"er")
    assert transport.disconnecting
    exchange.connectionLost(None)
    assert rig.heard == [(b"answer", 2)]
    assert len(rig.reactor.tcpClients) == 4


def test_a_message_without_a_length_is_whole_when_the_other_side_closes() -> None:
    rig = Rig(DELIMITED)
    rig.send(b"a")
    exchange, _ = rig.connect(0)
    exchange.dataReceived(b"ans")
    exchange.dataReceived(b"wer")
    assert rig.heard == []
    exchange.connectionLost(None)
    assert rig.heard == [(b"answer", 1)]


def test_a_message_for_which_nobody_listens_is_sent_soon_again_unless_it_is_settled() -> None:
    rig = Rig(COUNTED)
    rig.send(b"a", b"b")
    for at in range(2):
        rig.reactor.tcpClients[at][2].clientConnectionFailed(None, None)
    rig.bank.ask([Send(SETTLED, [2])])
    rig.reactor.advance(RETRY_SECONDS)
    assert len(rig.reactor.tcpClients) == 3
    exchange, _ = rig.connect(2)
    exchange.dataReceived(b"0006answer")
    exchange.connectionLost(None)
    assert rig.heard == [(b"answer", 1)]
    rig.send(b"c")
    for at in range(3, 3 + TRIES_MAX):
        rig.reactor.tcpClients[at][2].clientConnectionFailed(None, None)
        rig.reactor.advance(RETRY_SECONDS)
    assert len(rig.reactor.tcpClients) == 3 + TRIES_MAX
    assert rig.bank.failed == 1


def test_no_answer_and_half_an_answer_are_nothing_heard_and_free_the_place() -> None:
    rig = Rig(COUNTED)
    rig.send(b"a", b"b", b"c")
    silent, transport = rig.connect(0)
    rig.reactor.advance(ANSWER_SECONDS)
    rig.send(b"d", b"e")
    assert transport.aborted
    silent.connectionLost(None)
    broken, _ = rig.connect(1)
    broken.dataReceived(b"0006ans")
    broken.connectionLost(None)
    assert rig.heard == []
    assert rig.bank.failed == 2
    assert len(rig.reactor.tcpClients) == 5
    rubbish, transport = rig.connect(3)
    rubbish.dataReceived(b"nine")
    assert transport.aborted


def test_what_found_no_place_in_time_is_not_sent_any_more() -> None:
    rig = Rig(COUNTED)
    rig.send(b"a", b"b", b"c", b"d", b"e")
    rig.reactor.advance(WAITING_SECONDS / 2)
    rig.send(b"f")
    rig.reactor.advance(WAITING_SECONDS / 2 + 0.1)
    silent, _ = rig.connect(0)
    silent.connectionLost(None)
    assert len(rig.reactor.tcpClients) == 4
    _, transport = rig.connect(3)
    assert transport.value() == b"0001f"


def test_the_sending_side_is_shut_by_habit_and_the_seed_decides() -> None:
    def habits(seed: int) -> list[bool]:
        rig = Rig(COUNTED, seed)
        shut = []
        for at in range(30):
            rig.send(b"a")
            exchange, transport = rig.connect(at)
            shut.append(transport.half_closed)
            exchange.connectionLost(None)
        return shut

    assert habits(1) == habits(1) != habits(2)
    assert {True, False} == set(habits(1))


def test_after_the_end_nothing_is_opened_and_what_stands_is_cut() -> None:
    rig = Rig(COUNTED)
    rig.send(b"a", b"b", b"c", b"d")
    exchange, transport = rig.connect(0)
    rig.bank.stop()
    assert transport.aborted
    exchange.connectionLost(None)
    assert len(rig.reactor.tcpClients) == 3
