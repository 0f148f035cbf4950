"""What becomes of a bank's deliveries on RabbitMQ: which are in flight, which are finished, given back or put
aside, and when the main queue is consumed (money rules 8 and 9).

Pure.  A delivery of a channel that was lost is void: the broker gives it out again, so a reply to it is
dropped.  Nothing is decided here about what a message asks.
"""

from typing import Any, NamedTuple

from bankmq.amqp_messages import AmqpMessage, Properties, Publication, Settled
from bankmq.amqp_names import BankNames
from bankmq.queue import CONTROL_SUFFIX, Delivery
from bankmq.rabbit_delivery import delivery_of
from qianzhi.runtime.effects import Count
from qianzhi.runtime.now import Now

RELEASE_SECONDS = 2.0
REQUEUES_MAX = 20  # after so many a released delivery waits here: the broker counts them against its limit
REPLY_MS = 86_400_000  # a reply that nobody has fetched for a day is an answer to nobody

BACKOUT_ADVICE = "tell the bank; `qianzhi-reason` in a message's headers says why; publish none again unread"
DEAD_ADVICE = "expired, or given out too often: the bank asks for their status; publish none again"

REPLY = "reply"
BACKOUT = "backout"
SERVED = ("ready", "blocked")  # states of a session in which deliveries are ours
MESSAGES = "qianzhi_queue_messages_total"


class Bounds(NamedTuple):
    """How many deliveries of each queue may be in flight, and how long one may be."""

    prefetch: int
    control_prefetch: int
    message_bytes_max: int


class Publish(NamedTuple):
    """Publish these; each is settled later."""

    items: list[Publication]


class Acknowledge(NamedTuple):
    """Tell the broker that these deliveries are finished."""

    tags: list[int]


class Requeue(NamedTuple):
    """Give these deliveries back to the broker."""

    tags: list[int]


class Consume(NamedTuple):
    """Consume a queue, where that is not done already."""

    queue: str
    prefetch: int


class Cancel(NamedTuple):
    """Consume a queue no more."""

    queue: str


class Rest(NamedTuple):
    """Call `on_rested` after so long."""

    seconds: float


class Deliver(NamedTuple):
    """Hand deliveries to the front, control messages first."""

    items: list[Delivery]


class Confirmed(NamedTuple):
    """Tell the front that the broker has taken the replies to these."""

    tags: list[int]


class Returned(NamedTuple):
    """Tell the front that the replies to these cannot reach their asker."""

    tags: list[int]


class Notice(NamedTuple):
    """Raise an alarm, counted `alarms` times: what happened to `n` messages of a queue, and what to do."""

    name: str
    queue: str
    n: int
    advice: str
    alarms: int = 1


class Often(NamedTuple):
    """Warn of `n` messages that come again and again, up to `times` times."""

    queue: str
    n: int
    times: int


Act = (
    Publish
    | Acknowledge
    | Requeue
    | Consume
    | Cancel
    | Rest
    | Deliver
    | Confirmed
    | Returned
    | Notice
    | Often
    | Count
)
Acts = list[Act]


class RabbitCore:
    """The deliveries of one bank's queues, over all channels of one session."""

    def __init__(self, names: BankNames, bounds: Bounds, run: str, *, one_queue: bool = False) -> None:
        """`run` tells this run's replies from those of others."""
        self._names = names
        self._bounds = bounds
        self._queues = (names.main,) if one_queue else (names.main, names.control)
        self._messages: dict[int, AmqpMessage] = {}  # in flight
        self._released: list[int] = []
        self._resting = False
        self._paused = False
        self._state = "stopped"
        self._dead = -1  # in .dlq, when last counted
        self._run = run
        self._replies = 0

    @property
    def in_flight(self) -> dict[int, AmqpMessage]:
        """The deliveries that are not finished."""
        return self._messages

    def status(self) -> dict[str, Any]:
        """Return figures for the status command."""
        failures = [message.failures for message in self._messages.values()]
        return {
            "unanswered": len(self._messages),
            "again": sum(1 for times in failures if times),
            "again_most": max(failures, default=0),
        }

    # What the front asks

    def reply(self, items: list[tuple[int, bytes]], now: Now) -> Acts:
        """Publish replies to where their deliveries said; the correlation id is the message's own id, empty
        where it had none."""
        publications = []
        for tag, body in items:
            asked = self._messages.get(tag)
            if asked is None:
                continue
            self._replies += 1
            properties = Properties(
                message_id=f"{self._run}-{self._replies:x}",
                correlation_id=asked.properties.message_id or "",
                content_type=asked.properties.content_type,
                content_encoding=asked.properties.content_encoding,
                priority=asked.properties.priority,
                expiration_ms=REPLY_MS,
                timestamp=now.wall_us // 1_000_000,
                persistent=asked.properties.persistent,
            )
            to = asked.properties.reply_to or ""
            publications.append(Publication((REPLY, tag), "", to, body, properties))
        return [*self._void(len(items) - len(publications)), Publish(publications)]

    def acknowledge(self, tags: list[int]) -> Acts:
        """Be done with deliveries; those that are void or done already are ignored."""
        known = [tag for tag in tags if self._messages.pop(tag, None) is not None]
        return [Acknowledge(known)] if known else []

    def release(self, tags: list[int]) -> Acts:
        """Give deliveries back, after a pause in which others may take what waits: whatever kept us from
        answering would keep us again at once."""
        self._released += [tag for tag in tags if tag in self._messages]
        if not self._released or self._resting:
            return []
        self._resting = True
        return [Rest(RELEASE_SECONDS), *self._consumers()]

    def back_out(self, items: list[tuple[int, str]]) -> Acts:
        """Move deliveries to the backout queue, as (tag, reason); they are acknowledged when the broker has
        taken them there."""
        publications = []
        for tag, reason in items:
            asked = self._messages.get(tag)
            if asked is None:
                continue
            headers: dict[str, str | int] = {"qianzhi-reason": reason, "qianzhi-queue": asked.queue}
            properties = asked.properties._replace(headers=headers, expiration_ms=None, persistent=True)
            publications.append(Publication((BACKOUT, tag), "", self._names.backout, asked.body, properties))
        return [*self._void(len(items) - len(publications)), Publish(publications)]

    def pause(self, queue: str, paused: bool) -> Acts:
        """Stop or go on consuming the main queue; raises ValueError for any other."""
        if queue != self._names.main:
            raise ValueError(f"only {self._names.main} can be paused, not {queue}")
        self._paused = paused
        return self._consumers()

    # What the session says

    def on_open(self) -> Acts:
        """Consume: the topology stands on a new channel."""
        return self._consumers()

    def on_messages(self, items: list[AmqpMessage], now: Now) -> Acts:
        """Hand deliveries over, control messages first."""
        acts: Acts = [self._count("read", len(items))]
        for message in items:
            self._messages[message.tag] = message
        often = [message.failures for message in items if message.failures > REQUEUES_MAX]
        if often:  # more than we give back ourselves
            acts.append(Often(self._names.main, len(often), max(often)))
        deliveries = self._deliveries(items, now)
        deliveries.sort(key=lambda delivery: not delivery.queue.endswith(CONTROL_SUFFIX))
        return [*acts, Deliver(deliveries)]

    def on_settled(self, items: list[tuple[Any, Settled]]) -> Acts:
        """Say which replies have been taken or returned.

        What the broker did not take while the delivery is still ours is released, and so answered again.
        """
        known = [(what, tag, end) for (what, tag), end in items if tag in self._messages]
        confirmed = [tag for what, tag, end in known if what == REPLY and end == "confirmed"]
        returned = [tag for what, tag, end in known if what == REPLY and end == "returned"]
        moved = [tag for what, tag, end in known if what == BACKOUT and end == "confirmed"]
        failed = [tag for what, tag, end in known if end == "lost" or (what, end) == (BACKOUT, "returned")]
        acts: Acts = []
        if moved:
            n = len(moved)
            acts += [
                self._count("backed_out", n),
                Notice("message_backed_out", self._names.backout, n, BACKOUT_ADVICE, n),
                *self.acknowledge(moved),
            ]
        if failed:
            acts += self.release(failed)
        if confirmed:
            acts += [self._count("answered", len(confirmed)), Confirmed(confirmed)]
        if returned:
            acts += [
                self._count("returned", len(returned)),
                Count("qianzhi_alarms_total", ("reply_returned",), len(returned)),
                Returned(returned),
            ]
        return acts

    def on_state(self, name: str) -> Acts:
        """Void the deliveries of a channel that is lost; stop and go on consuming as the broker can be
        answered."""
        self._state = name
        if name not in SERVED:
            self._messages.clear()
            self._released.clear()
        return self._consumers()

    def on_depths(self, depths: dict[str, int]) -> Acts:
        """Raise an alarm when dead letters have come."""
        dead = depths.get(self._names.dead, 0)
        before, self._dead = self._dead, dead
        return [Notice("dead_letters", self._names.dead, dead, DEAD_ADVICE)] if dead > max(before, 0) else []

    def on_rested(self, now: Now) -> Acts:
        """Requeue what was released; what was requeued too often already is handed over again from here, so
        that an outage of ours never pushes a good message over the broker's limit."""
        self._resting = False
        released = [self._messages[tag] for tag in self._released if tag in self._messages]
        self._released.clear()
        requeued = [message.tag for message in released if message.failures < REQUEUES_MAX]
        for tag in requeued:
            del self._messages[tag]
        kept = [message for message in released if message.failures >= REQUEUES_MAX]
        acts: Acts = [Requeue(requeued)] if requeued else []
        acts += self._consumers()
        return [*acts, Deliver(self._deliveries(kept, now))] if kept else acts

    # Helpers

    def _consumers(self) -> Acts:
        """The control queue is always consumed; the main one while nothing speaks against it.  A broker that
        takes no replies is given nothing more to be answered."""
        rests = self._paused or self._resting or self._state == "blocked"
        acts: Acts = []
        for queue in self._queues:
            if queue != self._names.main:
                acts.append(Consume(queue, self._bounds.control_prefetch))
            else:
                acts.append(Cancel(queue) if rests else Consume(queue, self._bounds.prefetch))
        return acts

    def _deliveries(self, messages: list[AmqpMessage], now: Now) -> list[Delivery]:
        bytes_max = self._bounds.message_bytes_max
        return [delivery_of(message, self._names, bytes_max, now.wall_us) for message in messages]

    def _void(self, n: int) -> Acts:
        return [self._count("void", n)] if n else []

    def _count(self, what: str, n: int) -> Count:
        return Count(MESSAGES, (self._names.main, what), n)
