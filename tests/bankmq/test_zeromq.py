"""The ROUTER server on the reactor's thread, plain pyzmq DEALER sockets on ours."""

import threading
from collections.abc import Iterator
from typing import Any

import pytest
import zmq
from twisted.internet.task import Clock

from bankmq.kept import KeepLimits, Outcome
from bankmq.queue import Delivery, QueueError
from bankmq.sender import ZmqSender
from bankmq.zeromq import ZmqLimits, ZmqQueueServer
from qianzhi.runtime import metrics


class Front:
    """A handler that remembers, and answers at once when told to."""

    def __init__(self, answering: bool = False) -> None:
        self.server: Any = None
        self.answering = answering
        self.lists: list[list[Delivery]] = []
        self.confirmed: list[int] = []
        self.returned: list[int] = []
        self._changed = threading.Condition()

    @property
    def deliveries(self) -> list[Delivery]:
        return [delivery for items in self.lists for delivery in items]

    def on_deliveries(self, items: list[Delivery]) -> None:
        with self._changed:
            self.lists.append(items)
            self._changed.notify_all()
        if self.answering:
            self.server.reply([(delivery.tag, b"re:" + delivery.body) for delivery in items])

    def on_confirmed(self, tags: list[int]) -> None:
        with self._changed:
            self.confirmed += tags
            self._changed.notify_all()
        self.server.acknowledge(tags)

    def on_returned(self, tags: list[int]) -> None:
        with self._changed:
            self.returned += tags
            self._changed.notify_all()
        self.server.acknowledge(tags)

    def wait(self, condition: Any) -> None:
        with self._changed:
            assert self._changed.wait_for(condition, timeout=10)


class Bench:
    """One server, its front, and DEALER sockets."""

    def __init__(self, reactor_thread: Any, answering: bool, limits: ZmqLimits) -> None:
        self.run = reactor_thread.run
        self.front = Front(answering)
        self.server = ZmqQueueServer(
            "icbc", "tcp://127.0.0.1:*", "tcp://127.0.0.1:*", limits, reactor_thread.reactor
        )
        self.front.server = self.server
        self.run(lambda: self.server.start(self.front))
        self.addresses = self.server.addresses()
        self.context = zmq.Context()
        self.dealers: list[Any] = []

    def dealer(self, queue: str = "icbc", identity: bytes = b"") -> Any:
        socket = self.context.socket(zmq.DEALER)
        self.dealers.append(socket)
        socket.setsockopt(zmq.RCVTIMEO, 10_000)
        socket.setsockopt(zmq.LINGER, 0)
        if identity:
            socket.setsockopt(zmq.IDENTITY, identity)
        socket.connect(self.addresses[queue])
        return socket

    def close(self) -> None:
        self.run(self.server.stop)
        for dealer in self.dealers:
            dealer.close(linger=0)
        self.context.term()


@pytest.fixture
def bench(reactor_thread: Any) -> Iterator[Any]:
    benches: list[Bench] = []

    def make(answering: bool = False, **limits: Any) -> Bench:
        benches.append(Bench(reactor_thread, answering, ZmqLimits(**limits)))
        return benches[-1]

    yield make
    for each in benches:
        each.close()


def test_twenty_thousand_messages_at_full_depth_are_all_answered(bench: Any) -> None:
    """A reader that treats the edge-triggered descriptor as a level stalls here."""
    table = bench(answering=True, prefetch=5_000, waiting_max=20_000)
    dealer = table.dealer()
    dealer.setsockopt(zmq.SNDHWM, 0)
    dealer.setsockopt(zmq.RCVHWM, 0)
    count, window = 20_000, 2_000
    answered = 0
    for number in range(count):
        dealer.send_multipart([b"%d" % number, b"body"])
        if number - answered >= window:
            assert dealer.recv_multipart() == [b"%d" % answered, b"re:body"]
            answered += 1
    while answered < count:
        assert dealer.recv_multipart() == [b"%d" % answered, b"re:body"]
        answered += 1


def test_one_at_a_time_never_stalls(bench: Any) -> None:
    dealer = bench(answering=True).dealer()
    for number in range(300):
        dealer.send_multipart([b"%d" % number, b"x"])
        assert dealer.recv_multipart() == [b"%d" % number, b"re:x"]


class HandReactor(Clock):
    """A reactor whose wake-up the test performs itself."""

    def __init__(self) -> None:
        super().__init__()
        self.readers: list[Any] = []

    def addReader(self, reader: Any) -> None:
        self.readers.append(reader)

    def removeReader(self, reader: Any) -> None:
        self.readers.remove(reader)

    def wake_up(self) -> None:
        for reader in self.readers:
            reader.doRead()
        self.advance(0)


def test_deliveries_of_one_wake_up_are_one_list_with_the_control_queue_first() -> None:
    reactor, front = HandReactor(), Front()
    server = ZmqQueueServer("icbc", "tcp://127.0.0.1:*", "tcp://127.0.0.1:*", ZmqLimits(), reactor)
    server.start(front)
    with zmq.Context() as context, context.socket(zmq.DEALER) as main, context.socket(zmq.DEALER) as control:
        for socket, queue, body in ((main, "icbc", b"recharge"), (control, "icbc.ctl", b"reversal")):
            socket.connect(server.addresses()[queue])
            socket.send_multipart([b"1", body])
        for queue in server._queues.values():
            assert queue.socket.poll(10_000)
        reactor.wake_up()
    server.stop()
    assert [[(d.queue, d.body) for d in items] for items in front.lists] == [
        [("icbc.ctl", b"reversal"), ("icbc", b"recharge")]
    ]


def test_malformed_multiparts_are_counted_and_dropped(bench: Any) -> None:
    table = bench(answering=True)
    labels = ("icbc", "malformed")
    before = metrics.value("qianzhi_queue_messages_total", labels)
    dealer = table.dealer()
    for parts in ([b"alone"], [b"", b"no id"], [b"a", b"b", b"c"], [b"i" * 65, b"long id"], [b"1", b""]):
        dealer.send_multipart(parts)
    dealer.send_multipart([b"1", b"good"])
    assert dealer.recv_multipart() == [b"1", b"re:good"]
    assert metrics.value("qianzhi_queue_messages_total", labels) == before + 5


def test_messages_that_are_too_long_are_counted_and_dropped_and_huge_ones_cut_off(bench: Any) -> None:
    table = bench(answering=True)
    labels = ("icbc", "oversized")
    before = metrics.value("qianzhi_queue_messages_total", labels)
    dealer, other = table.dealer(), table.dealer()
    dealer.send_multipart([b"1", bytes(65_537)])
    dealer.send_multipart([b"2", bytes(65_536)])
    assert dealer.recv_multipart() == [b"2", b"re:" + bytes(65_536)]
    assert metrics.value("qianzhi_queue_messages_total", labels) == before + 1
    dealer.send_multipart([b"3", bytes(5_000_000)])
    other.send_multipart([b"4", b"good"])
    assert other.recv_multipart() == [b"4", b"re:good"]
    assert [len(delivery.body) for delivery in table.front.deliveries] == [65_536, 4]


def test_prefetch_bounds_what_is_in_flight_and_acknowledging_makes_room(bench: Any) -> None:
    table = bench(prefetch=3)
    dealer, control = table.dealer(), table.dealer("icbc.ctl")
    for number in range(8):
        dealer.send_multipart([b"%d" % number, b"x"])
    table.front.wait(lambda: len(table.front.deliveries) == 3)
    control.send_multipart([b"c", b"reversal"])
    table.front.wait(lambda: len(table.front.deliveries) == 4)
    assert [d.message_id for d in table.front.deliveries] == [b"0", b"1", b"2", b"c"]
    done = [d.tag for d in table.front.deliveries]
    table.run(lambda: table.server.acknowledge([*done, done[0]]))
    table.front.wait(lambda: len(table.front.deliveries) == 7)
    assert [d.message_id for d in table.front.deliveries[4:]] == [b"3", b"4", b"5"]


def test_a_paused_queue_waits_and_the_control_queue_never_does(bench: Any) -> None:
    table = bench()
    table.run(lambda: table.server.pause("icbc", True))
    with pytest.raises(ValueError, match="only icbc"):
        table.run(lambda: table.server.pause("icbc.ctl", True))
    dealer, control = table.dealer(), table.dealer("icbc.ctl")
    dealer.send_multipart([b"1", b"recharge"])
    control.send_multipart([b"2", b"reversal"])
    table.front.wait(lambda: table.front.deliveries)
    assert [d.body for d in table.front.deliveries] == [b"reversal"]
    table.run(lambda: table.server.pause("icbc", False))
    table.front.wait(lambda: len(table.front.deliveries) == 2)
    assert table.front.deliveries[1].body == b"recharge"


def test_the_same_message_again_while_in_flight_is_answered_once_and_later_again(bench: Any) -> None:
    table = bench()
    dealer = table.dealer()
    for _ in range(2):
        dealer.send_multipart([b"same", b"x"])
    dealer.send_multipart([b"other", b"x"])
    table.front.wait(lambda: len(table.front.deliveries) == 2)
    assert [d.message_id for d in table.front.deliveries] == [b"same", b"other"]
    table.run(lambda: table.server.acknowledge([d.tag for d in table.front.deliveries]))
    dealer.send_multipart([b"same", b"x"])
    table.front.wait(lambda: len(table.front.deliveries) == 3)
    tags = [d.tag for d in table.front.deliveries]
    assert len(set(tags)) == 3


def test_a_reply_to_an_asker_that_has_gone_is_returned_with_an_alarm(bench: Any) -> None:
    table = bench()
    before = metrics.value("qianzhi_alarms_total", ("reply_returned",))
    dealer = table.dealer()
    dealer.send_multipart([b"1", b"x"])
    table.front.wait(lambda: table.front.deliveries)
    tag = table.front.deliveries[0].tag
    dealer.close(linger=0)
    other = table.dealer()
    other.send_multipart([b"2", b"y"])  # by its arrival the server may have seen the close; try until it has
    table.front.wait(lambda: len(table.front.deliveries) == 2)
    for _ in range(1000):
        table.run(lambda tag=tag: table.server.reply([(tag, b"answer")]))
        table.front.wait(lambda: table.front.confirmed or table.front.returned)
        if table.front.returned:
            break
        table.front.confirmed.clear()
        again = table.dealer()
        again.send_multipart([b"1", b"x"])
        seen = len(table.front.deliveries)
        table.front.wait(lambda seen=seen: len(table.front.deliveries) > seen)
        tag = table.front.deliveries[-1].tag
        again.close(linger=0)
    assert table.front.returned == [tag]
    assert metrics.value("qianzhi_alarms_total", ("reply_returned",)) == before + 1


def test_an_address_that_is_taken_is_named(bench: Any, reactor_thread: Any) -> None:
    taken = bench().addresses["icbc"]
    server = ZmqQueueServer("other", taken, "", ZmqLimits(), reactor_thread.reactor)
    with pytest.raises(QueueError, match=taken):
        reactor_thread.run(lambda: server.start(Front()))
    reactor_thread.run(server.stop)


def test_the_sender_gets_every_answer_although_the_server_dies_in_between(
    reactor_thread: Any, bench: Any
) -> None:
    first = bench(answering=False)
    address = first.addresses["icbc"]
    outcomes: list[Outcome] = []
    changed = threading.Condition()

    def on_outcomes(items: list[Outcome]) -> None:
        with changed:
            outcomes.extend(items)
            changed.notify_all()

    sender = ZmqSender(address, KeepLimits(answer_seconds=600), on_outcomes, reactor_thread.reactor)
    reactor_thread.run(sender.start)
    reactor_thread.run(lambda: sender.submit([(b"%d" % n, b"x%d" % n) for n in range(50)]))
    first.front.wait(lambda: len(first.front.deliveries) == 50)
    reactor_thread.run(first.server.stop)  # it took all fifty and answered none

    front = Front(answering=True)
    second = ZmqQueueServer("icbc", address, "", ZmqLimits(), reactor_thread.reactor)
    front.server = second
    reactor_thread.run(lambda: second.start(front))
    with changed:
        assert changed.wait_for(lambda: len(outcomes) == 50, timeout=15)
    assert {(o.message_id, o.end, o.body) for o in outcomes} == {
        (b"%d" % n, "answered", b"re:x%d" % n) for n in range(50)
    }
    reactor_thread.run(sender.stop)
    reactor_thread.run(second.stop)


def test_what_was_dropped_while_nobody_listened_is_never_sent(reactor_thread: Any, bench: Any) -> None:
    first = bench(answering=True)
    address = first.addresses["icbc"]
    answered = threading.Event()
    outcomes: list[Outcome] = []

    def on_outcomes(items: list[Outcome]) -> None:
        outcomes.extend(items)
        answered.set()

    sender = ZmqSender(address, KeepLimits(answer_seconds=600), on_outcomes, reactor_thread.reactor)
    reactor_thread.run(lambda: sender.submit([(b"%d" % n, b"x") for n in range(4)]))
    reactor_thread.run(lambda: sender.drop([b"0", b"2", b"unknown"]))
    reactor_thread.run(sender.start)
    assert answered.wait(15)
    reactor_thread.run(lambda: sender.submit([(b"last", b"x")]))
    first.front.wait(lambda: first.front.deliveries[-1].message_id == b"last")
    assert {each.message_id for each in first.front.deliveries} == {b"1", b"3", b"last"}
    assert {outcome.message_id for outcome in outcomes} <= {b"1", b"3", b"last"}
    reactor_thread.run(sender.stop)
