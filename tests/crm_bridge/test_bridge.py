"""The bridge's pure core: what it takes, what it refuses, who gets which answer."""

from typing import Any

import msgspec
import pytest

from crm_bridge.bridge import Batch, Bridge, Done, Work, lane
from qianzhi.domain.requests import Kind, Reply, Request
from qianzhi.domain.results import Result
from qianzhi.link.events import DrainNotice, Hello
from qianzhi.link.messages import Answer, Envelope, Status
from qianzhi.runtime.effects import Alarm, Close, Count, Effects, Record, Send
from qianzhi.runtime.now import Now

START = Now(5_000_000, 1_793_000_000_000_000)
NODE = Hello("node1", "node")


def request(serial: str = "1", kind: Kind = Kind.RECHARGE, phone: str = "13800000000") -> Request:
    return Request(kind, "bank", 20261122, serial, "bank", "9001", phone, 5000)


def envelope(number: int, asked: Request | None = None, budget_ms: int = 1000) -> Envelope:
    asked = asked or request(str(number))
    return Envelope(
        number, 1, "9001", asked.kind, 0, budget_ms, 0, f"trace{number}", msgspec.msgpack.encode(asked)
    )


def bridge(writers: int = 1, queue_max: int = 10, peers: tuple[str, ...] = ("node1",)) -> Bridge:
    core = Bridge("bridge1", writers, queue_max)
    for peer in peers:
        core.on_peer_up(peer, Hello(peer, "node"), START)
    return core


def sent(effects: Effects, where: str) -> dict[Any, list[Any]]:
    sends: list[Any] = [effect for effect in effects if isinstance(effect, Send)]
    return {send.to[1]: send.items for send in sends if send.to[0] == where}


def works(effects: Effects) -> list[Work]:
    return [work for items in sent(effects, "writer").values() for work in items]


def settle(core: Bridge, taken: list[Work], now: Now = START, writer: int = 0) -> Effects:
    done = [Done(work.ticket, Status.OK, Reply(Result.APPROVED, order="Q1")) for work in taken]
    return core.on_batch(writer, Batch(done, 0.001, {}, []), now)


def test_a_list_goes_to_the_writer_as_one_list_in_its_order_with_its_deadlines() -> None:
    core = bridge()
    effects = core.on_requests("node1", [envelope(7, budget_ms=300), envelope(8), envelope(9)], START)
    (items,) = sent(effects, "writer").values()
    assert [work.request.serial for work in items] == ["7", "8", "9"]
    assert items[0].deadline_us == START.mono_us + 300_000
    assert len(effects) == 1


def test_answers_go_back_in_one_list_per_node_and_leave_an_event_each() -> None:
    core = bridge(peers=("node1", "node2"))
    taken = works(core.on_requests("node1", [envelope(1), envelope(2)], START))
    taken += works(core.on_requests("node2", [envelope(1)], START))
    later = START.after(4_000)
    effects = settle(core, taken, later)
    answers = sent(effects, "peer")
    assert [answer.id for answer in answers["node1"]] == [1, 2]
    assert [answer.id for answer in answers["node2"]] == [1]
    reply = msgspec.msgpack.decode(answers["node1"][0].body, type=Reply)
    assert (answers["node1"][0].status, reply) == (Status.OK, Reply(Result.APPROVED, order="Q1"))
    (record,) = [effect for effect in effects if isinstance(effect, Record)]
    assert len(record.rows) == 3
    row = record.rows[0]
    assert (row.name, row.key, row.trace) == ("core", "bank/20261122/1", "trace1")
    assert row.data == {"kind": "recharge", "result": "approved", "order": "Q1", "took_us": 4_000}
    assert Count("qianzhi_core_results_total", ("recharge", "approved"), 3) in effects
    assert core.idle


def test_answers_do_not_wait_for_the_event_file() -> None:
    core = bridge()
    effects = settle(core, works(core.on_requests("node1", [envelope(1)], START)))
    kinds = [type(effect) for effect in effects]
    assert kinds.index(Send) < kinds.index(Record)


def test_a_full_list_answers_busy_and_keeps_a_tenth_for_reversals() -> None:
    core = bridge(queue_max=10)
    effects = core.on_requests("node1", [envelope(n) for n in range(10)], START)
    assert len(works(effects)) == 9
    assert sent(effects, "peer")["node1"] == [Answer(9, Status.BUSY)]
    reversals = [envelope(n, request(str(n), Kind.REVERSAL)) for n in (20, 21)]
    effects = core.on_requests("node1", reversals, START)
    assert [work.request.serial for work in works(effects)] == ["20"]
    assert sent(effects, "peer")["node1"] == [Answer(21, Status.BUSY)]


def test_room_comes_back_when_a_batch_is_settled() -> None:
    core = bridge(queue_max=2)
    taken = works(core.on_requests("node1", [envelope(1), envelope(2)], START))
    assert len(taken) == 2
    assert works(core.on_requests("node1", [envelope(3)], START)) == []
    settle(core, taken[:1])
    assert len(works(core.on_requests("node1", [envelope(4)], START))) == 1


@pytest.mark.parametrize(
    ("kind", "taken"),
    [
        (Kind.RECHARGE, False),
        (Kind.PAY, False),
        (Kind.OWED, False),
        (Kind.STATUS, True),
        (Kind.REVERSAL, True),
        (Kind.BLOCK, True),
    ],
)
def test_who_passes_a_spent_budget_and_a_drain(kind: Kind, taken: bool) -> None:
    asked = request("1", kind)
    core = bridge()
    effects = core.on_requests("node1", [envelope(1, asked, budget_ms=0)], START)
    assert bool(works(effects)) is taken
    assert taken or sent(effects, "peer")["node1"] == [Answer(1, Status.EXPIRED)]
    core.drain(True)
    effects = core.on_requests("node1", [envelope(2, asked)], START)
    assert bool(works(effects)) is taken
    assert taken or sent(effects, "peer")["node1"] == [Answer(2, Status.DRAINING)]


def test_a_drain_is_told_to_every_node_and_finishes_what_waits() -> None:
    core = bridge(peers=("node1", "node2"))
    taken = works(core.on_requests("node1", [envelope(1)], START))
    assert sent(core.drain(True), "peer") == {"node1": [DrainNotice(True)], "node2": [DrainNotice(True)]}
    assert core.hello().draining
    assert not core.idle
    settle(core, taken)
    assert core.idle
    core.drain(False)
    assert works(core.on_requests("node1", [envelope(2)], START))


def test_a_body_that_cannot_be_read_harms_nobody_else() -> None:
    core = bridge()
    unreadable = [
        msgspec.structs.replace(envelope(n), body=body)
        for n, body in enumerate([b"", b"\xc1", b"\x92\x02\xa1\xff", b"\x9f" * 9_999])
    ]
    strange = msgspec.msgpack.encode([99, "bank", 20261122, "1", "bank", "9001"])  # a kind of a later version
    items = [*unreadable, msgspec.structs.replace(envelope(4), body=strange), envelope(5)]
    effects = core.on_requests("node1", items, START)
    assert [work.request.serial for work in works(effects)] == ["5"]
    assert sent(effects, "peer")["node1"] == [Answer(n, Status.NO_ROUTE) for n in range(5)]
    assert [e.name for e in effects if isinstance(e, Alarm)] == ["unreadable_request"] * 5


def test_trailing_fields_of_a_later_version_are_ignored() -> None:
    core = bridge()
    body = msgspec.msgpack.encode([*msgspec.to_builtins(request("5")), "new", "fields"])
    effects = core.on_requests("node1", [msgspec.structs.replace(envelope(5), body=body)], START)
    assert [work.request for work in works(effects)] == [request("5")]


def test_a_node_that_came_back_does_not_get_its_former_lifes_answers() -> None:
    core = bridge()
    taken = works(core.on_requests("node1", [envelope(1)], START))
    core.on_peer_down("node1", "lost", START)
    core.on_peer_up("node1", NODE, START)
    effects = settle(core, taken)
    assert sent(effects, "peer") == {}
    assert [len(e.rows) for e in effects if isinstance(e, Record)] == [1]
    assert core.idle


def test_only_nodes_may_ask() -> None:
    core = Bridge("bridge1", 1, 10)
    assert core.on_peer_up("front-x-1", Hello("front-x-1", "front"), START) == [
        Close(("peer", "front-x-1"), "role")
    ]
    assert core.on_requests("front-x-1", [envelope(1)], START) == []


def test_what_a_writer_could_not_settle_is_told_by_status_alone() -> None:
    core = bridge()
    (work,) = works(core.on_requests("node1", [envelope(1)], START))
    alarm = Alarm("core_unavailable", {"requests": 1})
    batch = Batch([Done(work.ticket, Status.UNKNOWN, None)], 1.0, {"RetryableError": 4}, [alarm])
    effects = core.on_batch(0, batch, START)
    assert sent(effects, "peer")["node1"] == [Answer(1, Status.UNKNOWN)]
    assert alarm in effects
    assert Count("qianzhi_core_retries_total", ("RetryableError",), 4) in effects


def test_one_phone_has_one_lane_whatever_is_asked_and_lanes_are_used_evenly() -> None:
    lanes = [lane(request(str(n), phone=f"138{n:08d}"), 4) for n in range(4_000)]
    assert all(800 < lanes.count(number) < 1_200 for number in range(4))
    assert lane(request("1"), 4) == lane(request("2", Kind.REVERSAL), 4)
    by_key = [lane(request(str(n), Kind.STATUS, phone=""), 4) for n in range(100)]
    assert set(by_key) == {0, 1, 2, 3}


def test_each_writer_has_a_bound_of_its_own() -> None:
    core = bridge(writers=2, queue_max=1)
    phones: dict[int, list[str]] = {0: [], 1: []}
    for n in range(100):
        phone = f"138{n:08d}"
        phones[lane(request("1", phone=phone), 2)].append(phone)
    items = [envelope(n, request(str(n), phone=phones[n // 2][n])) for n in range(4)]
    effects = core.on_requests("node1", items, START)
    assert {number: len(list_of) for number, list_of in sent(effects, "writer").items()} == {0: 1, 1: 1}
    assert [answer.status for answer in sent(effects, "peer")["node1"]] == [Status.BUSY] * 2


def test_a_drain_is_told_once_and_again_to_a_node_whose_hello_may_be_older() -> None:
    core = bridge()
    assert core.drain(False) == []
    core.drain(True)
    assert core.drain(True) == []
    core.drain(False)
    effects = core.on_peer_up("node2", Hello("node2", "node"), START)
    assert sent(effects, "peer") == {"node2": [DrainNotice(False)]}
