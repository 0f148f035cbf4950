"""A simulated bank's connection: how soon it is back when its front-end was away."""

from pathlib import Path
from random import Random  # noqa: TID251 - the tests bring the seeds
from zoneinfo import ZoneInfo

from twisted.internet.error import ConnectionRefusedError as NobodyListens
from twisted.internet.testing import MemoryReactorClock
from twisted.python.failure import Failure

from frontends.profile import load_profile
from simulators.bank import BankModel
from simulators.bank_line import BankLine
from simulators.codecs import bank_codec
from simulators.plans import Identity
from simulators.scenario_file import load_scenario
from simulators.serials import Serials
from simulators.simulated import SimulatedBank
from simulators.socket_client import SocketBank

CONFIG = Path(__file__).parents[2] / "config"


def test_a_bank_looks_for_its_front_end_about_once_a_second_however_long_it_is_away() -> None:
    profile, problems = load_profile(CONFIG, "hz_citic")
    assert profile is not None, problems
    reactor = MemoryReactorClock()
    identity = Identity("hz_citic", "hz_citic", ("0302",), ZoneInfo("Asia/Shanghai"))
    model = BankModel(identity, load_scenario(), Random(1), Serials(), lambda n, _: f"{n:06d}")
    core = SimulatedBank(model, BankLine(profile, bank_codec(profile.spec), {}, Serials(), bytes))
    bank = SocketBank(core, "127.0.0.1", 17301, profile.frame, lambda: None, reactor)
    bank.start()
    pauses = []
    for attempt in range(1, 40):
        assert len(reactor.tcpClients) == attempt
        reactor.tcpClients[-1][2].clientConnectionFailed(None, Failure(NobodyListens()))
        failed_at = reactor.seconds()
        while len(reactor.tcpClients) == attempt:
            reactor.advance(0.01)
        pauses.append(reactor.seconds() - failed_at)
    assert max(pauses) <= 1.35  # Twisted takes 0.3 s of it to be sure that no other address answers
    assert min(pauses[10:]) >= 0.5
    assert (
        len({round(pause, 2) for pause in pauses[10:]}) > 5
    )  # by chance, so that not all banks come back at once
