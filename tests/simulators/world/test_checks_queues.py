"""A queue's message that is done with before anything came of it, or of which nothing comes, is named."""

import random  # noqa: TID251 - a seeded stream
from typing import Any

import pytest

from bankmq.amqp_messages import Properties, Publication
from qianzhi.runtime.effects import Event
from simulators.world.broker import ModelBroker
from simulators.world.broker_parts import Consumer, Kept
from simulators.world.checks_queues import Queues
from simulators.world.faults import Fault
from simulators.world.kernel import Kernel
from simulators.world.observe import Violation
from simulators.world.process import Process

QUEUE, REPLY_TO, FRONT = "icbc", "reply/bank-icbc", "front-icbc-1"
ASKED = Kept(b"7", Properties("7", reply_to=REPLY_TO), 0, 0)


class Bench:
    """A broker that is watched, with one reader of one queue."""

    def __init__(self) -> None:
        self.kernel = Kernel(lambda name: random.Random(name), 0)
        self.broker = ModelBroker(self.kernel)
        self.queues = Queues(self.broker)
        self.given: list[int] = []
        front = Process(self.kernel, FRONT)
        front.start()
        self.reader = Consumer(front, QUEUE, 10, lambda items: self.given.extend(tag for tag, _ in items))
        self.broker.read(self.reader)
        self.broker.put(QUEUE, ASKED)
        self.kernel.run(1_000_000)

    def publish(self, routing_key: str, **properties: Any) -> None:
        item = Publication(("reply", 1), "", routing_key, b"", Properties(**properties))
        self.broker.take_publication(item)

    def acknowledge(self) -> None:
        self.broker.acknowledge(self.reader, self.given.pop())

    def silent(self, tag: int) -> None:
        self.queues.rows(FRONT, [Event(0, "silent", "", "t", {"why": "unknown", "conn": str(tag)})])


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_what_is_answered_put_aside_or_passed_over_in_silence_is_done_with(bench: Bench) -> None:
    bench.publish(REPLY_TO, message_id="r", correlation_id="7")  # its queue is gone, and it comes back
    bench.acknowledge()
    bench.queues.compare()

    aside = Bench()
    aside.publish("icbc.bo", message_id="7", reply_to=REPLY_TO)
    aside.acknowledge()
    aside.queues.compare()

    silent = Bench()
    silent.silent(silent.given[0])
    silent.acknowledge()
    silent.queues.compare()


def test_what_is_acknowledged_before_its_answer_is_taken_is_named(bench: Bench) -> None:
    bench.silent(bench.given[0] + 1)  # of another delivery
    bench.publish(REPLY_TO, message_id="r", correlation_id="8")
    with pytest.raises(Violation, match=f"rule 9 {REPLY_TO} 7: acknowledged by {FRONT}"):
        bench.acknowledge()


def test_one_answer_is_none_to_a_second_delivery(bench: Bench) -> None:
    bench.broker.put(QUEUE, ASKED)
    bench.kernel.run(2_000_000)
    bench.publish(REPLY_TO, message_id="r", correlation_id="7")
    bench.acknowledge()
    with pytest.raises(Violation, match="rule 9"):
        bench.acknowledge()


def test_what_was_put_in_and_never_answered_is_named_unless_it_is_dead_or_its_queue_was_deleted(
    bench: Bench,
) -> None:
    with pytest.raises(Violation, match=f"I7 {REPLY_TO} 7: put into a queue 1 times"):
        bench.queues.compare()
    bench.broker.dead.append((QUEUE, ASKED))
    bench.queues.compare()

    deleted = Bench()
    deleted.broker.begin_fault(Fault("queue_gone", "broker", 0, 1))
    deleted.queues.compare()
