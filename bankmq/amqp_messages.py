"""What goes over an AMQP session, as plain data, and what a message's properties mean to us.  Pure.

The mapping of a queue message (PROTOCOLS 6.3): the message id and the correlation id are strings of the
sender's choice, `reply_to` names a queue on the default exchange, `expiration` counts milliseconds from the
moment of publishing, which `timestamp` tells in whole seconds.
"""

from collections.abc import Hashable
from typing import Literal, NamedTuple

DIRECT_REPLY = "amq.rabbitmq.reply-to"
SECOND_US = 1_000_000

Settled = Literal["confirmed", "returned", "lost"]


class Properties(NamedTuple):
    """The properties that we use; a text of None is absent, and empty where it was sent empty."""

    message_id: str | bytes | None = None
    correlation_id: str | bytes | None = None
    reply_to: str | None = None
    expiration_ms: int | None = None
    timestamp: int | None = None
    priority: int | None = None
    content_type: str | None = None
    content_encoding: str | None = None
    persistent: bool = True
    headers: dict[str, str | int] = {}  # noqa: RUF012  # never changed


class AmqpMessage(NamedTuple):
    """One message as it was delivered.

    `tag` is the session's own number of this delivery, never used twice; `failures` how often it was given to
    a consumer before without being acknowledged (x-delivery-count).
    """

    tag: int
    queue: str
    body: bytes
    properties: Properties
    failures: int


class Publication(NamedTuple):
    """One message to publish, persistent and mandatory; `ticket` names it to who published it.

    `properties.message_id` is by what a returned message is known again, so it is never absent.
    """

    ticket: Hashable
    exchange: str
    routing_key: str
    body: bytes
    properties: Properties


class Queue(NamedTuple):
    """A queue to declare.  An `exclusive` one is its connection's own and ends with it; others are quorum
    queues."""

    name: str
    arguments: dict[str, str | int]
    exclusive: bool = False


class Topology(NamedTuple):
    """What must stand before anything is consumed: direct exchanges, queues, and (queue, exchange, key).

    Where it is `passive` nothing is made: queues are only looked at, and those that are missing told.
    """

    exchanges: tuple[str, ...] = ()
    queues: tuple[Queue, ...] = ()
    bindings: tuple[tuple[str, str, str], ...] = ()
    passive: bool = False
