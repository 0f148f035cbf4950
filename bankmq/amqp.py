"""A session with RabbitMQ: one connection that is made again, a window of confirms, our own account of
returned messages.
"""

from typing import Any, NamedTuple, Protocol

from twisted.internet.defer import Deferred

from bankmq.amqp_messages import AmqpMessage, Publication, Settled, Topology


class Broker(NamedTuple):
    """How to reach RabbitMQ: `hosts` are dialled in turn; `tls` makes a connection creator of a host's name
    (None: in the clear)."""

    hosts: tuple[tuple[str, int], ...]
    vhost: str
    user: str
    password: str
    heartbeat_seconds: int = 10
    blocked_seconds: int = 60
    confirms_max: int = 1_000
    retry_seconds: float = 0.2  # the first pause before dialling again; it doubles up to `retry_seconds_max`
    retry_seconds_max: float = 5.0
    tls: Any = None


class SessionState(NamedTuple):
    """Where a session stands, for programs (`name`) and for operators (`text`).

    `name` is one of: stopped, connecting, unreachable, refused, opening, ready, blocked.
    """

    name: str
    text: str


class AmqpHandler(Protocol):
    """Hears what happens on a session; every call brings a list, of what one read completed."""

    def on_open(self) -> None:
        """The topology stands on a new connection: consume now, and publish again what was lost."""

    def on_messages(self, items: list[AmqpMessage]) -> None:
        """Messages of the queues that are consumed."""

    def on_settled(self, items: list[tuple[Any, Settled]]) -> None:
        """Publications by their tickets: taken by the broker, sent back as unroutable, or lost with the
        connection, which says nothing about whether they arrived."""

    def on_state(self, state: SessionState) -> None:
        """The session's state has changed; deliveries of a connection that is lost are void."""


class AmqpSession:
    """One broker, one connection at a time."""

    def __init__(self, broker: Broker, topology: Topology, handler: AmqpHandler, reactor: Any) -> None:
        """Nothing is dialled before `start`."""
        raise NotImplementedError

    state: SessionState

    def start(self) -> None:
        """Dial, and go on dialling whenever the connection is lost."""

    def stop(self) -> "Deferred[None]":
        """Close in order, so that acknowledgements under way arrive; fires when the connection has gone."""
        raise NotImplementedError

    def consume(self, queue: str, prefetch: int) -> None:
        """Consume a queue until the connection is lost; at most `prefetch` of its messages
        unacknowledged."""

    def cancel(self, queue: str) -> None:
        """Consume a queue no more; what has come stays to be acknowledged."""

    def publish(self, items: list[Publication]) -> None:
        """Publish, each settled later and never in this call; what has no room in the window waits."""

    def acknowledge(self, tags: list[int]) -> None:
        """Be done with deliveries; those of a connection that is lost are ignored."""

    def requeue(self, tags: list[int]) -> None:
        """Give deliveries back to their queue."""
