"""One TCP connection: bytes in through its reader, bytes out within a bound, and one reason for its end.

Twisted calls this class; what it completes it hands to its `Pool`, which gathers over all connections.
Nothing here knows a protocol.

A *short* connection carries one frame and its answer.  What stands behind the frame is never read
as a message; a peer that has shut down its sending side still gets the answer; whoever owes it closes the
connection.

Under TLS a connection stands once the handshake is done, which is bounded like a frame that has begun.  There
a peer's end of sending is its end of the connection.
"""

import socket
from typing import Any, Protocol

from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IHalfCloseableProtocol, IHandshakeListener, IPushProducer
from twisted.internet.main import CONNECTION_DONE, CONNECTION_LOST
from twisted.internet.protocol import Protocol as TwistedProtocol
from twisted.internet.protocol import connectionDone
from twisted.protocols.policies import ProtocolWrapper
from twisted.python.failure import Failure
from zope.interface import alsoProvides, implementer  # type: ignore[import-untyped]

from qianzhi.wire.errors import RemoteProtocolError
from socket_pool.interfaces import Reader
from socket_pool.limits import SocketLimits

SURPLUS_BYTES_MAX = 64 * 1024  # behind a short connection's frame, before it is no longer read
READ_BYTES = 64 * 1024  # at once; for more, the C library asks the kernel for memory each time
SECOND_FRAME = "second_frame"  # why a short connection ended that carried more than one message


class Owner(Protocol):
    """What a connection tells its pool."""

    limits: SocketLimits
    short: bool

    def opened(self, connection: "Connection") -> None:
        """The connection stands."""

    def failed(self, connection: "Connection", reason: str) -> None:
        """The connection has gone before it stood."""

    def received(self, connection: "Connection", frames: list[bytes]) -> None:
        """Frames were completed, perhaps none; whether one is partial may have changed."""

    def closed(self, connection: "Connection", reason: str) -> None:
        """The connection is gone."""


@implementer(IPushProducer, IHandshakeListener)
class Connection(TwistedProtocol):
    """One connection with the number `conn`."""

    def __init__(self, conn: int, owner: Owner, reader: Reader, reactor: Any, peer: str = "") -> None:
        """Nothing happens before Twisted connects it; `peer` is who dials where a balancer has said so."""
        self.conn = conn
        self.reader = reader
        self.partial_since: float | None = None
        self.peer = peer
        self._owner = owner
        self._reactor = reactor
        self._socket: Any = None  # the transport beneath TLS
        self._stands = False
        self._reason = ""
        self._paused = False  # by whoever uses the pool
        self._blocked = False  # by a peer that does not read
        self._waiting_bytes = 0
        self._closing: Any = None
        self._served = False  # the one frame of a short connection has come
        self._surplus_bytes = 0  # and so many behind it
        if owner.short:
            alsoProvides(self, IHalfCloseableProtocol)

    @property
    def reading(self) -> bool:
        """Whether bytes are being taken from the peer now."""
        return not (self._paused or self._blocked or self._reason or self._floods)

    @property
    def _floods(self) -> bool:
        return self._surplus_bytes > SURPLUS_BYTES_MAX

    def connectionMade(self) -> None:
        """Set up the socket, and report unless TLS is to be agreed on first."""
        self._socket = transport = _beneath(self.transport)
        if not self.peer:
            address = transport.getPeer()
            self.peer = f"{address.host}:{address.port}"
        transport.setTcpNoDelay(True)
        limits = self._owner.limits
        set_keepalive(transport.getHandle(), limits)
        bound = limits.write_buffer_bytes_max
        transport.bufferSize = min(limits.unread_bytes_max or bound, bound)  # past it: pauseProducing
        transport.doRead = self._read
        if transport is self.transport:
            self._stand()
        else:
            self._closing = self._reactor.callLater(limits.partial_seconds, self._give_up_handshake)

    def handshakeCompleted(self) -> None:
        """Report: the peer has been judged by its certificate."""
        if not self._reason:
            self._closing.cancel()
            self._stand()

    def _stand(self) -> None:
        transport: Any = self.transport
        transport.registerProducer(self, True)
        self._stands = True
        self._owner.opened(self)

    def _give_up_handshake(self) -> None:
        transport: Any = self.transport
        transport.getHandle().refused = "timeout"
        self.abort("tls_timeout")

    def _read(self) -> Exception | None:
        """Take what is there, as the transport does, but no more at once than memory is at hand for."""
        try:
            data = self._socket.socket.recv(READ_BYTES)
        except BlockingIOError:
            return None
        except OSError:
            return CONNECTION_LOST
        if not data:
            return CONNECTION_DONE
        self._socket.protocol.dataReceived(data)
        return None

    def dataReceived(self, data: bytes) -> None:
        """Cut the bytes into frames; a peer that breaks the framing is closed with the error's reason."""
        if self._reason or self._discard_behind_the_frame(data):
            return
        try:
            frames = self.reader.receive_data(data)
        except RemoteProtocolError as error:
            self.close(_frame_reason(error))
            return
        if self._owner.short:
            self._take_one(frames)
            return
        self._owner.received(self, frames)
        if self.reader.fault is not None:
            self.close(_frame_reason(self.reader.fault))

    def _take_one(self, frames: list[bytes]) -> None:
        """Take the one frame of a short connection; what stands behind it is never read as a message."""
        self._served = bool(frames)
        self._owner.received(self, frames[:1])
        if len(frames) > 1 or (frames and (self.reader.partial or self.reader.fault is not None)):
            self._discard_behind_the_frame(b"?")

    def _discard_behind_the_frame(self, data: bytes) -> bool:
        """Count and forget what comes behind a short connection's frame; tell whether that is so.

        It is taken from the kernel all the same, since closing over unread bytes would reset the connection
        and lose the answer; a flood is not.
        """
        if self._served:
            self._surplus_bytes += len(data)
            if self._floods:
                self._set_reading()
        return self._served

    def send(self, data: bytes) -> bool:
        """Queue bytes for the peer; False when the connection is closing or has just been cut for not
        reading."""
        if self._reason:
            return False
        data = self._write_now(data)
        if not data:
            return True
        was_blocked = self._blocked
        transport: Any = self.transport
        transport.write(data)
        if self._blocked:
            least = max(self._socket.bufferSize + 1, len(data))  # of what waits when the bound is passed
            self._waiting_bytes = self._waiting_bytes + len(data) if was_blocked else least
            if self._waiting_bytes > self._owner.limits.write_buffer_bytes_max:
                self.abort("write_buffer_full")
                return False
        return True

    def _write_now(self, data: bytes) -> bytes:
        """Give the kernel what it takes at once, where nothing waits before it; return what is left.

        The reactor would ask epoll first whether the kernel takes anything: three calls of the system for
        each write, where nearly all are short and taken whole.  An error is left for the reactor to find.
        """
        transport: Any = self.transport
        if transport is not self._socket or not transport.connected:
            return data  # TLS writes as it sees fit
        if transport.dataBuffer or transport._tempDataBuffer:
            return data  # never before what waits already
        try:
            return data[transport.socket.send(data) :]
        except OSError:
            return data

    def pause(self, paused: bool) -> None:
        """Stop or go on reading, whatever the state of the writing side."""
        self._paused = paused
        self._set_reading()

    def close(self, reason: str) -> None:
        """Write out what waits, then close; cut when the peer does not take it within `close_seconds`."""
        if self._reason:
            return
        self._reason = SECOND_FRAME if self._surplus_bytes else reason
        transport: Any = self.transport
        transport.unregisterProducer()
        transport.loseConnection()
        if self._closing is not None and self._closing.active():
            self._closing.cancel()
        if self._socket.connected:
            self._closing = self._reactor.callLater(
                self._owner.limits.close_seconds, transport.abortConnection
            )

    def cut_later(self, seconds: float) -> None:
        """Cut the connection when it still stands after so many seconds: nobody has answered."""
        self._closing = self._reactor.callLater(seconds, self.abort, "no_answer")

    def abort(self, reason: str) -> None:
        """Cut the connection at once; what waits is lost."""
        self._reason = self._reason or reason
        transport: Any = self.transport
        transport.abortConnection()

    def readConnectionLost(self) -> None:
        """Hear that the peer of a short connection sends no more: it may still wait for its answer."""
        if not self._served:
            self.close(self._reason_of(connectionDone))

    def writeConnectionLost(self) -> None:
        """Our own sending side is never shut down alone."""

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Report the end, with our reason if we had one."""
        if self._closing is not None and self._closing.active():
            self._closing.cancel()
        self._reason = self._reason or self._reason_of(reason)
        if self._stands:
            self._owner.closed(self, self._reason)
        else:
            self._owner.failed(self, self._reason)

    def _reason_of(self, failure: Failure) -> str:
        """Name the end of a connection that we did not end."""
        transport: Any = self.transport
        if self._socket is not transport and transport.getHandle().refused:
            return f"tls_{transport.getHandle().refused}"
        if self._surplus_bytes:
            return SECOND_FRAME
        if not isinstance(failure.value, ConnectionDone):
            return "lost"
        return "closed_in_frame" if self.reader.partial else "closed_by_peer"

    def pauseProducing(self) -> None:
        """More waits than `unread_bytes_max`: the peer does not read, so we stop reading from it."""
        self._blocked = True
        self._set_reading()

    def resumeProducing(self) -> None:
        """The peer has read everything."""
        self._blocked = False
        self._waiting_bytes = 0
        self._set_reading()

    def stopProducing(self) -> None:
        """The transport is gone; connectionLost says the rest."""

    def _set_reading(self) -> None:
        transport: Any = self.transport
        if self._reason or not self._socket.connected:
            return
        if self._paused or self._blocked or self._floods:
            transport.pauseProducing()
        else:
            if self.partial_since is not None:
                self.partial_since = self._reactor.seconds()
            transport.resumeProducing()


def set_keepalive(handle: socket.socket, limits: SocketLimits) -> None:
    """Let the kernel find a peer that has silently gone, idle or with unread bytes of ours."""
    silent_seconds = (
        limits.keepalive_idle_seconds + limits.keepalive_interval_seconds * limits.keepalive_probes
    )
    handle.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    handle.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, limits.keepalive_idle_seconds)
    handle.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, limits.keepalive_interval_seconds)
    handle.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, limits.keepalive_probes)
    handle.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, silent_seconds * 1000)


def _beneath(transport: Any) -> Any:
    """Return the transport of the socket itself."""
    while isinstance(transport, ProtocolWrapper):
        transport = transport.transport
    return transport


def _frame_reason(error: RemoteProtocolError) -> str:
    return f"bad_frame_{error.reason.name.lower()}"
