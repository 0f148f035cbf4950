"""A session with RabbitMQ: one connection that is made again, a window of confirms, our own account of
returned messages.

    stopped ─▶ connecting ─▶ opening ─▶ ready ⇄ blocked          whatever is lost is opened again,
                   │  ▲          │        │                      after pauses that double
                   ▼  │          ▼        ▼
               unreachable     refused ◀──┘

Everything that one read of the connection completed goes to the handler as one list.  When a channel or its
connection is lost, what it had published is settled as lost and its deliveries are void: the broker gives
them out again.
"""

import itertools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, Protocol

from twisted.application.internet import ClientService
from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.internet.task import LoopingCall

from bankmq.amqp_channel import MISSING, AmqpChannel
from bankmq.amqp_hosts import STRANGER, Broker, Connections, Hosts
from bankmq.amqp_messages import AmqpMessage, Publication, Settled, Topology
from bankmq.amqp_pika import AmqpConnection, parameters
from qianzhi.runtime import clock, metrics
from qianzhi.runtime.log import get_logger

__all__ = ["AmqpHandler", "AmqpSession", "Broker", "SessionState"]

GREETING_SECONDS = 5
LOOK_SECONDS = 1.0
DEPTHS_SECONDS = 10.0
STOP_SECONDS = 3.0
SECOND_US = 1_000_000
OPENING = ("opening", "opening a channel again")
DELETED_SECONDS = 600  # so long is told that a queue was deleted
# What an operator does about a state; we go on trying meanwhile.
ADVICE = {
    "unreachable": "see that RabbitMQ runs there and that the network leads to it",
    "refused": "compare user, password, virtual host and permissions with `qianzhi broker users`",
    "blocked": "free disk or memory on the broker's machine",
}
DELETED_ADVICE = "find out who did; it is declared again, what waited in it is settled by status queries"
REFUSALS = ("ACCESS_REFUSED", "NOT_ALLOWED", "AuthenticationError", "AccessDeniedError", STRANGER)


class SessionState(NamedTuple):
    """Where a session stands, for programs (`name`) and for operators (`text`).

    `name` is one of: stopped, connecting, unreachable, refused, opening, ready, blocked.
    """

    name: str
    text: str


class AmqpHandler(Protocol):
    """Hears what happens on a session; every call brings a list, of what one read completed."""

    def on_open(self) -> None:
        """The topology stands on a new channel: consume now, and publish again what was lost."""

    def on_messages(self, items: list[AmqpMessage]) -> None:
        """Messages of the queues that are consumed."""

    def on_settled(self, items: list[tuple[Any, Settled]]) -> None:
        """Publications by their tickets: taken by the broker, sent back as unroutable, or lost, which says
        nothing about whether they arrived."""

    def on_state(self, state: SessionState) -> None:
        """The session's state has changed; in any but ready and blocked, deliveries so far are void."""


class AmqpSession:
    """One broker, one connection at a time."""

    def __init__(
        self,
        broker: Broker,
        topology: Topology,
        handler: AmqpHandler,
        reactor: Any,
        *,
        on_depths: Callable[[dict[str, int]], None] | None = None,
        quiet: bool = False,
    ) -> None:
        """`on_depths` hears from time to time how many messages wait in each declared queue; a `quiet`
        session leaves it to its handler to say what happens.  Nothing is dialled before `start`."""
        self._on_depths = on_depths
        self._quiet = quiet
        self._said: set[str] = set()  # in the log since the broker last served
        self._broker = broker
        self._topology = topology
        self._handler = handler
        self._reactor = reactor
        self._log = get_logger("broker")
        self._hosts = Hosts(broker, self._on_unreachable, reactor)
        hosts: Any = self._hosts
        connections: Any = Connections(self._new_connection)
        self._service: Any = ClientService(hosts, connections, retryPolicy=self._pause_seconds, clock=reactor)
        self._connection: AmqpConnection | None = None
        self._greeting: AmqpConnection | None = None  # until the broker has let us in
        self._channel: AmqpChannel | None = None
        self._tags: Iterator[int] = itertools.count(1)
        self._accepted: set[str] = set()  # queues that are not as we would have declared them
        self._told = False  # why the channel is about to close
        self.missing: set[str] = set()  # of a passive topology
        self._deleted_us: dict[str, int] = {}  # queues that somebody deleted, and when
        self._unpublished: list[tuple[Any, Settled]] = []
        self._failures = 0
        self._timers: list[Any] = []
        self._calls: set[Any] = set()
        self._turn = False
        self._stopping: Deferred[None] | None = None
        self.state = SessionState("stopped", "not started")

    @property
    def depths(self) -> dict[str, int]:
        """How many messages waited in each declared queue when they were last counted."""
        return dict(self._channel.depths) if self._channel is not None else {}

    @property
    def differing(self) -> list[str]:
        """Queues that are not as we would have declared them, and are used as they stand."""
        return sorted(self._accepted - self.missing)

    @property
    def deleted(self) -> dict[str, int]:
        """How many seconds ago somebody deleted a queue that was consumed, where that was lately."""
        now_us = clock.now().mono_us
        ago = {queue: (now_us - at_us) // SECOND_US for queue, at_us in self._deleted_us.items()}
        return {queue: seconds for queue, seconds in ago.items() if seconds < DELETED_SECONDS}

    @property
    def ready(self) -> bool:
        """Whether messages can be consumed and acknowledged."""
        return self._channel is not None and self._channel.open

    # What may be asked of it

    def start(self) -> None:
        """Dial, and go on dialling whenever the connection is lost."""
        self._show("connecting", f"connecting to {self._hosts.next_name}")
        self._service.startService()
        for seconds, look in ((LOOK_SECONDS, self._look), (DEPTHS_SECONDS, self._count)):
            timer = LoopingCall(look)
            timer.clock = self._reactor
            timer.start(seconds, now=False)
            self._timers.append(timer)

    def stop(self) -> "Deferred[None]":
        """Close in order, so that acknowledgements under way arrive; fires when the connection has gone."""
        if self._stopping is not None:
            return self._stopping
        stopped = self._stopping = Deferred()
        for timer in [*self._timers, *self._calls]:
            timer.stop() if isinstance(timer, LoopingCall) else timer.cancel()
        connection, channel = self._connection, self._channel
        if connection is not None and channel is not None and channel.open:
            late = self._reactor.callLater(STOP_SECONDS, connection.give_up, "the broker did not answer")
            stopped.addBoth(lambda _: late.cancel() if late.active() else None)
            channel.close()
        else:
            self._hang_up()
        self._show("stopped", "stopped")
        return stopped

    def consume(self, queue: str, prefetch: int) -> None:
        """Consume a queue until the channel is lost; at most `prefetch` of its messages unacknowledged."""
        if self._channel is not None and self._channel.open:
            self._channel.consume(queue, prefetch)

    def cancel(self, queue: str) -> None:
        """Consume a queue no more; what has come stays to be acknowledged."""
        if self._channel is not None and self._channel.open:
            self._channel.cancel(queue)

    def publish(self, items: list[Publication]) -> None:
        """Publish, each settled later and never in this call; what has no room in the window waits.

        Without a broker they are settled as lost.
        """
        if self._channel is not None and self._channel.open:
            self._channel.publish(items)
        else:
            self._unpublished += [(item.ticket, "lost") for item in items]
            self._soon(0, self.connection_read)

    def acknowledge(self, tags: list[int]) -> None:
        """Be done with deliveries; those of a channel that is lost are ignored."""
        if self._channel is not None and self._channel.open:
            self._channel.acknowledge(tags)

    def requeue(self, tags: list[int]) -> None:
        """Give deliveries back to their queue."""
        if self._channel is not None and self._channel.open:
            self._channel.requeue(tags)

    # The connection's side

    def connection_open(self, connection: AmqpConnection) -> None:
        """The broker has let us in; one of another cluster is left, and the next host dialled."""
        if stranger := self._hosts.stranger(connection.cluster):
            connection.leave(stranger)  # remembered as greeting still, which is cut off if it stays
            return
        self._connection, self._greeting = connection, None
        self._open_channel()

    def connection_read(self) -> None:
        """Hand over what one read has completed."""
        if self._turn:
            return
        self._turn = True
        try:
            messages, settled = self._channel.take() if self._channel is not None else ([], [])
            settled = self._unpublished + settled
            self._unpublished = []
            if settled:
                self._handler.on_settled(settled)
            if messages:
                self._handler.on_messages(messages)
        finally:
            self._turn = False

    def connection_lost(self, connection: AmqpConnection, reason: str) -> None:
        """Note why; `ClientService` dials again."""
        self._greeting = None
        if self._connection is connection:
            self._connection = None
        if self._stopping is not None:
            return self._hang_up()
        refused = any(word in reason for word in REFUSALS)
        self._show(
            "refused" if refused else "unreachable", f"{self._hosts.name}: {reason.rstrip('.')}; trying again"
        )
        return None

    def depths_known(self, depths: dict[str, int]) -> None:
        """Everything was declared once more, and counted by that."""
        if self._on_depths is not None:
            self._on_depths(dict(depths))

    def connection_blocked(self, reason: str) -> None:
        """The broker takes no publications: its disk or memory is short."""
        self._show("blocked", f"the broker takes nothing from us: {reason}")

    def connection_writable(self) -> None:
        """Go on publishing."""
        if self._channel is not None and self._channel.open:
            if self.state.name == "blocked" and self._connection is not None and not self._connection.blocked:
                self._show("ready", self._ready_text())
            self._channel.flush()

    # The channel's side

    def channel_ready(self) -> None:
        """Everything is declared."""
        self._failures = 0
        if self._connection is not None:
            self._hosts.served(self._connection.cluster)
        self._show("ready", self._ready_text())
        self._handler.on_open()

    def channel_closed(self, reason: str, code: int) -> None:
        """Settle what it had published; open another one, soon where the connection stands."""
        settled = self._channel.take()[1] if self._channel is not None else []
        self._channel = None
        self._unpublished += settled
        self._soon(0, self.connection_read)
        if self._stopping is not None:
            return self._hang_up()
        if self._connection is not None and self._connection.is_open:
            told, self._told = self._told, False
            refused = ("refused", f"the broker refused: {reason}; trying again")
            self._show(*(refused if code and not told else OPENING))
            self._soon(0 if told else self._pause_seconds(0), self._open_channel)
        return None

    def consumer_cancelled(self, queue: str) -> None:
        """Declare everything again on a new channel."""
        self._deleted_us[queue] = clock.now().mono_us
        self._alarm("queue_deleted", queue=queue, broker=self._hosts.name, do=DELETED_ADVICE)
        if self._channel is not None:
            self._channel.close()

    def queue_odd(self, queue: str, reason: str, code: int) -> None:
        """Say once that a queue is not as we would have declared it; the channel is closed over it."""
        self._told = True
        if code == MISSING:
            self.missing.add(queue)
            return
        self._alarm("queue_differs", queue=queue, reason=reason, do="empty and delete it; we declare it anew")

    # Helpers

    def _open_channel(self) -> None:
        connection = self._connection
        if connection is None or not connection.is_open or self._channel is not None or self._stopping:
            return
        self._show("opening", f"declaring queues on {self._hosts.name}")
        self._channel = AmqpChannel(
            connection,
            self._topology,
            self,
            confirms_max=self._broker.confirms_max,
            tags=self._tags,
            accepted=self._accepted,
        )

    def _new_connection(self) -> AmqpConnection:
        broker = self._broker
        how = parameters(
            broker.user, broker.password, broker.vhost, broker.heartbeat_seconds, broker.blocked_seconds
        )
        self._greeting = AmqpConnection(how, self, self._reactor)
        return self._greeting

    def _on_unreachable(self, name: str, reason: str) -> None:
        if self._stopping is None:
            self._show("unreachable", f"{name}: {reason.rstrip('.')}; trying again")

    def _pause_seconds(self, _failed_attempts: int) -> float:
        """Count our own failures: a broker that lets us in and then refuses is not dialled at once again."""
        metrics.count("qianzhi_reconnects_total", ("broker",))
        seconds = self._broker.retry_seconds * 2 ** min(self._failures, 20)
        self._failures += 1
        return float(min(seconds, self._broker.retry_seconds_max))

    def _look(self) -> None:
        """Leave a connection whose broker says nothing, or confirms nothing and does not say why.

        pika would notice the silence, by its own count, up to fifteen seconds later.
        """
        connection, now_us = self._connection, clock.now().mono_us
        greeting = self._greeting
        if greeting is not None and now_us - greeting.made_us > GREETING_SECONDS * SECOND_US:
            greeting.give_up(f"it did not greet us as a broker within {GREETING_SECONDS} seconds")
        if connection is None:
            return
        silent_seconds = 2 * self._broker.heartbeat_seconds
        if now_us - connection.heard_us > silent_seconds * SECOND_US:
            connection.give_up(f"nothing was heard for {silent_seconds} seconds")
        oldest_us = self._channel.oldest_us if self._channel is not None else None
        if oldest_us is None or connection.blocked:
            return
        if now_us - oldest_us > self._broker.blocked_seconds * SECOND_US:
            connection.give_up(f"nothing was confirmed for {self._broker.blocked_seconds} seconds")

    def _count(self) -> None:
        if self._channel is not None and self._channel.open:
            self._channel.declare_again(self._topology)

    def _ready_text(self) -> str:
        other = f"; not as declared: {', '.join(self.differing)}" if self.differing else ""
        return f"connected to {self._hosts.name}{other}"

    def _show(self, name: str, text: str) -> None:
        state = SessionState(name, text)
        if state == self.state:
            return
        self.state = state
        # Hosts that are dialled in turn fail in turn: each reason is said once until the broker serves again.
        if not self._quiet and text not in self._said:
            self._said.add(text)
            good = name in ("ready", "stopped", "connecting", "opening")
            advice = {} if good else {"do": ADVICE[name]}
            (self._log.info if good else self._log.warning)("broker", state=name, text=text, **advice)
        if name == "ready":
            self._said.clear()
        self._handler.on_state(state)

    def _alarm(self, name: str, **fields: str) -> None:
        metrics.count("qianzhi_alarms_total", (name,))
        if not self._quiet:
            self._log.error("alarm", alarm=name, **fields)

    def _soon(self, seconds: float, call: Any) -> None:
        def go() -> None:
            self._calls.discard(timer)
            call()

        if self._stopping is None:
            timer = self._reactor.callLater(seconds, go)
            self._calls.add(timer)

    def _hang_up(self) -> None:
        """The channel is closed, or there is none: end the connection and dial no more."""
        stopped = self._stopping
        if self._connection is not None and self._connection.is_open:
            self._connection.close()
            return
        if stopped is not None and not stopped.called:
            ended = maybeDeferred(self._service.stopService) if self._service.running else succeed(None)
            ended.addBoth(lambda _: None if stopped.called else stopped.callback(None))
