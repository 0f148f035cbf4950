"""`qianzhi drain` and `undrain` for two real front-ends of one bank, as an operator gives them."""

import pytest
from killable import PATIENCE_SECONDS
from simulated import SimulatedBank
from typer.testing import CliRunner

from qianzhi.cli.main import app
from qianzhi.cli.output import BROKEN, CommandError
from qianzhi.domain.results import Result
from qianzhi.runtime import clock
from simulators.connections import LineGoneError

ONE, TWO = "front-wenzhou-1", "front-wenzhou-2"


class Operator:
    """Whoever gives commands at this machine; `fails` expects the exit code of what is refused."""

    def __init__(self, place):
        self.place = place

    def does(self, *words, fails=0):
        """Give a command; return what it says."""
        done = CliRunner().invoke(app, ["--config", str(self.place.config), *words], env={"COLUMNS": "250"})
        if not fails:
            assert done.exception is None, (done.output, done.exception)
            return done.output
        assert isinstance(done.exception, CommandError), (done.output, done.exception)
        assert done.exception.code == fails
        return f"{done.exception}\n{done.output}"

    def row(self, name):
        """What `qianzhi status` says of a daemon; the site's other daemons do not run."""
        done = CliRunner().invoke(app, ["--config", str(self.place.config), "status"], env={"COLUMNS": "250"})
        return next(line for line in done.output.splitlines() if name in line)

    def wait_for(self, name, draining):
        self.place.wait_for(name, lambda status: status and status["draining"] is draining)


@pytest.fixture
def place(make_place):
    made = make_place("wenzhou", instances=2)
    made.start()
    made.start(instance=2)
    return made


@pytest.fixture
def operator(place):
    return Operator(place)


@pytest.fixture
def bank(place):
    bank = SimulatedBank(place)
    bank.connect(1)
    bank.open()
    assert bank.recharge("first") is Result.APPROVED
    return bank


def wait_until_closed(bank):
    """Wait until the front-end has ended the connection, as one that is drained does."""
    end = clock.monotonic_seconds() + PATIENCE_SECONDS
    try:
        while clock.monotonic_seconds() < end:
            bank.connection.receive(0.05)
    except LineGoneError:
        return
    raise AssertionError("the connection stays")


def test_a_drained_front_leaves_the_bank_to_the_other_and_the_last_one_is_kept(place, operator, bank):
    said = operator.does("drain", ONE, "--reason", "换网卡", "--until", "2h")
    assert f"{ONE}: stands by and takes nothing new until " in said
    assert "stands by" in operator.row(ONE)
    assert "(换网卡)" in operator.row(ONE)
    assert " until " in operator.row(ONE)
    assert "running" in operator.row(TWO)
    wait_until_closed(bank)
    bank.close()
    bank.connect(2)
    assert bank.recharge("first") is Result.APPROVED
    assert bank.recharge("second") is Result.APPROVED

    for words in (["drain", TWO], ["drain", "wenzhou"]):
        assert "no other one is known to serve" in operator.does(*words, fails=BROKEN)
    assert place.status(TWO)["draining"] is False
    assert bank.recharge("third") is Result.APPROVED

    place.processes[0].kill()
    place.processes[0].wait(PATIENCE_SECONDS)
    place.start()
    assert "(换网卡)" in operator.row(ONE), "a restart does not end it"

    said = operator.does("drain", "wenzhou", "--force")
    assert TWO in said
    assert "stands by" in operator.row(TWO)
    wait_until_closed(bank)
    said = operator.does("undrain", "wenzhou")
    assert [f"{name}: takes requests again" in said for name in (ONE, TWO)] == [True, True]
    assert ["running" in operator.row(name) for name in (ONE, TWO)] == [True, True]
    bank.close()
    bank.connect(1)
    assert bank.recharge("fourth") is Result.APPROVED
    assert place.core.credits == dict.fromkeys((ask.request.key for ask in bank.asks.values()), 1)


def test_a_bank_drained_for_a_while_at_this_machine_is_served_at_the_other_until_it_ends(
    place, operator, bank
):
    socket = place.data / "run" / f"{TWO}.sock"
    gone = socket.rename(socket.with_suffix(".gone"))  # as if it ran on another machine
    said = operator.does("drain", "wenzhou", "--until", "4s")
    assert f"not on this machine, and not touched: {TWO}" in said
    assert f"{ONE}: stands by" in said
    gone.rename(socket)
    wait_until_closed(bank)
    bank.close()
    bank.connect(2)
    assert bank.recharge("second") is Result.APPROVED
    operator.wait_for(ONE, draining=False)
    assert "running" in operator.row(ONE)
    bank.close()
    bank.connect(1)
    assert bank.recharge("third") is Result.APPROVED
