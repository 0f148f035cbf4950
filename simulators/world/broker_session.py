"""A front's session with the model broker: what `bankmq.rabbit` and `bankmq.amqp` are to RabbitMQ.  Pure.

What becomes of a delivery is decided by `bankmq.rabbit_core`, as in the daemon; here its acts meet a broker
that may be gone, refuse, or lose its word.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from bankmq.amqp_messages import AmqpMessage, Publication, Settled
from bankmq.amqp_names import BankNames
from bankmq.queue import QueueHandler
from bankmq.rabbit_core import (
    Acknowledge,
    Acts,
    Bounds,
    Cancel,
    Confirmed,
    Consume,
    Deliver,
    Publish,
    RabbitCore,
    Requeue,
    Rest,
    Returned,
)
from qianzhi.runtime.now import SECOND_US
from simulators.world.broker_parts import Consumer, Kept
from simulators.world.process import Process

if TYPE_CHECKING:
    from simulators.world.broker import ModelBroker

CONFIRM_US = 600
RETRY_US, RETRY_US_MAX = 200_000, 5 * SECOND_US
MESSAGE_BYTES_MAX = 65_536
CONTROL_PREFETCH = 50


class ModelQueueServer:
    """The queues of one bank, consumed by one life of a front (`bankmq.queue.QueueServer`)."""

    def __init__(self, broker: "ModelBroker", process: Process, names: BankNames, prefetch: int) -> None:
        """Nothing is dialled before `start`."""
        self.process = process
        self._broker = broker
        self._queues = (names.main, names.control)
        self._life = process.life
        bounds = Bounds(prefetch, min(CONTROL_PREFETCH, prefetch), MESSAGE_BYTES_MAX)
        self._core = RabbitCore(names, bounds, f"{process.name}/{process.life}")
        self._handler: QueueHandler | None = None
        self._consumers: dict[str, Consumer] = {}
        self._of: dict[int, Consumer] = {}  # by tag
        self._pending: dict[int, Any] = {}  # publications that are not settled, by number
        self._published = 0
        self._connection = 0  # counts connections, 0 without one
        self._connections = 0
        self._retry_us = RETRY_US
        self._do: dict[type, Callable[[Any], None]] = {
            Publish: lambda act: self._publish(act.items),
            Acknowledge: self._acknowledge,
            Requeue: self._requeue,
            Consume: self._consume,
            Cancel: self._cancel,
            Rest: self._rest,
            Deliver: lambda act: self._tell("on_deliveries", act.items),
            Confirmed: lambda act: self._tell("on_confirmed", act.tags),
            Returned: lambda act: self._tell("on_returned", act.tags),
        }

    # -- as the front sees it

    def start(self, handler: QueueHandler) -> None:
        """Connect, whether the broker is there or not."""
        self._handler = handler
        self._connect()

    def reply(self, items: list[tuple[int, bytes]]) -> None:
        """Publish replies."""
        self._run(self._core.reply(items, self.process.now))

    def acknowledge(self, tags: list[int]) -> None:
        """Be done with deliveries."""
        self._run(self._core.acknowledge(tags))

    def release(self, tags: list[int]) -> None:
        """Give deliveries back, after a pause."""
        self._run(self._core.release(tags))

    def back_out(self, items: list[tuple[int, str]]) -> None:
        """Move deliveries to the backout queue."""
        self._run(self._core.back_out(items))

    def pause(self, queue: str, paused: bool) -> None:
        """Stop or go on consuming the main queue."""
        self._run(self._core.pause(queue, paused))

    def status(self) -> dict[str, Any]:
        """Return the session's state."""
        return {"broker": "ready" if self._connection else "unreachable", **self._core.status()}

    def stop(self) -> None:
        """Consume no more."""
        self.died()

    # -- as the broker sees it

    def died(self) -> None:
        """The process is gone: what it had is given out again."""
        self._broker.over(self)
        consumers, self._consumers = list(self._consumers.values()), {}
        self._connection = 0
        for consumer in consumers:
            self._broker.leave(consumer, died=True)

    def break_off(self, reason: str) -> None:
        """The connection breaks; the front notices, and dials again."""
        if not self._connection:
            return
        self._hang_up()
        self.process.later(CONFIRM_US, reason, self._lost)

    def cut_off(self) -> None:
        """The broker ends the connection of a process that stands still; it will notice when it goes on."""
        self.break_off("cut off")

    def _hang_up(self) -> None:
        consumers, self._consumers = list(self._consumers.values()), {}
        self._connection = 0
        for consumer in consumers:
            self._broker.leave(consumer)

    def _lost(self) -> None:
        """Nothing more will be said about what was published; deliveries are void."""
        lost: list[tuple[Any, Settled]] = [(ticket, "lost") for ticket in self._pending.values()]
        self._pending.clear()
        self._of.clear()
        self._run(self._core.on_state("unreachable"))
        if lost:
            self._run(self._core.on_settled(lost))
        self._redial()

    def _redial(self) -> None:
        wait_us, self._retry_us = self._retry_us, min(2 * self._retry_us, RETRY_US_MAX)
        self.process.later(wait_us, "dial broker", self._connect)

    def _connect(self) -> None:
        if self._broker.down:
            self._redial()
            return
        self._retry_us = RETRY_US
        self._connections += 1
        self._connection = self._connections
        self._broker.declare(self._queues)
        self._run(self._core.on_state("ready"))
        self._run(self._core.on_open())

    # -- acts

    def _run(self, acts: Acts) -> None:
        for act in acts:
            do = self._do.get(type(act))
            if do is not None and self.process.life == self._life:
                do(act)

    def _tell(self, what: str, items: list[Any]) -> None:
        if self._handler is not None:
            getattr(self._handler, what)(items)

    def _rest(self, act: Rest) -> None:
        self.process.later(int(act.seconds * SECOND_US), "rest", self._rested)

    def _rested(self) -> None:
        self._run(self._core.on_rested(self.process.now))

    def _consume(self, act: Consume) -> None:
        if not self._connection:
            return
        consumer = self._consumers.get(act.queue)
        if consumer is None:
            consumer = Consumer(self.process, act.queue, act.prefetch, self._taker(act.queue))
            self._consumers[act.queue] = consumer
        self._broker.read(consumer)

    def _cancel(self, act: Cancel) -> None:
        consumer = self._consumers.get(act.queue)
        if consumer is not None:
            consumer.open = False

    def _taker(self, queue: str) -> Callable[[list[tuple[int, Kept]]], None]:
        def take(items: list[tuple[int, Kept]]) -> None:
            consumer = self._consumers.get(queue)
            if consumer is None:
                return
            messages = []
            for tag, kept in items:
                self._of[tag] = consumer
                messages.append(AmqpMessage(tag, queue, kept.body, kept.properties, kept.failures))
            self._run(self._core.on_messages(messages, self.process.now))

        return take

    def _acknowledge(self, act: Acknowledge) -> None:
        for tag in act.tags:
            consumer = self._of.pop(tag, None)
            if consumer is not None:
                self._broker.acknowledge(consumer, tag)

    def _requeue(self, act: Requeue) -> None:
        for tag in act.tags:
            consumer = self._of.pop(tag, None)
            if consumer is not None:
                self._broker.requeue(consumer, tag)

    def _publish(self, items: list[Publication]) -> None:
        """Publish; each is settled later.  Where the confirm is lost, the connection goes with it."""
        broker = self._broker
        for item in items:
            self._published += 1
            number = self._published
            self._pending[number] = item.ticket
            if not self._connection:
                self.process.later(0, "unpublished", self._settled, number, "lost")
                continue
            broker.kernel.later(CONFIRM_US // 2, "reply", self._arrive, number, item, self._connection)

    def _arrive(self, number: int, item: Publication, connection: int) -> None:
        """A publication reaches the broker, whatever has become of who sent it."""
        broker, dice = self._broker, self._broker.dice
        if broker.down:
            return
        if dice.hit(broker.strength["nack"]):
            self.process.later(CONFIRM_US // 2, "nack", self._settled, number, "lost")
            return
        end = broker.take_publication(item)
        if connection != self._connection:
            return
        if dice.hit(broker.strength["confirm_lost"]):
            broker.kernel.saw("confirm-lost")
            self.break_off("confirm lost")
            return
        self.process.later(CONFIRM_US // 2, "confirm", self._settled, number, end)

    def _settled(self, number: int, end: Settled) -> None:
        ticket = self._pending.pop(number, None)
        if ticket is not None:
            self._run(self._core.on_settled([(ticket, end)]))
