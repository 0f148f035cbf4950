"""A bank's question or reversal reaches the other instance than its original: the core decides, once.

A front-end says "in process" of what it has itself in flight; what its partner has in flight it cannot know.
There asking settles at the core (money rule 4), in whatever order the two arrive.
"""

import itertools
from zoneinfo import ZoneInfo

import msgspec
import pytest

from crm_bridge.audit import audit_books
from crm_bridge.gateway import Gateway
from crm_bridge.seed import seed
from crm_bridge.settings import CoreSettings
from qianzhi.domain.requests import Kind, Request
from qianzhi.domain.results import Result

ZONE = ZoneInfo("Asia/Shanghai")
REFUSED = {Result.NOT_FOUND, Result.BLOCKED, Result.ORIGINAL_REFUSED, Result.REVERSED}


class House:
    """Both instances of icbc, and the embedded core behind them."""

    def __init__(self, instances, folder):
        self.instances = instances
        url = f"sqlite:///{folder}/core.db"
        seed(url, 20, 1, now=instances[0].now, zone=ZONE)
        self.url = url
        self.gateway = Gateway(url, CoreSettings(database=url), ZONE)

    def ask(self, instance, kind, serial="000001", **fields):
        """Let the bank ask one instance; return what that one forwards."""
        made = self.instances[instance]
        made.ask(instance, kind, serial=serial, **fields)
        return [(made, peer, envelope) for peer, envelope in made.take_asked()]

    def carry_out(self, asked, together):
        """Carry out what was asked in this order, as one list of the core's or one after the other."""
        for batch in [asked] if together else [[one] for one in asked]:
            requests = [msgspec.msgpack.decode(envelope.body, type=Request) for _, _, envelope in batch]
            replies = self.gateway.execute(requests, batch[0][0].now)
            for (made, peer, envelope), reply in zip(batch, replies, strict=True):
                made.reply(peer, envelope, reply.result, **fields_of(reply))

    def result(self, instance):
        return self.instances[instance].results()[-1]

    def close(self):
        assert audit_books(self.url).balanced
        self.gateway.close()


def fields_of(reply):
    return {name: value for name, value in msgspec.structs.asdict(reply).items() if name != "result"}


@pytest.fixture
def house(pair_of, tmp_path):
    made = House(pair_of("icbc"), tmp_path)
    yield made
    made.close()


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize("query_first", [True, False])
def test_a_status_query_beside_its_original_and_the_original_hear_the_same(house, query_first, together):
    asked = house.ask(0, Kind.RECHARGE) + house.ask(1, Kind.STATUS)
    assert len(asked) == 2
    house.carry_out(asked[::-1] if query_first else asked, together)
    if query_first:
        assert house.result(0) in REFUSED
        assert house.result(1) in REFUSED
    else:
        assert (house.result(0), house.result(1)) == (Result.APPROVED, Result.APPROVED)
    again = house.ask(1, Kind.RECHARGE)
    house.carry_out(again, True)
    assert house.result(1) is house.result(0), "a repeat at the other one hears what the first one heard"


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_an_original_its_repeat_and_its_reversal_end_alike_in_any_order(house, order):
    asked = [
        *house.ask(0, Kind.RECHARGE),
        *house.ask(1, Kind.RECHARGE),
        *house.ask(1, Kind.REVERSAL),
    ]
    assert len(asked) == 3, "the partner cannot join what it has not in flight"
    house.carry_out([asked[at] for at in order], together=False)
    after = house.ask(0, Kind.RECHARGE)
    house.carry_out(after, True)
    assert house.result(0) in REFUSED


def test_a_status_query_where_the_original_is_in_flight_is_in_process(house):
    house.ask(0, Kind.RECHARGE)
    assert house.ask(0, Kind.STATUS) == []
    assert house.result(0) is Result.IN_PROCESS
