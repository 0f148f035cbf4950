"""The queue server on IBM MQ against a real queue manager; `make test-ibmmq`, never part of `make test`.

Needs IBM's MQ client with the module `ibmmq`, and a queue manager with the queues of docs/IBM_MQ.md for a
bank `LIVE`, named in the environment:

    QIANZHI_IBMMQ_MANAGER=QM1         QIANZHI_IBMMQ_CONNECTIONS='127.0.0.1(1414)'
    QIANZHI_IBMMQ_USER=…              QIANZHI_IBMMQ_PASSWORD=…
    QIANZHI_IBMMQ_CHANNEL=QIANZHI.SVRCONN
"""

import os
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from bankmq.ibmmq import IbmmqLimits, IbmmqQueueServer
from bankmq.ibmmq_client import Manager, MqConnection, load_client
from bankmq.ibmmq_messages import Descriptor, Got
from bankmq.ibmmq_names import ibmmq_names
from bankmq.queue import Delivery

NAMES = ibmmq_names("", "live")
WAIT_MS = 10_000


def manager() -> Manager:
    """The queue manager of the environment; the test fails without one."""
    name = os.environ.get("QIANZHI_IBMMQ_MANAGER", "")
    if not name:
        pytest.fail("set QIANZHI_IBMMQ_MANAGER and its neighbours: docs/IBM_MQ.md says how")
    read = os.environ.get
    return Manager(
        name,
        read("QIANZHI_IBMMQ_CHANNEL", "QIANZHI.SVRCONN"),
        read("QIANZHI_IBMMQ_CONNECTIONS", "127.0.0.1(1414)"),
        user=read("QIANZHI_IBMMQ_USER", ""),
        password=read("QIANZHI_IBMMQ_PASSWORD", ""),
    )


class Bank:
    """The bank's end: a connection of its own, whose every call is a unit of work."""

    def __init__(self) -> None:
        self.connection = MqConnection(load_client(), manager())

    def ask(self, body: bytes, queue: str = NAMES.main, reply_to: str = NAMES.reply, **fields: Any) -> None:
        descriptor = Descriptor(reply_to_queue=reply_to, **fields)
        self.connection.put(queue, "", descriptor, body, in_unit=False)

    def hear(self, queue: str = NAMES.reply, wait_ms: int = WAIT_MS) -> Got | None:
        got = self.connection.get(queue, wait_ms)
        self.connection.commit()
        return got


class Front:
    """Answers at once, or keeps what came."""

    def __init__(self) -> None:
        self.server: Any = None
        self.answering = True
        self.seen: list[Delivery] = []
        self._changed = threading.Condition()

    def on_deliveries(self, items: list[Delivery]) -> None:
        with self._changed:
            self.seen += items
            self._changed.notify_all()
        if self.answering:
            self.server.reply([(item.tag, b"re:" + item.body) for item in items if not item.fault])
            self.server.back_out([(item.tag, item.fault) for item in items if item.fault])

    def on_confirmed(self, tags: list[int]) -> None:
        self.server.acknowledge(tags)

    on_returned = on_confirmed

    def wait(self, n: int) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.seen) >= n, timeout=30)


@pytest.fixture
def bank() -> Iterator[Bank]:
    made = Bank()
    for queue in NAMES:
        while made.hear(queue, 0) is not None:
            continue  # what an earlier run has left
    yield made
    made.connection.close()


@pytest.fixture
def front(reactor_thread: Any) -> Iterator[Front]:
    made = Front()
    made.server = IbmmqQueueServer(NAMES, manager(), IbmmqLimits(), reactor_thread.reactor)
    reactor_thread.run(lambda: made.server.start(made))
    yield made
    reactor_thread.run(made.server.stop)


def test_questions_on_both_queues_are_answered_under_their_ids(bank: Bank, front: Front) -> None:
    asked = {b"%d" % n: NAMES.control if n % 4 == 0 else NAMES.main for n in range(40)}
    for body, queue in asked.items():
        bank.ask(body, queue, persistence=1)
    heard = [bank.hear() for _ in asked]
    ids = {item.message_id: item.body for item in front.seen}
    assert {got.body for got in heard if got} == {b"re:" + body for body in asked}
    for got in heard:
        assert got is not None
        assert got.body == b"re:" + ids[got.descriptor.correlation_id]
        assert (got.descriptor.message_type, got.descriptor.persistence) == (2, 1)


def test_the_banks_own_correlation_id_comes_back_when_it_asks_for_that(bank: Bank, front: Front) -> None:
    bank.ask(b"x", report=64, correlation_id=b"C" * 24)
    got = bank.hear()
    assert got is not None
    assert got.descriptor.correlation_id == b"C" * 24


def test_what_is_at_fault_is_put_aside(bank: Bank, front: Front) -> None:
    bank.ask(b"nobody", reply_to="")
    got = bank.hear(NAMES.backout)
    assert got is not None
    assert got.body == b"nobody"
    assert bank.hear(wait_ms=0) is None


def test_what_was_not_finished_comes_again_and_says_how_often(bank: Bank, reactor_thread: Any) -> None:
    first, second = Front(), Front()
    for front in (first, second):
        front.answering = False
        front.server = IbmmqQueueServer(NAMES, manager(), IbmmqLimits(), reactor_thread.reactor)
    bank.ask(b"x")
    reactor_thread.run(lambda: first.server.start(first))
    first.wait(1)
    reactor_thread.run(first.server.stop)
    reactor_thread.run(lambda: second.server.start(second))
    second.wait(1)
    again = second.seen[0]
    assert (again.message_id, again.failures) == (first.seen[0].message_id, 1)
    reactor_thread.run(lambda: second.server.reply([(again.tag, b"yes")]))
    got = bank.hear()
    assert got is not None
    assert got.body == b"yes"
    reactor_thread.run(second.server.stop)
