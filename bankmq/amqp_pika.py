"""pika's Twisted connection, with what it lacks: back-pressure, the blocked state, the reason of a refusal.

pika is touched here and in `amqp_channel` alone.  Four things are put right:

* It writes whatever the transport holds already; here the transport tells when it has enough.
* `connection.blocked` and the error of a failed opening stand only on its private connection object.
* It leaves a dead connection by flushing it, which waits for ever for a peer that reads nothing.
* One value in a bank's headers that Python's types cannot hold (a time past the year 9999, a float that is no
  number) ends the parsing of everything, and the message comes again and again: such headers are skipped.
"""

import logging
import struct
from collections.abc import Callable
from decimal import DecimalException
from typing import Any, Protocol

import pika.data
import pika.exceptions
from pika import ConnectionParameters, PlainCredentials
from pika.adapters.twisted_connection import TwistedProtocolConnection
from twisted.internet.interfaces import IPushProducer
from twisted.python.failure import Failure
from zope.interface import implementer  # type: ignore[import-untyped]

from bankmq.amqp_messages import Publication
from bankmq.amqp_wire import BrokenError, Confirmed, Delivered, Item, Others, publication, split
from qianzhi.runtime import clock

Taker = Callable[[Delivered | Confirmed], bool]
UNREADABLE_HEADERS = "unreadable"
ABORT_SECONDS = 2.0

# What pika raises over bytes that are not AMQP as it knows it, besides its own errors.
_MALFORMED = (
    pika.exceptions.AMQPError,
    struct.error,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    ArithmeticError,
    AssertionError,
    RecursionError,
)

# Its lines would repeat ours in its own words, and some of them show bodies.
logging.getLogger("pika").addHandler(logging.NullHandler())
logging.getLogger("pika").propagate = False


class Owner(Protocol):
    """Who a connection belongs to."""

    def connection_open(self, connection: "AmqpConnection") -> None:
        """The broker has let us in."""

    def connection_read(self) -> None:
        """One read has been worked through."""

    def connection_lost(self, connection: "AmqpConnection", reason: str) -> None:
        """It has gone, whether it was open or not; called once."""

    def connection_blocked(self, reason: str) -> None:
        """The broker takes no publications."""

    def connection_writable(self) -> None:
        """The broker takes publications again, or the transport takes bytes again."""


@implementer(IPushProducer)
class AmqpConnection(TwistedProtocolConnection):  # type: ignore[misc]  # pika has no types
    """One connection to a broker."""

    def __init__(self, parameters: ConnectionParameters, owner: Owner, reactor: Any) -> None:
        super().__init__(parameters, custom_reactor=reactor)
        self._owner = owner
        self._reactor = reactor
        self._reason = ""
        self._aborting: Any = None
        self._full = False
        self.blocked = False
        self._takers: dict[int, Taker] = {}
        self._rest = b""  # of a frame, or a message, that has not come whole
        self._broken = False  # what came is no AMQP, so that pika gets all
        self.made_us = self.heard_us = clock.now().mono_us
        self.ready.addErrback(lambda _: None)
        self._impl._adapter_disconnect_stream = self._disconnect
        self._impl.add_on_connection_blocked_callback(self._on_blocked)
        self._impl.add_on_connection_unblocked_callback(self._on_unblocked)

    @property
    def cluster(self) -> str:
        """The name of the cluster that the broker says it is of; empty when it names none."""
        name = (self._impl.server_properties or {}).get("cluster_name", "")
        return name if isinstance(name, str) else ""

    @property
    def writable(self) -> bool:
        """Whether publications may go out: the broker takes them, and the transport is not full."""
        return not self.blocked and not self._full

    def open_channel(self, on_open: Any) -> Any:
        """Open a channel; `on_open` is called with pika's bare channel, whose callbacks cost no Deferred."""
        return self._impl.channel(None, on_open)

    def give_up(self, reason: str) -> None:
        """Cut the connection off at once; `connection_lost` follows."""
        self._reason = self._reason or reason
        if self.transport is not None:
            self.transport.abortConnection()

    def leave(self, reason: str) -> None:
        """Close in order, for a reason of ours; `connection_lost` follows."""
        self._reason = self._reason or reason
        self.close()

    # Twisted's side

    def makeConnection(self, transport: Any) -> None:
        """Begin the handshake, and let the transport tell when it has enough."""
        transport.registerProducer(self, True)
        super().makeConnection(transport)

    def dataReceived(self, data: bytes) -> None:
        """Parse what came, then let the owner work on all of it at once."""
        self.heard_us = clock.now().mono_us
        try:
            self._read(self._rest + data if self._rest else data)
        except _MALFORMED as error:
            self.give_up(f"the broker sent what cannot be read ({type(error).__name__})")
        self._owner.connection_read()

    def _read(self, data: bytes) -> None:
        """Take messages and confirms out of what came, and give pika the rest, a whole frame at least."""
        items: list[Item] = [Others(0, len(data))]
        self._rest = b""
        if not self._broken:
            try:
                items, stop = split(data, pika.data.decode_table)
                self._rest = data[stop:]
            except BrokenError:
                self._broken = True
        for item in items:
            if isinstance(item, Others) or not self._taken(item):
                super().dataReceived(data[item.start : item.stop])

    def _taken(self, item: Delivered | Confirmed) -> bool:
        taker = self._takers.get(item.channel)
        if taker is None or not taker(item):
            return False
        self._impl.bytes_received += item.stop - item.start  # by which a dead broker is known
        self._impl.frames_received += 1
        return True

    def take_on(self, channel: int, taker: Taker | None) -> None:
        """Give a channel's messages and confirms to `taker` as far as it says that they are its own; None
        for no more."""
        if taker is None:
            self._takers.pop(channel, None)
        else:
            self._takers[channel] = taker

    def publish(self, channel: int, item: Publication) -> bool:
        """Write a publication; False where pika has to."""
        frames = publication(channel, item, self._impl._body_max_length)
        if frames is not None:
            self._impl._output_marshaled_frames([frames])
        return frames is not None

    def connectionLost(self, reason: Failure) -> None:
        """Tell the owner, with the first reason that was given."""
        if self._aborting is not None and self._aborting.active():
            self._aborting.cancel()
        super().connectionLost(reason)
        self._owner.connection_lost(self, self._reason or reason.getErrorMessage())

    def pauseProducing(self) -> None:
        """The transport has enough."""
        self._full = True

    def resumeProducing(self) -> None:
        """The transport takes more."""
        self._full = False
        self._owner.connection_writable()

    def stopProducing(self) -> None:
        """The transport has gone."""
        self._full = True

    # pika's side

    def _on_connection_ready(self, connection: Any) -> None:
        super()._on_connection_ready(connection)
        self._owner.connection_open(self)

    def _on_connection_failed(self, connection: Any, error: Any = None) -> None:
        self._reason = self._reason or plain_reason(error)
        super()._on_connection_failed(connection, error)

    def _on_connection_closed(self, connection: Any, exception: Any) -> None:
        self._reason = self._reason or plain_reason(exception)
        super()._on_connection_closed(connection, exception)

    def _on_blocked(self, _connection: Any, frame: Any) -> None:
        self.blocked = True
        self._owner.connection_blocked(str(frame.method.reason))

    def _on_unblocked(self, _connection: Any, _frame: Any) -> None:
        self.blocked = False
        self._owner.connection_writable()

    def _disconnect(self) -> None:
        """Close the transport; one that cannot flush what it holds is cut off after a moment.

        pika's adapter forgets its error over the end of the transport, so it is kept here.
        """
        transport = self.transport
        if self._impl._error is not None:
            self._reason = self._reason or plain_reason(self._impl._error)
        if transport is None or self._aborting is not None:
            return
        transport.unregisterProducer()
        transport.loseConnection()
        self._aborting = self._reactor.callLater(ABORT_SECONDS, transport.abortConnection)


def parameters(user: str, password: str, vhost: str, heartbeat: int, blocked: int) -> ConnectionParameters:
    """Return pika's parameters; Twisted makes the connection itself."""
    return ConnectionParameters(
        virtual_host=vhost,
        credentials=PlainCredentials(user, password),
        heartbeat=heartbeat,
        blocked_connection_timeout=blocked,
        client_properties={"product": "qianzhi"},
    )


def plain_reason(error: Any) -> str:
    """Return what a broker or pika says went wrong, without Python's wrapping; it holds no secret."""
    code = getattr(error, "reply_code", 0)
    if code:
        return f"{error.reply_text} ({code})"
    texts = [str(each) for each in getattr(error, "args", ()) if each]
    return texts[0] if texts else str(error) or type(error).__name__


_decode_table = pika.data.decode_table


def _decode_table_or_skip(encoded: bytes, offset: int) -> tuple[dict[Any, Any], int]:
    """Read a table of headers; one that holds what Python cannot is skipped whole, by its length."""
    try:
        table: tuple[dict[Any, Any], int] = _decode_table(encoded, offset)
    except (
        pika.exceptions.InvalidFieldTypeException,
        ArithmeticError,
        ValueError,
        OSError,
        TypeError,
        RecursionError,
        DecimalException,
        struct.error,
    ):
        (size,) = struct.unpack_from(">I", encoded, offset)
        return {UNREADABLE_HEADERS: True}, offset + 4 + size
    return table


pika.data.decode_table = _decode_table_or_skip
