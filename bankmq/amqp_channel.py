"""One channel of a session: opened, put into confirm mode, its topology declared; then it consumes and
publishes.

Its callbacks gather; whoever owns it takes what one read completed with `take`.
"""

import itertools
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from pika import BasicProperties

from bankmq.amqp_messages import AmqpMessage, Properties, Publication, Queue, Topology
from bankmq.amqp_pika import AmqpConnection, plain_reason
from bankmq.amqp_window import ConfirmWindow, Outcome
from bankmq.amqp_wire import Confirmed, Delivered, plain_properties
from qianzhi.runtime import clock

MISSING = 404  # NOT_FOUND: there is no such queue, where one was only looked at
DIFFERS = 406  # PRECONDITION_FAILED: it exists, with other properties


class Owner(Protocol):
    """Who a channel belongs to."""

    def channel_ready(self) -> None:
        """The topology stands."""

    def depths_known(self, depths: dict[str, int]) -> None:
        """All queues were declared, now or again, and so counted."""

    def channel_closed(self, reason: str, code: int) -> None:
        """It has gone, by the broker's will or with its connection; called once."""

    def consumer_cancelled(self, queue: str) -> None:
        """The broker has ended our consuming of a queue: it was deleted, or has no leader."""

    def queue_odd(self, queue: str, reason: str, code: int) -> None:
        """A queue exists with other properties than ours (DIFFERS) and is used as it stands, or is
        MISSING."""


class AmqpChannel:
    """A channel; `tags` numbers deliveries over all channels of a session."""

    def __init__(
        self,
        connection: AmqpConnection,
        topology: Topology,
        owner: Owner,
        *,
        confirms_max: int,
        tags: Iterator[int],
        accepted: set[str],
    ) -> None:
        """`accepted` are the queues that are known to differ, and so are not declared."""
        self._connection = connection
        self._owner = owner
        self._accepted = accepted
        self._window = ConfirmWindow(confirms_max)
        self._waiting: deque[Publication] = deque()
        self._tags = tags
        self._deliveries: dict[int, int] = {}  # our tag to the channel's, in the order of delivery
        self._consumers: dict[str, str] = {}
        self._queues: dict[str, str] = {}  # the same, by the consumer's tag
        self._messages: list[AmqpMessage] = []
        self._settled: list[Outcome] = []
        self._steps = _steps(topology)
        self._declaring = ""
        self._channel: Any = None
        self.open = False  # until it is closed, and only after the topology stands
        self.depths: dict[str, int] = {}
        connection.open_channel(self._on_open)

    def __len__(self) -> int:
        return len(self._window) + len(self._waiting)

    @property
    def oldest_us(self) -> int | None:
        """When the oldest publication that the broker has not confirmed was made."""
        return self._window.oldest_us

    def take(self) -> tuple[list[AmqpMessage], list[Outcome]]:
        """Return what has come since the last call."""
        taken = self._messages, self._settled
        self._messages, self._settled = [], []
        return taken

    def consume(self, queue: str, prefetch: int) -> None:
        """Consume; does nothing when it does already."""
        if queue not in self._consumers:
            # Of one consumer, not of the channel (global): that is how RabbitMQ reads it, and 4.3 knows no
            # other.
            self._channel.basic_qos(prefetch_count=prefetch)
            tag = self._channel.basic_consume(queue, self._taker(queue))
            self._consumers[queue] = tag
            self._queues[tag] = queue

    def cancel(self, queue: str) -> None:
        """Consume no more; pika gives back what is still on its way."""
        tag = self._consumers.pop(queue, None)
        if tag is not None:
            self._queues.pop(tag, None)
            self._channel.basic_cancel(tag, callback=lambda _: None)

    def publish(self, items: list[Publication]) -> None:
        """Publish, as far as the window and the connection allow; the rest waits."""
        self._waiting.extend(items)
        self.flush()

    def flush(self) -> None:
        """Publish what waits, as far as there is room."""
        if not self.open or not self._waiting or not self._connection.writable:
            return
        now_us = clock.now().mono_us
        while self._waiting and self._window.room > 0 and self._connection.writable:
            item = self._waiting.popleft()
            self._window.publish(item.ticket, item.properties.message_id or "", now_us)
            if not self._connection.publish(self._channel.channel_number, item):
                self._channel.basic_publish(
                    item.exchange, item.routing_key, item.body, to_pika(item.properties), mandatory=True
                )

    def acknowledge(self, tags: list[int]) -> None:
        """Acknowledge; where these are the oldest deliveries, with one frame."""
        wanted = {tag for tag in tags if tag in self._deliveries}
        oldest = list(itertools.takewhile(wanted.__contains__, self._deliveries))
        if len(oldest) > 1:
            self._channel.basic_ack(self._deliveries[oldest[-1]], multiple=True)
            for tag in oldest:
                del self._deliveries[tag]
            wanted.difference_update(oldest)
        for tag in sorted(wanted):
            self._channel.basic_ack(self._deliveries.pop(tag))

    def requeue(self, tags: list[int]) -> None:
        """Give back; they come again, to us or to another consumer."""
        for tag in tags:
            number = self._deliveries.pop(tag, None)
            if number is not None:
                self._channel.basic_nack(number, requeue=True)

    def declare_again(self, topology: Topology) -> None:
        """Declare everything once more, which mends what was deleted and tells how many messages wait."""
        if not self._steps:
            self._steps = _steps(topology)
            self._step()

    def close(self) -> None:
        """Close in order: what was sent before has then been taken."""
        if self._channel is not None and self._channel.is_open:
            self._channel.close()

    # pika's side

    def _on_open(self, channel: Any) -> None:
        self._channel = channel
        self._connection.take_on(channel.channel_number, self._take_quick)
        channel.add_on_close_callback(self._on_closed)
        channel.add_on_cancel_callback(self._on_cancelled)
        channel.add_on_return_callback(self._on_returned)
        channel.confirm_delivery(self._on_confirm, callback=lambda _: self._step())

    def _step(self, answer: Any = None) -> None:
        """Declare the next thing; the answer to the one before tells its depth."""
        if answer is not None and hasattr(answer.method, "message_count"):
            self.depths[answer.method.queue] = answer.method.message_count
        self._declaring = ""
        while self._steps:
            queue, declare = self._steps.pop(0)
            if queue not in self._accepted:
                self._declaring = queue
                declare(self._channel, self._step)
                return
        if not self.open:
            self.open = True
            self._owner.channel_ready()
        self._owner.depths_known(self.depths)

    def _on_closed(self, channel: Any, error: Any) -> None:
        self._connection.take_on(channel.channel_number, None)
        self._queues.clear()
        self.open = False
        self._deliveries.clear()
        self._consumers.clear()
        self._messages.clear()
        self._settled += self._window.lose()
        self._settled += [(item.ticket, "lost") for item in self._waiting]
        self._waiting.clear()
        code = getattr(error, "reply_code", 0)
        reason = plain_reason(error)
        if code in (DIFFERS, MISSING) and self._declaring:
            self._accepted.add(self._declaring)
            self._owner.queue_odd(self._declaring, reason, code)
        self._owner.channel_closed(reason, code)

    def _on_cancelled(self, frame: Any) -> None:
        for queue, tag in list(self._consumers.items()):
            if tag == frame.method.consumer_tag:
                del self._consumers[queue]
                self._queues.pop(tag, None)
                self._owner.consumer_cancelled(queue)

    def _on_confirm(self, frame: Any) -> None:
        method = frame.method
        taken = method.NAME == "Basic.Ack"
        self._settled += self._window.on_confirm(method.delivery_tag, method.multiple, taken)
        self.flush()

    def _take_quick(self, item: Delivered | Confirmed) -> bool:
        """Take a message or a confirm that pika has not seen; one of nobody here is left to it."""
        if isinstance(item, Confirmed):
            self._settled += self._window.on_confirm(item.number, item.multiple)
            self.flush()
            return True
        queue = self._queues.get(item.consumer)
        if queue is None:
            return False
        self._take(queue, item.number, item.properties, item.redelivered, item.body)
        return True

    def _on_returned(self, _channel: Any, _method: Any, properties: Any, _body: bytes) -> None:
        self._window.on_returned(properties.message_id)

    def _taker(self, queue: str) -> Callable[[Any, Any, Any, bytes], None]:
        def take(_channel: Any, method: Any, properties: Any, body: bytes) -> None:
            self._take(queue, method.delivery_tag, from_pika(properties), method.redelivered, body)

        return take

    def _take(self, queue: str, number: int, read: Properties, redelivered: bool, body: bytes) -> None:
        tag = next(self._tags)
        self._deliveries[tag] = number
        failures = read.headers.get("x-delivery-count", 0)
        failures = failures if isinstance(failures, int) else 0
        # Where the queue does not count, the flag says at least that it was not the first time.
        self._messages.append(AmqpMessage(tag, queue, body, read, max(failures, int(redelivered))))


Step = tuple[str, Callable[[Any, Callable[[Any], None]], None]]


def _steps(topology: Topology) -> list[Step]:
    """Return one call for each thing to declare, with the queue that it declares, if it does."""
    if topology.passive:
        return [(queue.name, _look(queue.name)) for queue in topology.queues]
    steps: list[Step] = [("", _exchange(name)) for name in topology.exchanges]
    steps += [(queue.name, _queue(queue)) for queue in topology.queues]
    steps += [("", _binding(*binding)) for binding in topology.bindings]
    return steps


def _exchange(name: str) -> Callable[[Any, Any], None]:
    return lambda channel, then: channel.exchange_declare(name, "direct", durable=True, callback=then)


def _queue(queue: Queue) -> Callable[[Any, Any], None]:
    def declare(channel: Any, then: Any) -> None:
        own = queue.exclusive
        channel.queue_declare(
            queue.name,
            durable=not own,
            exclusive=own,
            auto_delete=own,
            arguments=queue.arguments,
            callback=then,
        )

    return declare


def _look(queue: str) -> Callable[[Any, Any], None]:
    return lambda channel, then: channel.queue_declare(queue, passive=True, callback=then)


def _binding(queue: str, exchange: str, key: str) -> Callable[[Any, Any], None]:
    return lambda channel, then: channel.queue_bind(queue, exchange, key, callback=then)


def to_pika(properties: Properties) -> BasicProperties:
    """Return our properties as pika's."""
    expiration = properties.expiration_ms
    return BasicProperties(
        message_id=properties.message_id,
        correlation_id=properties.correlation_id,
        reply_to=properties.reply_to,
        expiration=None if expiration is None else str(expiration),
        timestamp=properties.timestamp,
        priority=properties.priority,
        content_type=properties.content_type,
        content_encoding=properties.content_encoding,
        delivery_mode=2 if properties.persistent else 1,
        headers=dict(properties.headers) or None,
    )


def from_pika(read: BasicProperties) -> Properties:
    """Return pika's properties as ours; what is not of its type is left out."""
    return plain_properties(
        read.message_id, read.correlation_id, read.reply_to, read.expiration, read.timestamp, read.priority,
        read.content_type, read.content_encoding, read.delivery_mode, read.headers,
    )  # fmt: skip
