"""What a bank hears when it may not be served now, on a socket and on a queue: docs/OPERATIONS.md's table."""

import dataclasses
from datetime import datetime

import pytest

from frontends.processor_gate import Gate
from qianzhi.domain.requests import Kind
from qianzhi.domain.results import Result
from qianzhi.link.maintenance import Window
from qianzhi.link.messages import Status
from qianzhi.runtime.now import SECOND_US, Now
from tests.frontends.conftest import profile_of

NODES = ("node1", "node2")
WINDOW = Window(datetime(2026, 11, 22, 9, 30), datetime(2026, 11, 22, 10, 30), "core upgrade")


def night(bench, name):
    return bench(name, hours={"open": "22:00", "close": "06:00"})


def maintained(bench, name):
    return bench(name, profile=dataclasses.replace(profile_of(name), maintenance=(WINDOW,)))


def rated(bench, name):
    return bench(name, limits={"rate_per_second": 1})


def full(bench, name):
    return bench(name, limits={"in_flight": 2})


def plain(bench, name):
    return bench(name)


def first_passes(made, source):
    """One request is served or under way, so that the next one meets the limit."""
    made.ask(source, Kind.RECHARGE, serial="000009")
    assert len(made.asked) == 1


def answer_first(made):
    made.reply(*made.take_asked()[0])
    made.answers.clear()


def node_busy(made, source):
    made.ask(source, Kind.RECHARGE)
    made.turn_away(*made.take_asked()[0], Status.BUSY)


def nodes_drained(made, source):
    for node in NODES:
        made.run(made.core.on_peer_draining(node, True, made.now))


def nodes_lost(made, source):
    for node in NODES:
        made.node_down(node)


def stands_by(made, source):
    made.run(made.core.drain(True, made.now))


def nothing(made, source):
    """The situation is there from the beginning."""


# name: how the bench is made, what happens before the request, what a socket hears
SITUATIONS = {
    "hours": (night, nothing, Result.CLOSED_HOURS),
    "maintenance": (maintained, nothing, Result.CLOSED_HOURS),
    "rate": (rated, first_passes, Result.BUSY),
    "in flight": (full, first_passes, Result.BUSY),
    "node busy": (plain, node_busy, Result.BUSY),
    "nodes drained": (plain, nodes_drained, Result.UNAVAILABLE),
    "nodes lost": (plain, nodes_lost, Result.UNAVAILABLE),
    "front stands by": (plain, stands_by, Result.UNAVAILABLE),
}
WAITS = ["rate", "in flight", "node busy", "nodes drained", "nodes lost"]
BLOCKED = ["hours", "maintenance"]


def ready(bench, name, situation):
    make, happens, _ = SITUATIONS[situation]
    made = make(bench, name)
    made.node_up()
    source = made.connect()
    if name == "hz_citic":
        made.sign_on(source)
    happens(made, source)
    return made, source


@pytest.mark.parametrize("situation", SITUATIONS)
def test_on_a_socket_a_money_request_hears_its_refusal_at_once(bench, situation):
    made, source = ready(bench, "hz_citic", situation)
    under_way = len(made.take_asked())
    if situation != "node busy":
        made.ask(source, Kind.RECHARGE)
    assert made.results() == [SITUATIONS[situation][2]]
    assert made.take_asked() == []
    assert under_way <= 1


@pytest.mark.parametrize("situation", BLOCKED)
def test_on_a_queue_a_closed_bank_hears_so_once_its_key_is_blocked(bench, situation):
    made, source = ready(bench, "icbc", situation)
    made.ask(source, Kind.RECHARGE)
    ((peer, block),) = made.take_asked()
    assert block.kind == Kind.BLOCK
    assert made.results() == []
    made.reply(peer, block, result=Result.BLOCKED)
    assert made.results() == [Result.CLOSED_HOURS]


@pytest.mark.parametrize("situation", WAITS)
def test_on_a_queue_what_is_too_much_waits_unanswered_and_is_served_afterwards(bench, situation):
    made, source = ready(bench, "icbc", situation)
    if situation != "node busy":
        made.ask(source + 1, Kind.RECHARGE)
    assert made.results() == []
    assert made.pauses == [True]
    if situation in ("rate", "in flight"):
        answer_first(made)
    made.take_asked()
    made.node_up()
    made.wait(2)
    ((peer, envelope),) = made.take_asked()
    assert envelope.kind == Kind.RECHARGE
    made.reply(peer, envelope)
    made.wait(0.1)
    assert made.results() == [Result.APPROVED]
    assert made.pauses == [True, False]


def test_on_a_queue_a_front_that_stands_by_reads_nothing_and_serves_what_it_has_read(bench):
    made, source = ready(bench, "icbc", "front stands by")
    assert made.pauses == [True]
    made.ask(source, Kind.RECHARGE)
    assert len(made.take_asked()) == 1
    made.run(made.core.drain(False, made.now))
    assert made.pauses == [True, False]


@pytest.mark.parametrize("kind", [Kind.REVERSAL, Kind.STATUS])
@pytest.mark.parametrize("situation", SITUATIONS)
@pytest.mark.parametrize("name", ["hz_citic", "icbc"])
def test_reversals_and_status_queries_pass_all_of_it(bench, name, situation, kind):
    made, source = ready(bench, name, situation)
    made.take_asked()
    made.answers.clear()
    made.ask(source + 7 if name == "icbc" else source, kind, serial="000777")
    if situation == "nodes lost":
        assert made.results() == [], "held, never refused"
        made.node_up()
        made.wait(2)
    asked = [envelope.kind for _, envelope in made.take_asked()]
    assert kind in asked
    assert made.results() == []


def test_a_window_begins_and_ends_to_the_minute_and_says_why():
    profile = dataclasses.replace(profile_of("hz_citic"), maintenance=(WINDOW,))
    gate = Gate(profile)

    def at(hour, minute):
        local = datetime(2026, 11, 22, hour, minute, tzinfo=profile.mapping.zone)
        return gate.closed(Now(0, int(local.timestamp()) * SECOND_US))

    assert [at(9, 29), at(10, 30)] == ["", ""]
    assert [at(9, 30), at(10, 29)] == ["maintenance until 11-22 10:30, core upgrade"] * 2


def test_status_says_that_a_bank_is_closed(bench):
    made = maintained(bench, "hz_citic")
    assert made.core.status(made.now)["closed"] == "maintenance until 11-22 10:30, core upgrade"
    assert night(bench, "hz_citic").core.status(made.now)["closed"] == "outside its hours, 22:00 to 06:00"
    assert plain(bench, "hz_citic").core.status(made.now)["closed"] == ""
