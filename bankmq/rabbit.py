"""A bank's queues on RabbitMQ: consumed, answered and, where a message cannot be served, emptied into `.bo`.

    <prefix><bank>, .ctl ──▶ deliveries ──▶ the front ──▶ reply ──▶ reply_to         acknowledged when the
                                               └───────▶ back_out ──▶ <prefix><bank>.bo   broker has taken it

Fits `bankmq.queue.QueueServer`.  A delivery of a channel that was lost is void: the broker gives it out
again, so a reply to it is dropped.  What becomes of a delivery is decided in `rabbit_core`.
"""

import os
from collections.abc import Callable
from typing import Annotated, Any

from annotated_types import Interval

from bankmq.amqp import AmqpSession, Broker, SessionState
from bankmq.amqp_messages import AmqpMessage, Settled
from bankmq.amqp_names import BankNames, bank_topology
from bankmq.queue import QueueHandler
from bankmq.rabbit_core import (
    Acknowledge,
    Acts,
    Bounds,
    Cancel,
    Confirmed,
    Consume,
    Deliver,
    Notice,
    Often,
    Publish,
    RabbitCore,
    Requeue,
    Rest,
    Returned,
)
from qianzhi.runtime import clock, metrics
from qianzhi.runtime.effects import Count
from qianzhi.runtime.log import get_logger
from qianzhi.runtime.table import table


@table
class RabbitLimits:
    """`prefetch` and `control_prefetch` bound the deliveries in flight on the two queues; a longer message is
    its sender's fault."""

    prefetch: Annotated[int, Interval(ge=1, le=65_535)] = 500
    control_prefetch: Annotated[int, Interval(ge=1, le=65_535)] = 50
    message_bytes_max: Annotated[int, Interval(ge=64, le=16_000_000)] = 65_536
    delivery_limit: Annotated[int, Interval(ge=5, le=10_000)] = 100


class RabbitQueueServer:
    """The queues of one bank, consumed; its exchange, `.bo` and `.dlq` are declared beside them."""

    def __init__(
        self, names: BankNames, broker: Broker, limits: RabbitLimits, reactor: Any, *, one_queue: bool = False
    ) -> None:
        """Nothing is dialled before `start`."""
        self._reactor = reactor
        topology = bank_topology(names, limits.delivery_limit, one_queue)
        self._session = AmqpSession(broker, topology, self, reactor, on_depths=self._on_depths)
        bounds = Bounds(limits.prefetch, limits.control_prefetch, limits.message_bytes_max)
        self._core = RabbitCore(names, bounds, os.urandom(6).hex(), one_queue=one_queue)
        self._handler: QueueHandler | None = None
        self._timer: Any = None
        session = self._session
        self._do: dict[type, Callable[[Any], None]] = {
            Publish: lambda act: session.publish(act.items),
            Acknowledge: lambda act: session.acknowledge(act.tags),
            Requeue: lambda act: session.requeue(act.tags),
            Consume: lambda act: session.consume(act.queue, act.prefetch),
            Cancel: lambda act: session.cancel(act.queue),
            Rest: self._rest,
            Deliver: lambda act: self._tell("on_deliveries", act.items),
            Confirmed: lambda act: self._tell("on_confirmed", act.tags),
            Returned: lambda act: self._tell("on_returned", act.tags),
            Notice: _say,
            Often: _warn,
            Count: lambda act: metrics.count(act.name, act.labels, act.n),
        }

    def start(self, handler: QueueHandler) -> None:
        """Dial the broker, whether it is there or not."""
        self._handler = handler
        self._session.start()

    def reply(self, items: list[tuple[int, bytes]]) -> None:
        """Publish replies to where their deliveries said."""
        self._run(self._core.reply(items, clock.now()))

    def acknowledge(self, tags: list[int]) -> None:
        """Be done with deliveries; those that are void or done already are ignored."""
        self._run(self._core.acknowledge(tags))

    def release(self, tags: list[int]) -> None:
        """Give deliveries back, after a pause in which others may take what waits."""
        self._run(self._core.release(tags))

    def back_out(self, items: list[tuple[int, str]]) -> None:
        """Move deliveries to the backout queue, as (tag, reason)."""
        self._run(self._core.back_out(items))

    def pause(self, queue: str, paused: bool) -> None:
        """Stop or go on consuming the main queue; raises ValueError for any other."""
        self._run(self._core.pause(queue, paused))

    def status(self) -> dict[str, Any]:
        """Return the broker's state in plain words, and how many messages wait in each queue."""
        state = self._session.state
        return {
            "broker": state.text,
            "broker_state": state.name,
            "broker_differs": self._session.differing,
            "queues": self._session.depths,
            "deleted": self._session.deleted,
            **self._core.status(),
        }

    def stop(self) -> Any:
        """Close in order; what is unacknowledged comes again.  Return a Deferred that fires when it is
        done."""
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        return self._session.stop()

    # From the session

    def on_open(self) -> None:
        """Consume."""
        self._run(self._core.on_open())

    def on_messages(self, items: list[AmqpMessage]) -> None:
        """Hand deliveries over, control messages first."""
        self._run(self._core.on_messages(items, clock.now()))

    def on_settled(self, items: list[tuple[Any, Settled]]) -> None:
        """Say which replies have been taken or returned."""
        self._run(self._core.on_settled(items))

    def on_state(self, state: SessionState) -> None:
        """Void the deliveries of a channel that is lost; consume as the broker can be answered."""
        metrics.gauge("qianzhi_broker_ready", (), int(state.name == "ready"))
        self._run(self._core.on_state(state.name))

    def _on_depths(self, depths: dict[str, int]) -> None:
        """Show how many messages wait; raise an alarm when dead letters have come."""
        for queue, n in depths.items():
            metrics.gauge("qianzhi_queue_depth", (queue,), n)
        self._run(self._core.on_depths(depths))

    # Helpers

    def _run(self, acts: Acts) -> None:
        for act in acts:
            self._do[type(act)](act)

    def _rest(self, act: Rest) -> None:
        self._timer = self._reactor.callLater(act.seconds, self._rested)

    def _rested(self) -> None:
        self._run(self._core.on_rested(clock.now()))

    def _tell(self, what: str, items: list[Any]) -> None:
        if self._handler is not None:
            getattr(self._handler, what)(items)


def _say(act: Notice) -> None:
    """Log what has happened, and count its alarms."""
    metrics.count("qianzhi_alarms_total", (act.name,), act.alarms)
    get_logger("bankmq").error("alarm", alarm=act.name, queue=act.queue, n=act.n, do=act.advice)


def _warn(act: Often) -> None:
    get_logger("bankmq").warning(
        "messages come again and again: consumers died over them",
        queue=act.queue,
        n=act.n,
        times=act.times,
        do="see in the logs of its front-ends why they ended",
    )
