"""One node between fronts and bridges, seen only by what it is told and what it wants done."""

from collections import Counter
from typing import Any

import pytest
from node_bench import CITIC, ICBC, NOW, Node, statuses

from interface_layer.routing import route
from interface_layer.shares import part_of
from qianzhi.domain.requests import Kind
from qianzhi.link.events import Answers, DrainNotice, Hello, PeerUp, Requests, deliver
from qianzhi.link.messages import Answer, Status
from qianzhi.link.tables import BankLimits, Route
from qianzhi.runtime.effects import Close, Count, Record, Send


def test_a_request_goes_to_a_bridge_and_its_answer_comes_back_untouched() -> None:
    node = Node().up()
    node.ask("hz_citic", CITIC, 2)
    inner = node.take("bridge1") + node.take("bridge2")
    assert sorted((e.key, e.to, e.body, e.attempt, e.budget_ms) for e in inner) == [
        ("k1", CITIC, b"body", 1, 20_000),
        ("k2", CITIC, b"body", 1, 20_000),
    ]
    node = Node().up("bridge1")
    node.ask("hz_citic", CITIC, 2)
    node.answer("bridge1", node.take("bridge1"))
    assert node.take("front-hz_citic-1") == [
        Answer(1, Status.OK, b"re body"),
        Answer(2, Status.OK, b"re body"),
    ]


def test_every_request_leaves_one_event_with_its_times() -> None:
    node = Node().up("bridge1")
    node.ask("hz_citic", CITIC, 3)
    node.now = NOW.after(1_234)
    node.answer("bridge1", node.take("bridge1"))
    assert [(row.name, row.key, row.trace) for row in node.rows] == [
        ("node", f"k{i}", f"trace{i}") for i in (1, 2, 3)
    ]
    assert node.rows[0].data == {
        "from": "front-hz_citic-1",
        "peer": "bridge1",
        "to": CITIC,
        "kind": 2,
        "attempt": 1,
        "sends": 1,
        "status": "OK",
        "us": 1_234,
    }
    assert node.routed("hz_citic") == {"ok": 3}


def test_the_record_stands_before_the_answers() -> None:
    node = Node().up("bridge1")
    node.ask("hz_citic", CITIC)
    (inner,) = node.take("bridge1")
    effects = node.core.on_answers("bridge1", [Answer(inner.id, Status.OK, b"x")], node.now)
    assert [type(effect) for effect in effects] == [Record, Send, Count]


def test_a_number_that_the_front_did_not_register_has_no_route() -> None:
    node = Node().up()
    node.ask("hz_citic", ICBC)
    node.ask("hz_citic", CITIC, kind=99)
    assert statuses(node.take("front-hz_citic-1")) == [Status.NO_ROUTE, Status.NO_ROUTE]
    assert (node.take("bridge1"), node.take("bridge2")) == ([], [])
    assert node.routed("hz_citic") == {"no_route": 2}


def test_without_a_bridge_new_requests_are_refused_at_once() -> None:
    node = Node()
    node.front("hz_citic", CITIC)
    assert node.take("front-hz_citic-1") == [DrainNotice(True)]
    node.ask("hz_citic", CITIC, 2)
    node.ask("hz_citic", CITIC, priority=1, kind=Kind.REVERSAL)
    told = Counter(statuses(node.take("front-hz_citic-1")))
    assert told == {Status.DRAINING: 2, Status.BUSY: 1}
    assert node.core.idle
    assert node.rows == []  # shedding stays far cheaper than serving: a count, no event


def test_a_bank_has_its_requests_in_flight_and_a_tenth_kept_for_priority() -> None:
    node = Node(hz_citic=BankLimits(in_flight=20)).up()
    node.ask("hz_citic", CITIC, 25)
    assert Counter(statuses(node.take("front-hz_citic-1"))) == {Status.BUSY: 7}
    node.ask("hz_citic", CITIC, 3, priority=1, kind=Kind.REVERSAL)
    assert Counter(statuses(node.take("front-hz_citic-1"))) == {Status.BUSY: 1}
    node.answer_all()
    node.take("front-hz_citic-1")
    node.ask("hz_citic", CITIC, 18)
    assert node.take("front-hz_citic-1") == []


def test_a_rate_has_its_burst_and_refills_with_time() -> None:
    node = Node(hz_citic=BankLimits(rate_per_second=10, burst=5)).up()

    def passed(n: int, **more: Any) -> int:
        node.ask("hz_citic", CITIC, n, **more)
        node.take("front-hz_citic-1")
        return len(node.take("bridge1") + node.take("bridge2"))

    assert passed(8) == 5
    assert passed(4, priority=1, kind=Kind.STATUS) == 4
    node.now = node.now.after(99_999)
    assert passed(1) == 0
    node.now = node.now.after(1)
    assert passed(2) == 1
    node.now = node.now.after(3_600_000_000)
    assert passed(100) == 5
    assert node.routed("hz_citic") == {"busy_rate": 3 + 1 + 1 + 95}


def test_over_an_hour_a_rate_lets_through_exactly_what_it_says() -> None:
    node = Node(hz_citic=BankLimits(rate_per_second=7, burst=2, in_flight=100_000), window=100_000).up()
    through = 0
    for _ in range(10_000):
        node.ask("hz_citic", CITIC, 1)
        through += len(node.take("bridge1") + node.take("bridge2"))
        node.now = node.now.after(36_000)
    assert through == pytest.approx(7 * 360, abs=2)


def test_a_flooding_bank_does_not_take_anothers_share() -> None:
    node = Node(window=100, hz_citic=BankLimits(in_flight=10_000), icbc=BankLimits(in_flight=10_000)).up()
    node.ask("hz_citic", CITIC, 5_000)
    flooded = len(node.take("bridge1") + node.take("bridge2"))
    assert flooded == 90  # half of two windows of 90
    node.take("front-hz_citic-1")
    node.ask("icbc", ICBC, 90)
    assert node.take("front-icbc-1") == []
    assert len(node.take("bridge1") + node.take("bridge2")) == 90
    node.ask("icbc", ICBC, 1)
    assert statuses(node.take("front-icbc-1")) == [Status.BUSY]
    assert node.routed("hz_citic") == {"busy_share": 5_000 - 90}


def test_shares_follow_the_room_when_a_bridge_dies() -> None:
    node = Node(window=100, hz_citic=BankLimits(), icbc=BankLimits()).up()
    node.do(node.core.on_peer_down("bridge2", "silent", node.now))
    node.ask("hz_citic", CITIC, 500)
    assert len(node.take("bridge1")) == 45
    node.ask("icbc", ICBC, 45)
    assert len(node.take("bridge1")) == 45
    node.answer("bridge1", [])
    assert node.core.status(node.now)["room"] == 90


def test_what_a_dead_bridge_held_goes_to_its_partner_and_is_unknown_after_that() -> None:
    node = Node().up()
    node.ask("hz_citic", CITIC, 4)
    held = {e.key for e in node.take("bridge1")}
    node.take("bridge2")
    node.do(node.core.on_peer_down("bridge1", "lost", node.now))
    again = node.take("bridge2")
    assert {e.key for e in again} == held
    assert {e.attempt for e in again} == {2}
    node.answer("bridge2", again[:1], Status.BUSY)
    assert statuses(node.take("front-hz_citic-1")) == [Status.UNKNOWN]
    node.do(node.core.on_peer_down("bridge2", "lost", node.now))
    assert statuses(node.take("front-hz_citic-1")) == [Status.UNKNOWN] * (len(held) - 1)
    assert not node.core.idle  # the partner's own two wait for somebody until their time is spent
    node.now = node.now.after(20_000_000)
    assert node.core.deadline == node.now.mono_us
    node.do(node.core.on_time(node.now))
    assert statuses(node.take("front-hz_citic-1")) == [Status.UNKNOWN, Status.UNKNOWN]
    assert node.core.idle


def test_the_refusal_of_the_only_bridge_asked_passes_through() -> None:
    node = Node().up("bridge1")
    node.ask("hz_citic", CITIC)
    node.answer("bridge1", node.take("bridge1"), Status.BUSY)
    assert statuses(node.take("front-hz_citic-1")) == [Status.BUSY]


def test_draining_tells_everybody_and_serves_only_priority_and_what_is_under_way() -> None:
    node = Node().up("bridge1")
    node.ask("hz_citic", CITIC, 2)
    under_way = node.take("bridge1")
    node.do(node.core.drain(True))
    for peer in ("bridge1", "front-hz_citic-1", "front-icbc-1"):
        assert node.take(peer) == [DrainNotice(True)]
    assert node.core.hello().draining
    node.ask("hz_citic", CITIC)
    assert statuses(node.take("front-hz_citic-1")) == [Status.DRAINING]
    node.ask("hz_citic", CITIC, priority=1, kind=Kind.REVERSAL)
    reversal = node.take("bridge1")
    assert [e.kind for e in reversal] == [Kind.REVERSAL]
    assert not node.core.idle
    node.answer("bridge1", under_way + reversal)
    assert statuses(node.take("front-hz_citic-1")) == [Status.OK] * 3
    assert node.core.idle
    node.do(node.core.drain(False))
    assert (node.take("front-hz_citic-1"), node.take("bridge1")) == (
        [DrainNotice(False)],
        [DrainNotice(False)],
    )
    node.ask("hz_citic", CITIC)
    assert len(node.take("bridge1")) == 1


def test_a_front_that_came_back_does_not_get_its_former_lifes_answers() -> None:
    node = Node().up("bridge1")
    node.ask("hz_citic", CITIC)
    inner = node.take("bridge1")
    node.do(node.core.on_peer_down("front-hz_citic-1", "lost", node.now))
    node.front("hz_citic", CITIC)
    node.answer("bridge1", inner)
    assert node.take("front-hz_citic-1") == []
    assert node.routed("hz_citic") == {"asker_gone": 1}
    assert node.core.status(node.now)["banks"]["hz_citic"]["in_flight"] == 0
    node.do(node.core.on_peer_down("front-hz_citic-1", "lost", node.now))
    node.do(node.core.drain(True))
    assert node.take("front-hz_citic-1") == []
    node.take("bridge1")
    node.do(node.core.on_requests("front-nobody-1", node.envelopes(CITIC), node.now))
    assert node.take("bridge1") == []


def test_outward_a_bridge_reaches_the_fronts_of_a_bank_and_hears_their_answer() -> None:
    node = Node().up("bridge1")
    node.do(node.core.on_requests("bridge1", node.envelopes("icbc"), node.now))
    (outward,) = node.take("front-icbc-1")
    node.answer("front-icbc-1", [outward])
    assert node.take("bridge1") == [Answer(1, Status.OK, b"re body")]
    node.do(node.core.on_requests("bridge1", node.envelopes("nobank"), node.now))
    assert statuses(node.take("bridge1")) == [Status.NO_ROUTE]
    node.do(node.core.on_peer_down("front-icbc-1", "lost", node.now))
    node.do(node.core.on_requests("bridge1", node.envelopes("icbc"), node.now))
    assert statuses(node.take("bridge1")) == [Status.BUSY]


def test_outward_two_fronts_of_a_bank_stand_in_for_each_other() -> None:
    node = Node().up("bridge1")
    hello = Hello("front-icbc-2", "front", banks=("icbc",), numbers=(ICBC,))
    node.do(node.core.on_peer_up(hello.name, hello, node.now))
    node.do(node.core.on_requests("bridge1", node.envelopes("icbc", 2), node.now))
    assert (len(node.take("front-icbc-1")), len(node.take("front-icbc-2"))) == (1, 1)
    node.do(node.core.on_peer_down("front-icbc-2", "lost", node.now))
    assert [e.attempt for e in node.take("front-icbc-1")] == [2]


def test_a_front_of_several_banks_answers_each_under_its_own_number() -> None:
    node = Node().up("bridge1")
    node.front("vendor", "103", "104", banks=("abc", "boc"))
    node.do(node.core.on_requests("bridge1", node.envelopes("abc") + node.envelopes("boc"), node.now))
    both = node.take("front-vendor-1")
    node.answer("front-vendor-1", [*both, both[0]])
    assert {a.id for a in node.take("bridge1")} == {1, 2}
    assert node.counts["qianzhi_link_late_answers_total", ("front-vendor-1",)] == 1


def test_who_is_neither_front_nor_configured_bridge_is_cut_off() -> None:
    node = Node()
    for hello in (Hello("bridge9", "bridge"), Hello("x", "node"), Hello("front-x-1", "front")):
        assert node.core.on_peer_up(hello.name, hello, NOW) == [Close(("peer", hello.name), "role")]
        assert node.core.on_requests(hello.name, node.envelopes(CITIC), NOW) == []


def test_a_wake_ups_events_are_taken_in_order() -> None:
    node = Node().up("bridge1")
    hello = Hello("front-abc-1", "front", banks=("abc",), numbers=("103",))
    effects = deliver(
        node.core,
        [
            ("front-abc-1", PeerUp(hello)),
            ("front-abc-1", Requests(node.envelopes("103"))),
            ("bridge1", Answers([])),
        ],
        NOW,
    )
    assert [effect.to for effect in effects if isinstance(effect, Send)] == [("peer", "bridge1")]


def test_routes_are_tried_in_order_by_number_and_kind() -> None:
    routes = [
        Route(numbers=["1053*"], kinds=["owed"], to="nowhere"),
        Route(numbers=["105330100001"], kinds=["*"], to="bridges"),
        Route(numbers=["*"], kinds=["recharge", "reversal"], to="icbc"),
    ]
    assert route(routes, CITIC, Kind.OWED) == "nowhere"
    assert route(routes, CITIC, Kind.PAY) == "bridges"
    assert route(routes, CITIC, Kind.TOTALS) == "bridges"
    assert route([Route(numbers=["*"], kinds=["totals"], to="bridges")], ICBC, Kind.TOTALS) == "bridges"
    assert route(routes, ICBC, Kind.RECHARGE) == "icbc"
    assert route(routes, ICBC, Kind.PAY) == "nowhere"
    assert route(routes, CITIC, 0) == "nowhere"


def test_each_node_of_a_group_holds_its_part_of_a_banks_limits() -> None:
    limits = BankLimits(in_flight=101, rate_per_second=50, burst=10)
    assert part_of(limits, 20, 30) == BankLimits(in_flight=67, rate_per_second=33, burst=6)
    assert part_of(limits, 10, 20) == BankLimits(in_flight=50, rate_per_second=25, burst=5)
    assert part_of(BankLimits(in_flight=1, rate_per_second=1, burst=1), 10, 40) == BankLimits(
        in_flight=1, rate_per_second=1, burst=1
    )
    assert part_of(BankLimits(), 10, 20).rate_per_second == 0
