"""A listening socket with an allow list and a cap; what its connections do is `pool`'s and `connection`'s.

    socket ──▶ PROXY header, from balancers alone ──▶ allow list, cap ──▶ TLS, where asked for ──▶ connection

A balancer that the site names must say who dials, and what it says is not believed of anybody else.
"""

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Factory, connectionDone
from twisted.internet.protocol import Protocol as TwistedProtocol
from twisted.python.failure import Failure

from qianzhi.runtime.tls import Protection
from socket_pool.interfaces import Handler, Reader
from socket_pool.limits import SocketLimits, is_allowed, lies_in
from socket_pool.pool import Pool
from socket_pool.proxy import Dialler, HeaderReader, ProxyHeaderError
from socket_pool.tls import TlsFactory, accepting

# After a cut all of a balancer's connections are dialled at once; the kernel may allow fewer (somaxconn).
BACKLOG = 4096


class SocketServer:
    """Listens on one address and serves all connections through one handler."""

    def __init__(
        self,
        host: str,
        port: int,
        limits: SocketLimits,
        new_reader: Callable[[], Reader],
        handler: Handler,
        *,
        name: str = "server",
        reactor: Any,
        short_seconds: float = 0,
        tls: Protection | None = None,
        proxies: tuple[str, ...] = (),
    ) -> None:
        """`port` 0 takes a free one; `name` labels the metrics; `short_seconds`, if not 0, is how long the
        answer on a connection for one frame may take; `proxies` are the networks of the balancers that write
        a PROXY header.  Nothing is opened yet.  Raises TlsError for protection without a certificate.
        """
        self._host = host
        self._port = port
        self._reactor = reactor
        self._listening: Any = None
        self._proxies = proxies
        self._tls = accepting(tls) if tls is not None else None
        self.pool = Pool(name, limits, new_reader, handler, reactor, short_seconds)

    def start(self) -> int:
        """Listen and return the port; raises twisted's CannotListenError when the address cannot be had."""
        factory = _Factory(Gate(self.pool, self._tls), self._proxies, self._reactor)
        self._listening = self._reactor.listenTCP(self._port, factory, BACKLOG, self._host)
        return int(self._listening.getHost().port)

    def send(self, conn: int, data: bytes) -> bool:
        """Queue bytes for a connection; False when it is gone or going."""
        return self.pool.send(conn, data)

    def close(self, conn: int, reason: str) -> None:
        """Write out what waits for a connection, then close it."""
        self.pool.close(conn, reason)

    def pause(self, conn: int, paused: bool) -> None:
        """Stop or go on reading from a connection."""
        self.pool.pause(conn, paused)

    def stop_listening(self) -> "Deferred[Any]":
        """Accept nobody new; the connections that stand go on."""
        listening, self._listening = self._listening, None
        return (listening.stopListening() if listening is not None else None) or succeed(None)

    def stop(self, reason: str = "stopping") -> "Deferred[Any]":
        """Accept nobody new and close every connection after what waits for it has been written."""
        self.pool.close_all(reason)
        self.pool.stop()
        return self.stop_listening()


class Gate:
    """Decides who may connect, once it is known who dials."""

    def __init__(self, pool: Pool, tls: TlsFactory | None) -> None:
        self.pool = pool
        self._tls = tls
        self.waiting = 0  # connections whose PROXY header is still to come

    @property
    def full(self) -> bool:
        """Whether one more would be too many."""
        return len(self.pool) + self.waiting >= self.pool.limits.connections_max

    def admit(self, host: str, peer: str = "") -> Any:
        """Return what Twisted is to connect, or None, with the refusal counted."""
        if not is_allowed(self.pool.limits, host):
            self.pool.refused("not_allowed")
            return None
        if self.full:
            self.pool.refused("connections_max")
            return None
        connection = self.pool.new_connection(peer)
        return self._tls.around(connection) if self._tls is not None else connection


class _Factory(Factory):
    """Answers Twisted for each socket that has been accepted."""

    noisy = False

    def __init__(self, gate: Gate, proxies: tuple[str, ...], reactor: Any) -> None:
        self._gate = gate
        self._proxies = proxies
        self._reactor = reactor

    def buildProtocol(self, addr: IAddress | None) -> Any:
        """Return a connection, or None, which makes Twisted close the socket at once."""
        address: Any = addr
        if not lies_in(self._proxies, address.host):
            return self._gate.admit(address.host)
        if self._gate.full:
            self._gate.pool.refused("connections_max")
            return None
        return _Proxied(self._gate, self._reactor)


class _Proxied(TwistedProtocol):
    """A balancer's connection until its PROXY header is read; then the real one takes its place."""

    def __init__(self, gate: Gate, reactor: Any) -> None:
        self._gate = gate
        self._reader = HeaderReader()
        self._timer: Any = None
        self._reactor = reactor
        self._reason = ""

    def connectionMade(self) -> None:
        """Wait for the header as long as for a frame that has begun."""
        self._gate.waiting += 1
        self._timer = self._reactor.callLater(
            self._gate.pool.limits.partial_seconds, self._end, "proxy_timeout"
        )

    def dataReceived(self, data: bytes) -> None:
        """Read on; with the header whole, make the connection of whoever dials."""
        if self._reason:
            return
        try:
            found = self._reader.receive_data(data)
        except ProxyHeaderError:
            self._end("proxy_header")
            return
        if found is None:
            return
        dialler, rest = found
        if not dialler.host:
            self._end("health_check")
        else:
            self._hand_over(dialler, rest)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The balancer has gone; without a byte it has only looked whether we listen."""
        self._over()
        self._gate.pool.refused(self._reason or ("proxy_header" if self._reader.began else "health_check"))

    def _hand_over(self, dialler: Dialler, rest: bytes) -> None:
        transport: Any = self.transport
        self._over()
        host = f"[{dialler.host}]" if ":" in dialler.host else dialler.host
        inner = self._gate.admit(dialler.host, f"{host}:{dialler.port}")
        if inner is None:
            transport.protocol = TwistedProtocol()  # which hears nothing; the refusal is counted already
            transport.abortConnection()
            return
        transport.protocol = inner
        inner.makeConnection(transport)
        if rest:
            inner.dataReceived(rest)

    def _end(self, reason: str) -> None:
        self._reason = reason
        transport: Any = self.transport
        transport.abortConnection()

    def _over(self) -> None:
        self._gate.waiting -= 1
        if self._timer.active():
            self._timer.cancel()
