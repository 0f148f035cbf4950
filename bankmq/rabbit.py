"""A bank's queues on RabbitMQ: consumed, answered and, where a message cannot be served, emptied into `.bo`.

    <prefix><bank>, .ctl ──▶ deliveries ──▶ the front ──▶ reply ──▶ reply_to         acknowledged when the
                                               └───────▶ back_out ──▶ <prefix><bank>.bo   broker has taken it

Fits `bankmq.queue.QueueServer`.  A delivery of a channel that was lost is void: the broker gives it out
again, so a reply to it is dropped.  Nothing is decided here about what a message asks.
"""

import os
from typing import Annotated, Any

from annotated_types import Interval

from bankmq.amqp import AmqpSession, Broker, SessionState
from bankmq.amqp_messages import AmqpMessage, Properties, Publication, Settled
from bankmq.amqp_names import BankNames, bank_topology
from bankmq.queue import CONTROL_SUFFIX, Delivery, QueueHandler
from bankmq.rabbit_delivery import delivery_of
from qianzhi.runtime import clock, metrics
from qianzhi.runtime.log import get_logger
from qianzhi.runtime.table import table

RELEASE_SECONDS = 2.0
REQUEUES_MAX = 20  # after so many a released delivery waits here: the broker counts them against its limit
REPLY_MS = 86_400_000  # a reply that nobody has fetched for a day is an answer to nobody

BACKOUT_ADVICE = "tell the bank; `qianzhi-reason` in a message's headers says why; publish none again unread"
DEAD_ADVICE = "expired, or given out too often: the bank asks for their status; publish none again"

REPLY = "reply"
BACKOUT = "backout"


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
        self._names = names
        self._limits = limits
        self._reactor = reactor
        topology = bank_topology(names, limits.delivery_limit, one_queue)
        self._session = AmqpSession(broker, topology, self, reactor, on_depths=self._on_depths)
        self._queues = (names.main,) if one_queue else (names.main, names.control)
        self._handler: QueueHandler | None = None
        self._messages: dict[int, AmqpMessage] = {}  # in flight
        self._released: list[int] = []
        self._timer: Any = None
        self._paused = False
        self._dead = -1  # in .dlq, when last counted
        self._run = os.urandom(6).hex()
        self._replies = 0

    def start(self, handler: QueueHandler) -> None:
        """Dial the broker, whether it is there or not."""
        self._handler = handler
        self._session.start()

    def reply(self, items: list[tuple[int, bytes]]) -> None:
        """Publish replies to where their deliveries said; the correlation id is the message's own id, empty
        where it had none."""
        publications = []
        for tag, body in items:
            asked = self._messages.get(tag)
            if asked is None:
                self._count("void")
                continue
            self._replies += 1
            properties = Properties(
                message_id=f"{self._run}-{self._replies:x}",
                correlation_id=asked.properties.message_id or "",
                content_type=asked.properties.content_type,
                content_encoding=asked.properties.content_encoding,
                priority=asked.properties.priority,
                expiration_ms=REPLY_MS,
                timestamp=clock.now().wall_us // 1_000_000,
                persistent=asked.properties.persistent,
            )
            publications.append(
                Publication((REPLY, tag), "", asked.properties.reply_to or "", body, properties)
            )
        self._session.publish(publications)

    def acknowledge(self, tags: list[int]) -> None:
        """Be done with deliveries; those that are void or done already are ignored."""
        known = [tag for tag in tags if self._messages.pop(tag, None) is not None]
        if known:
            self._session.acknowledge(known)

    def release(self, tags: list[int]) -> None:
        """Give deliveries back, after a pause in which others may take what waits: whatever kept us from
        answering would keep us again at once."""
        self._released += [tag for tag in tags if tag in self._messages]
        if self._released and self._timer is None:
            self._timer = self._reactor.callLater(RELEASE_SECONDS, self._give_back)
            self._set_consumers()

    def back_out(self, items: list[tuple[int, str]]) -> None:
        """Move deliveries to the backout queue, as (tag, reason); they are acknowledged when the broker has
        taken them there."""
        publications = []
        for tag, reason in items:
            asked = self._messages.get(tag)
            if asked is None:
                self._count("void")
                continue
            headers: dict[str, str | int] = {"qianzhi-reason": reason, "qianzhi-queue": asked.queue}
            properties = asked.properties._replace(headers=headers, expiration_ms=None, persistent=True)
            publications.append(Publication((BACKOUT, tag), "", self._names.backout, asked.body, properties))
        self._session.publish(publications)

    def pause(self, queue: str, paused: bool) -> None:
        """Stop or go on consuming the main queue; raises ValueError for any other."""
        if queue != self._names.main:
            raise ValueError(f"only {self._names.main} can be paused, not {queue}")
        self._paused = paused
        self._set_consumers()

    def status(self) -> dict[str, Any]:
        """Return the broker's state in plain words, and how many messages wait in each queue."""
        state = self._session.state
        return {
            "broker": state.text,
            "broker_state": state.name,
            "broker_differs": self._session.differing,
            "queues": self._session.depths,
            "unanswered": len(self._messages),
            "deleted": self._session.deleted,
            "again": sum(1 for message in self._messages.values() if message.failures),
            "again_most": max((message.failures for message in self._messages.values()), default=0),
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
        self._set_consumers()

    def on_messages(self, items: list[AmqpMessage]) -> None:
        """Hand deliveries over, control messages first."""
        now_us = clock.now().wall_us
        deliveries = []
        for message in items:
            self._messages[message.tag] = message
            deliveries.append(delivery_of(message, self._names, self._limits.message_bytes_max, now_us))
        self._count("read", len(items))
        often = [message.failures for message in items if message.failures > REQUEUES_MAX]
        if often:  # more than we give back ourselves
            get_logger("bankmq").warning(
                "messages come again and again: consumers died over them", queue=self._names.main,
                n=len(often), times=max(often), do="see in the logs of its front-ends why they ended",
            )  # fmt: skip
        deliveries.sort(key=lambda delivery: not delivery.queue.endswith(CONTROL_SUFFIX))
        self._hand_over(deliveries)

    def on_settled(self, items: list[tuple[Any, Settled]]) -> None:
        """Say which replies have been taken or returned.

        What the broker did not take while the delivery is still ours is released, and so answered again.
        """
        known = [(what, tag, end) for (what, tag), end in items if tag in self._messages]
        confirmed = [tag for what, tag, end in known if what == REPLY and end == "confirmed"]
        returned = [tag for what, tag, end in known if what == REPLY and end == "returned"]
        moved = [tag for what, tag, end in known if what == BACKOUT and end == "confirmed"]
        failed = [tag for what, tag, end in known if end == "lost" or (what, end) == (BACKOUT, "returned")]
        if moved:
            self._count("backed_out", len(moved))
            self._alarm("message_backed_out", self._names.backout, len(moved), BACKOUT_ADVICE, len(moved))
            self.acknowledge(moved)
        if failed:
            self.release(failed)
        if self._handler is not None and confirmed:
            self._count("answered", len(confirmed))
            self._handler.on_confirmed(confirmed)
        if self._handler is not None and returned:
            self._count("returned", len(returned))
            metrics.count("qianzhi_alarms_total", ("reply_returned",), len(returned))
            self._handler.on_returned(returned)

    def on_state(self, state: SessionState) -> None:
        """Void the deliveries of a channel that is lost; stop and go on consuming as the broker can be
        answered."""
        if state.name not in ("ready", "blocked"):
            self._messages.clear()
            self._released.clear()
        metrics.gauge("qianzhi_broker_ready", (), int(state.name == "ready"))
        self._set_consumers()

    def _on_depths(self, depths: dict[str, int]) -> None:
        """Show how many messages wait; raise an alarm when dead letters have come."""
        for queue, n in depths.items():
            metrics.gauge("qianzhi_queue_depth", (queue,), n)
        dead = depths.get(self._names.dead, 0)
        if dead > max(self._dead, 0):
            self._alarm("dead_letters", self._names.dead, dead, DEAD_ADVICE)
        self._dead = dead

    # Helpers

    def _set_consumers(self) -> None:
        """The control queue is always consumed; the main one while nothing speaks against it.  A broker that
        takes no replies is given nothing more to be answered."""
        if not self._session.ready:
            return
        for queue in self._queues:
            rests = self._paused or self._timer is not None or self._session.state.name == "blocked"
            if queue != self._names.main:
                self._session.consume(queue, self._limits.control_prefetch)
            elif rests:
                self._session.cancel(queue)
            else:
                self._session.consume(queue, self._limits.prefetch)

    def _give_back(self) -> None:
        """Requeue what was released; what was requeued too often already is handed over again from here, so
        that an outage of ours never pushes a good message over the broker's limit."""
        self._timer = None
        released = [self._messages[tag] for tag in self._released if tag in self._messages]
        self._released.clear()
        requeued = [message.tag for message in released if message.failures < REQUEUES_MAX]
        for tag in requeued:
            del self._messages[tag]
        self._session.requeue(requeued)
        self._set_consumers()
        now_us = clock.now().wall_us
        bytes_max = self._limits.message_bytes_max
        kept = [message for message in released if message.failures >= REQUEUES_MAX]
        self._hand_over([delivery_of(message, self._names, bytes_max, now_us) for message in kept])

    def _hand_over(self, deliveries: list[Delivery]) -> None:
        if self._handler is not None and deliveries:
            self._handler.on_deliveries(deliveries)

    def _alarm(self, name: str, queue: str, n: int, advice: str, times: int = 1) -> None:
        metrics.count("qianzhi_alarms_total", (name,), times)
        get_logger("bankmq").error("alarm", alarm=name, queue=queue, n=n, do=advice)

    def _count(self, what: str, n: int = 1) -> None:
        metrics.count("qianzhi_queue_messages_total", (self._names.main, what), n)
