"""Two front-ends of one bank as processes of their own: one is killed, or the database that they share is.

The banks are the simulators', on real sockets; the rows are in a file or in a PostgreSQL.
"""

import pytest
from killable import PATIENCE_SECONDS
from simulated import SimulatedBank

from frontends.store import prepare
from qianzhi.domain.results import Result

SHARED = '\n[state]\ndatabase = "{}"\npassword = "test:{}"\n'


class Shared:
    """A state database of a test's own, which can be shut and opened again."""

    def __init__(self, server):
        self.server = server
        url = server.new_database()
        prepare(url)
        self.name = url.rpartition("/")[2]
        self.table = SHARED.format(server.url(server.admin_user, self.name), server.admin_password)

    def shut(self):
        self.server.psql(f"ALTER DATABASE {self.name} ALLOW_CONNECTIONS false")
        ended = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname ="
        self.server.psql(f"{ended} '{self.name}'")

    def open(self):
        self.server.psql(f"ALTER DATABASE {self.name} ALLOW_CONNECTIONS true")


@pytest.fixture
def shared(postgres):
    return Shared(postgres)


@pytest.fixture(params=["sqlite", "postgresql"])
def state(request):
    return "" if request.param == "sqlite" else request.getfixturevalue("shared").table


def kill(process):
    process.kill()
    process.wait(PATIENCE_SECONDS)


def test_a_bank_goes_on_at_the_other_instance_without_signing_on(make_place, state):
    place = make_place("wenzhou", instances=2, state=state)
    one, _ = place.start(), place.start(instance=2)
    bank = SimulatedBank(place)
    bank.connect(1)
    bank.open()
    assert bank.recharge("first") is Result.APPROVED
    key = bank.line.session.key
    kill(one)
    bank.close()
    bank.connect(2)
    assert bank.recharge("second") is Result.APPROVED
    assert bank.recharge("first") is Result.APPROVED
    assert bank.line.session.key == key
    bank.change_key()
    assert bank.recharge("third") is Result.APPROVED
    place.start()
    bank.close()
    bank.connect(1)
    assert bank.recharge("fourth") is Result.APPROVED
    assert (bank.line.bad, bank.line.session.key == key) == (0, False)
    assert place.core.credits == dict.fromkeys((ask.request.key for ask in bank.asks.values()), 1)


def test_short_connections_alternate_between_the_instances(make_place, state):
    place = make_place("psbc", instances=2, state=state)
    place.start()
    place.start(instance=2)
    bank = SimulatedBank(place)
    bank.connect(1)
    bank.open()
    for number in range(12):
        bank.connect(2 - number % 2)
        assert bank.recharge(f"{number}") is Result.APPROVED
        if number in (4, 7):
            bank.change_key()
    assert bank.line.bad == 0
    assert len(place.core.credits) == 12


def test_a_front_waits_for_its_database_serves_without_it_and_heals(make_place, shared):
    place = make_place("wenzhou", instances=2, state=shared.table)
    shared.shut()
    process = place.start()
    place.wait_for(place.name, lambda status: "cannot be used" in status.get("store", ""))
    assert place.status(place.name)["listening"] == "", "nobody is taken whose session is not known"
    shared.open()
    place.wait_for(place.name, lambda status: status["store"] == "ok" and status["listening"])
    bank = SimulatedBank(place)
    bank.connect()
    bank.open()
    assert bank.recharge("first") is Result.APPROVED
    shared.shut()
    place.wait_for(place.name, lambda status: "cannot be used" in status["store"])
    assert bank.recharge("second") is Result.APPROVED, "under a key that is known"
    shared.open()
    place.wait_for(place.name, lambda status: status["store"] == "ok")
    bank.change_key()
    assert bank.recharge("third") is Result.APPROVED
    assert process.poll() is None
    assert bank.line.bad == 0
