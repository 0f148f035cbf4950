"""The queue server on IBM MQ against a queue manager in memory: units of work, answers, what goes wrong."""

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from bankmq import ibmmq_worker
from bankmq.ibmmq import IbmmqLimits, IbmmqQueueServer
from bankmq.ibmmq_client import Manager, load_client
from bankmq.ibmmq_messages import Descriptor, Got, Unit, delivery_of, reply_descriptor
from bankmq.ibmmq_names import ibmmq_names
from bankmq.queue import Delivery, QueueError
from simulators.queue_manager import StandIn

NAMES = ibmmq_names("", "boc")
MANAGER = Manager("QM1", "QIANZHI.SVRCONN", "127.0.0.1(1414)", user="qianzhi", password="a word")
ASKED = {"ReplyToQ": b"BOC.REPLY.1".ljust(48), "Persistence": 1, "Format": b"MQSTR   "}


class Front:
    """A handler that remembers, and answers at once when told to."""

    def __init__(self, answering: bool) -> None:
        self.server: Any = None
        self.answering = answering
        self.deliveries: list[Delivery] = []
        self.confirmed: list[int] = []
        self.returned: list[int] = []
        self._changed = threading.Condition()

    def on_deliveries(self, items: list[Delivery]) -> None:
        with self._changed:
            self.deliveries += items
            self._changed.notify_all()
        if self.answering:
            self.server.reply([(item.tag, b"re:" + item.body) for item in items if not item.fault])
            self.server.back_out([(item.tag, item.fault) for item in items if item.fault])

    def on_confirmed(self, tags: list[int]) -> None:
        with self._changed:
            self.confirmed += tags
            self._changed.notify_all()
        if self.answering:
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
    """One server, its front, and the queue manager."""

    def __init__(self, reactor_thread: Any, *, answering: bool, workers: int = 1) -> None:
        self.run = reactor_thread.run
        self.mq = StandIn(*NAMES, "BOC.REPLY.1")
        self.front = Front(answering)
        limits = IbmmqLimits(prefetch=4, message_bytes_max=64, workers=workers)
        reactor = reactor_thread.reactor
        self.server = self.front.server = IbmmqQueueServer(NAMES, MANAGER, limits, reactor, module=self.mq)

    def start(self) -> None:
        self.run(lambda: self.server.start(self.front))

    def ask(self, body: bytes, queue: str = NAMES.main, **fields: Any) -> bytes:
        return self.mq.put(queue, body, **{**ASKED, **fields})

    def wait_for_status(self, text: str) -> None:
        tries = 0
        while self.run(self.server.status)["broker"] != text:
            tries += 1
            assert tries < 1_000
            threading.Event().wait(0.01)

    def answers(self) -> list[tuple[bytes, bytes]]:
        return [(message.correlation_id, message.body) for message in self.mq.queues["BOC.REPLY.1"]]


@pytest.fixture
def benches(reactor_thread: Any, monkeypatch: Any) -> Iterator[Any]:
    monkeypatch.setattr(ibmmq_worker, "WAIT_MS", 20)
    monkeypatch.setattr(ibmmq_worker, "RELEASE_SECONDS", 0.01)
    monkeypatch.setattr(ibmmq_worker, "RETRY_SECONDS", (0.01,))
    made: list[Bench] = []

    def make(*, answering: bool = True, **options: Any) -> Bench:
        made.append(Bench(reactor_thread, answering=answering, **options))
        return made[-1]

    yield make
    for bench in made:
        bench.run(bench.server.stop)


def test_an_answer_goes_to_the_reply_queue_under_the_id_of_its_request(benches: Any) -> None:
    bench = benches()
    bench.start()
    ids = [bench.ask(b"one"), bench.ask(b"two", NAMES.control)]
    bench.mq.wait(lambda: len(bench.mq.queues["BOC.REPLY.1"]) == 2)
    assert sorted(bench.answers()) == sorted(zip(ids, (b"re:one", b"re:two"), strict=True))
    reply = bench.mq.queues["BOC.REPLY.1"][0]
    assert reply.fields["MsgType"] == 2
    assert reply.fields["Persistence"] == 1
    assert reply.fields["Format"] == b"MQSTR   "
    assert reply.message_id not in (*ids, bytes(24))
    assert reply.fields["Expiry"] == 864_000
    bench.front.wait(lambda: len(bench.front.confirmed) == 2)


def test_a_message_stays_in_its_unit_until_the_front_is_done_with_it(benches: Any) -> None:
    bench = benches(answering=False)
    bench.ask(b"one")
    bench.start()
    bench.front.wait(lambda: bench.front.deliveries)
    first = bench.front.deliveries[0]
    bench.run(lambda: bench.server.reply([(first.tag, b"yes")]))
    bench.front.wait(lambda: bench.front.confirmed == [first.tag])
    assert bench.run(bench.server.status)["unanswered"] == 1
    bench.run(bench.server.stop)  # a crash between answer and end: the message comes again
    assert [message.body for message in bench.mq.queues[NAMES.main]] == [b"one"]
    assert bench.mq.queues[NAMES.main][0].backout_count == 1


def test_a_lost_connection_voids_its_deliveries_and_they_come_again(benches: Any) -> None:
    bench = benches(answering=False)
    bench.mq.broken_calls["put"] = 0
    asked = bench.ask(b"one")
    bench.start()
    bench.front.wait(lambda: bench.front.deliveries)
    old = bench.front.deliveries[0]
    bench.run(lambda: bench.server.reply([(old.tag, b"lost")]))
    bench.front.wait(lambda: len(bench.front.deliveries) == 2)
    again = bench.front.deliveries[1]
    assert (again.message_id, again.failures) == (asked, 1)
    bench.run(lambda: bench.server.reply([(old.tag, b"void"), (again.tag, b"yes")]))
    bench.mq.wait(lambda: bench.answers())
    assert bench.answers() == [(asked, b"yes")]
    bench.front.wait(lambda: bench.front.confirmed == [again.tag])
    bench.run(lambda: bench.server.acknowledge([again.tag]))


def test_a_commit_whose_outcome_is_unknown_loses_nothing(benches: Any) -> None:
    bench = benches()
    bench.mq.broken_calls["commit"] = 0
    asked = bench.ask(b"one")
    bench.start()
    bench.mq.wait(lambda: len(bench.answers()) == 2)
    assert bench.answers() == [(asked, b"re:one")] * 2


def test_what_is_at_fault_itself_goes_to_the_backout_queue_unanswered(benches: Any) -> None:
    bench = benches()
    bench.start()
    for fields in ({"ReplyToQ": b""}, {"ReplyToQ": b"ICBC.REPLY"}, {"ReplyToQ": b"BOC.REPLYS"}):
        bench.ask(b"who", **fields)
    bench.ask(b"")
    bench.ask(b"x" * 65)
    bench.mq.wait(lambda: len(bench.mq.queues[NAMES.backout]) == 5)
    faults = {item.fault for item in bench.front.deliveries}
    assert faults == {"no_reply_to", "foreign_reply_to", "empty", "too_long"}
    aside = bench.mq.queues[NAMES.backout]
    assert {message.message_id for message in aside} == {item.message_id for item in bench.front.deliveries}
    assert bench.answers() == []
    assert bench.mq.queues[NAMES.main] == []


def test_without_a_backout_queue_nothing_is_lost(benches: Any) -> None:
    bench = benches()
    bench.mq.refuse[NAMES.backout] = 2053
    bench.ask(b"")
    bench.start()
    bench.front.wait(lambda: len(bench.front.deliveries) >= 2)
    del bench.mq.refuse[NAMES.backout]
    bench.mq.wait(lambda: bench.mq.queues[NAMES.backout])
    assert bench.mq.queues[NAMES.main] == []


def test_what_is_given_back_rolls_its_neighbours_back_once_and_is_then_alone(benches: Any) -> None:
    bench = benches(answering=False)
    ids = [bench.ask(body) for body in (b"one", b"two", b"three")]
    bench.start()
    bench.front.wait(lambda: len(bench.front.deliveries) == 3)
    first, *others = [item.tag for item in bench.front.deliveries]
    bench.front.answering = True
    bench.run(lambda: [bench.server.acknowledge(others), bench.server.release([first])])
    bench.mq.wait(lambda: len(bench.answers()) == 3)
    assert {one for one, _ in bench.answers()} == set(ids)
    assert [item.failures for item in bench.front.deliveries] == [0, 0, 0, 1, 1, 1]


def test_an_answer_that_cannot_be_put_is_returned_and_its_request_is_done(benches: Any) -> None:
    bench = benches()
    bench.ask(b"one", ReplyToQ=b"BOC.REPLY.GONE")
    bench.start()
    bench.front.wait(lambda: bench.front.returned)
    bench.ask(b"two")
    bench.mq.wait(lambda: bench.answers())
    assert bench.mq.queues[NAMES.main] == []


def test_a_paused_main_queue_waits_and_the_control_queue_is_served(benches: Any) -> None:
    bench = benches()
    bench.server.pause(NAMES.main, True)
    bench.start()
    bench.ask(b"first", NAMES.control)
    bench.mq.wait(lambda: bench.answers())
    bench.ask(b"waits")
    bench.ask(b"urgent", NAMES.control)
    bench.mq.wait(lambda: len(bench.answers()) == 2)
    assert [message.body for message in bench.mq.queues[NAMES.main]] == [b"waits"]
    bench.run(lambda: bench.server.pause(NAMES.main, False))
    bench.mq.wait(lambda: len(bench.answers()) == 3)
    with pytest.raises(ValueError, match=r"only BOC can be paused"):
        bench.server.pause(NAMES.control, True)


def test_a_manager_that_is_down_is_told_in_plain_words_and_used_when_it_comes(benches: Any) -> None:
    bench = benches()
    bench.mq.down = True
    bench.ask(b"one")
    bench.start()
    bench.wait_for_status("the queue manager is not available (MQ reason 2059)")
    bench.mq.down = False
    bench.mq.wait(lambda: bench.answers())
    bench.wait_for_status("serving from QM1")


def test_expiry_and_the_ids_are_mapped_as_the_descriptor_says() -> None:
    got = Got("BOC", Descriptor(message_id=b"M" * 24, reply_to_queue="BOC.REPLY", expiry_tenths=25), b"x")
    delivery = delivery_of(got, 7, NAMES, 64, 1_000_000)
    assert (delivery.expires_us, delivery.reply_to, delivery.fault) == (3_500_000, b"BOC.REPLY", "")
    never = delivery_of(got._replace(descriptor=Descriptor()), 7, NAMES, 64, 1_000_000)
    assert (never.expires_us, never.fault) == (0, "no_reply_to")
    asked = Descriptor(message_id=b"M" * 24, correlation_id=b"C" * 24)
    assert reply_descriptor(asked).correlation_id == b"M" * 24
    assert reply_descriptor(asked._replace(report=64)).correlation_id == b"C" * 24
    assert reply_descriptor(asked).message_id == bytes(24)
    assert reply_descriptor(asked._replace(report=128)).message_id == b"M" * 24


def test_a_message_that_was_rolled_back_closes_its_unit() -> None:
    fresh, old = Got("BOC", Descriptor(), b"x"), Got("BOC", Descriptor(backout_count=1), b"x")
    assert not Unit(old, 10).wants_more
    unit = Unit(fresh, 10)
    unit.add(old)
    assert not unit.wants_more
    unit.end(0, released=False)
    assert not unit.settled
    unit.end(1, released=True)
    assert unit.settled
    assert not unit.commits


def test_without_ibms_client_the_operator_is_told_what_to_install() -> None:
    with pytest.raises(QueueError, match=r"pip install ibmmq"):
        load_client()


def test_a_name_longer_than_mq_takes_is_refused() -> None:
    with pytest.raises(ValueError, match=r"at most 48 characters"):
        ibmmq_names("A" * 40, "hz_citic")
