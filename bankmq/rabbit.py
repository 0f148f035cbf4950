"""A bank's queues on RabbitMQ; fits `bankmq.queue.QueueServer`."""

from typing import Annotated, Any

from annotated_types import Interval

from bankmq.amqp import Broker
from bankmq.amqp_names import BankNames
from bankmq.queue import QueueHandler
from qianzhi.runtime.table import table


@table
class RabbitLimits:
    """`prefetch` bounds the deliveries in flight on each queue; a longer message is its sender's fault."""

    prefetch: Annotated[int, Interval(ge=1, le=65_535)] = 500
    message_bytes_max: Annotated[int, Interval(ge=64, le=16_000_000)] = 65_536
    delivery_limit: Annotated[int, Interval(ge=5, le=10_000)] = 100


class RabbitQueueServer:
    """The queues of one bank, consumed; its exchange, `.bo` and `.dlq` are declared beside them."""

    def __init__(
        self, names: BankNames, broker: Broker, limits: RabbitLimits, reactor: Any, *, one_queue: bool = False
    ) -> None:
        """Nothing is dialled before `start`."""
        raise NotImplementedError

    def start(self, handler: QueueHandler) -> None:
        """Dial the broker, whether it is there or not."""

    def reply(self, items: list[tuple[int, bytes]]) -> None:
        """Publish replies to where their deliveries said."""

    def acknowledge(self, tags: list[int]) -> None:
        """Be done with deliveries."""

    def release(self, tags: list[int]) -> None:
        """Give deliveries back after a pause."""

    def back_out(self, items: list[tuple[int, str]]) -> None:
        """Move deliveries to the backout queue, as (tag, reason)."""

    def pause(self, queue: str, paused: bool) -> None:
        """Stop or go on consuming the main queue."""

    def status(self) -> dict[str, Any]:
        """Return the broker's state in plain words, and the depths of the queues."""
        return {}

    def stop(self) -> None:
        """Close in order; what is unacknowledged comes again."""
