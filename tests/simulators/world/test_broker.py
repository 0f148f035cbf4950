"""The model broker by itself: what it keeps, gives again, sends back, and what its word is worth."""

import random  # noqa: TID251 - a seeded stream
from typing import Any

import pytest

from bankmq.queue import Delivery
from simulators.world.broker import DELIVERIES_MAX, ModelBroker
from simulators.world.faults import Fault
from simulators.world.kernel import Kernel
from simulators.world.parts import Message
from simulators.world.process import Process

SECOND = 1_000_000
QUEUE = "icbc"
REPLY_TO = "reply/bank-icbc"


class Front(Process):
    """A consumer that answers what it is given, unless it is told not to."""

    def __init__(self, kernel: Kernel, name: str, broker: ModelBroker, prefetch: int = 10) -> None:
        super().__init__(kernel, name)
        self.broker = broker
        self.prefetch = prefetch
        self.answering = True
        self.came: list[Delivery] = []
        self.confirmed: list[int] = []
        self.returned: list[int] = []

    def begin(self) -> None:
        self.server: Any = self.broker.server(self, QUEUE, self.prefetch)
        self.server.start(self)

    def ended(self) -> None:
        self.server.died()

    def on_deliveries(self, items: list[Delivery]) -> None:
        self.came += items
        if self.answering:
            self.server.reply([(item.tag, b"re " + item.body) for item in items])

    def on_confirmed(self, tags: list[int]) -> None:
        self.confirmed += tags
        self.server.acknowledge(tags)

    def on_returned(self, tags: list[int]) -> None:
        self.returned += tags
        self.server.acknowledge(tags)


class Bench:
    """A broker, a bank on it, and a front."""

    def __init__(self, prefetch: int = 10, seed: int = 1) -> None:
        self.kernel = Kernel(lambda name: random.Random(f"{seed} {name}"), 1_795_300_000_000_000)
        self.broker = ModelBroker(self.kernel)
        self.bank = Process(self.kernel, "bank-icbc")
        self.bank.start()
        self.answers: list[bytes] = []
        self.taken: list[bool] = []
        self.broker.consume(self.bank, REPLY_TO, lambda message: self.answers.append(message.body))
        self.front = Front(self.kernel, "front-icbc-1", self.broker, prefetch)

    def send(self, *bodies: bytes, queue: str = QUEUE, seconds: float = 0, reply_to: str = REPLY_TO) -> None:
        expires_us = self.bank.now.wall_us + int(seconds * SECOND) if seconds else 0
        for body in bodies:
            message = Message(body, body, reply_to, body, expires_us)
            self.broker.publish(self.bank, queue, message, self.taken.append)

    def run(self, seconds: float = 1) -> None:
        self.kernel.run(self.kernel.now_us + int(seconds * SECOND))

    def fault(self, kind: str, strength: int = 0) -> Fault:
        fault = Fault(kind, "broker", 0, 0, strength)
        self.broker.begin_fault(fault)
        return fault

    @property
    def waiting(self) -> int:
        return sum(len(self.broker.queues.get(name, ())) for name in (QUEUE, f"{QUEUE}.ctl"))


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_what_is_asked_waits_for_a_front_and_is_answered_once_and_gone(bench: Bench) -> None:
    bench.send(b"1", b"2")
    bench.run()
    assert (bench.waiting, bench.taken) == (2, [True, True])
    bench.front.start()
    bench.run()
    assert bench.answers == [b"re 1", b"re 2"]
    assert [item.failures for item in bench.front.came] == [0, 0]
    assert dict(bench.broker.left()) == {QUEUE: 0, f"{QUEUE}.ctl": 0, REPLY_TO: 0}
    bench.front.kill()
    bench.run()
    assert bench.waiting == 0


def test_no_more_are_given_out_than_may_be_in_flight() -> None:
    bench = Bench(prefetch=3)
    bench.front.answering = False
    bench.front.start()
    bench.send(*(b"%d" % n for n in range(8)))
    bench.run()
    assert len(bench.front.came) == 3
    assert dict(bench.broker.left())[QUEUE] == 8
    bench.front.server.acknowledge([bench.front.came[0].tag])
    bench.run()
    assert len(bench.front.came) == 4


def test_what_a_dead_front_had_comes_again_and_says_how_often(bench: Bench) -> None:
    bench.front.answering = False
    bench.front.start()
    bench.send(b"1", b"2")
    bench.run()
    bench.front.kill()
    bench.front.came.clear()
    bench.front.answering = True
    bench.front.start()
    bench.run()
    assert [(item.body, item.failures) for item in bench.front.came] == [(b"1", 1), (b"2", 1)]
    assert bench.answers == [b"re 1", b"re 2"]
    assert bench.kernel.coverage["redelivery-after-crash"] == 1


def test_a_message_that_nobody_survives_is_dead_in_the_end(bench: Bench) -> None:
    bench.front.answering = False
    bench.send(b"1")
    for _ in range(DELIVERIES_MAX + 1):
        bench.front.start()
        bench.run(0.01)
        bench.front.kill()
    assert (bench.waiting, len(bench.broker.dead)) == (0, 1)


def test_a_front_that_stands_still_is_cut_off_and_another_one_answers(bench: Bench) -> None:
    bench.front.answering = False
    bench.front.start()
    bench.send(b"1")
    bench.run()
    bench.front.freeze()
    other = Front(bench.kernel, "front-icbc-2", bench.broker)
    other.start()
    bench.run(12)
    assert bench.answers == [b"re 1"]
    bench.front.answering = True
    bench.front.thaw()
    bench.front.server.reply([(bench.front.came[0].tag, b"late")])
    bench.run()
    assert bench.answers == [b"re 1"]
    bench.send(b"2", b"3")
    bench.run()
    assert sorted(bench.answers) == [b"re 1", b"re 2", b"re 3"]


def test_a_lost_confirm_takes_the_connection_with_it_and_the_request_is_answered_again(bench: Bench) -> None:
    bench.front.start()
    fault = bench.fault("confirm_lost", 1_000)
    bench.send(b"1")
    bench.run(0.001)
    bench.broker.end_fault(fault)
    bench.run(5)
    assert bench.answers == [b"re 1", b"re 1"]
    assert [item.failures for item in bench.front.came] == [0, 1]
    assert bench.waiting == 0
    assert bench.kernel.coverage["confirm-lost"] == 1


def test_a_reply_that_the_broker_refuses_is_given_again(bench: Bench) -> None:
    bench.front.start()
    bench.send(b"1")
    bench.run(0.0004)
    fault = bench.fault("nack", 1_000)
    bench.run(0.01)
    assert bench.answers == []
    bench.broker.end_fault(fault)
    bench.run(5)
    assert bench.answers == [b"re 1"]


def test_a_reply_whose_queue_is_gone_comes_back_and_later_ones_arrive(bench: Bench) -> None:
    bench.front.start()
    fault = bench.fault("reply_queue_gone")
    bench.send(b"1")
    bench.run()
    assert (bench.answers, len(bench.front.returned), bench.waiting) == ([], 1, 0)
    bench.broker.end_fault(fault)
    bench.send(b"2")
    bench.run()
    assert bench.answers == [b"re 2"]


def test_a_restart_of_the_broker_keeps_what_waits_and_what_was_not_acknowledged(bench: Bench) -> None:
    bench.front.answering = False
    bench.front.start()
    bench.send(b"1")
    bench.run()
    bench.front.answering = True
    fault = bench.fault("broker_restart")
    bench.send(b"lost")
    bench.run(3)
    assert bench.taken == [True, False]
    assert bench.answers == []
    bench.broker.end_fault(fault)
    bench.run(10)
    assert bench.answers == [b"re 1"]


def test_a_paused_broker_gives_nothing_out(bench: Bench) -> None:
    bench.front.start()
    fault = bench.fault("broker_pause")
    bench.send(b"1")
    bench.run()
    assert bench.front.came == []
    bench.broker.end_fault(fault)
    bench.run()
    assert bench.answers == [b"re 1"]


def test_while_the_main_queue_is_paused_the_control_queue_is_served(bench: Bench) -> None:
    bench.front.start()
    bench.run()
    bench.front.server.pause(QUEUE, True)
    bench.send(b"1")
    bench.send(b"2", queue=f"{QUEUE}.ctl")
    bench.run()
    assert bench.answers == [b"re 2"]
    bench.front.server.pause(QUEUE, False)
    bench.run()
    assert bench.answers == [b"re 2", b"re 1"]
    assert bench.kernel.coverage["paused-queue-served-later"] == 1


def test_what_has_expired_in_its_queue_is_not_given_out(bench: Bench) -> None:
    bench.send(b"1", seconds=2)
    bench.run(3)
    bench.front.start()
    bench.run()
    assert (bench.front.came, bench.waiting, len(bench.broker.dead)) == ([], 0, 1)


def test_an_expiry_reaches_the_front(bench: Bench) -> None:
    bench.front.start()
    bench.send(b"1", seconds=30)
    bench.run()
    left_us = bench.front.came[0].expires_us - bench.kernel.wall_us
    assert 28 * SECOND < left_us < 30 * SECOND


@pytest.mark.parametrize(("kind", "times"), [("duplicate", 2), ("redelivery", 2)])
def test_a_message_may_come_twice(kind: str, times: int) -> None:
    for seed in range(5):
        bench = Bench(seed=seed)
        bench.front.start()
        fault = bench.fault(kind, 1_000)
        bench.send(b"1")
        while len(bench.front.came) < times:
            bench.run(0.01)
        bench.broker.end_fault(fault)
        bench.run(10)
        assert {item.body for item in bench.front.came} == {b"1"}
        assert bench.waiting == 0


def test_a_message_that_names_a_foreign_queue_or_none_is_told_to_the_front(bench: Bench) -> None:
    bench.front.answering = False
    bench.front.start()
    bench.send(b"1", reply_to="")
    bench.send(b"2", reply_to="other/queue")
    bench.run()
    assert [item.fault for item in bench.front.came] == ["no_reply_to", "foreign_reply_to"]
    bench.front.server.back_out([(item.tag, item.fault) for item in bench.front.came])
    bench.run()
    assert [kept.properties.headers["qianzhi-reason"] for _, kept in bench.broker.backed_out] == [
        "no_reply_to",
        "foreign_reply_to",
    ]
    assert bench.waiting == 0


def test_deleted_queues_lose_what_is_in_them_and_take_nothing_until_they_are_declared_again() -> None:
    bench = Bench()
    bench.front.answering = False
    bench.front.start()
    bench.send(b"given out")
    bench.run(0.1)
    bench.fault("queue_gone")
    bench.send(b"to nobody")
    bench.run(0.05)
    assert bench.broker.left() == [(REPLY_TO, 0)]
    bench.run(10)
    bench.front.answering = True
    bench.send(b"to the new queue")
    bench.run()
    assert [item.body for item in bench.front.came] == [b"given out", b"to the new queue"]
    assert bench.answers == [b"re to the new queue"]
    assert sum(count for _, count in bench.broker.left()) == 0


def test_a_body_may_be_damaged_on_its_way_in_and_on_its_way_out() -> None:
    bench = Bench()
    bench.front.start()
    fault = bench.fault("body_broken", 1_000)
    bench.send(b"a message")
    bench.run()
    assert bench.front.came[0].body != b"a message"
    assert bench.answers
    assert bench.answers[0] != b"re " + bench.front.came[0].body
    bench.broker.end_fault(fault)
    bench.send(b"another")
    bench.run()
    assert bench.answers[1] == b"re another"
