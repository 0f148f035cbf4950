"""A listening socket with an allow list and a cap; what its connections do is `pool`'s and `connection`'s."""

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Factory

from qianzhi.runtime import metrics
from socket_pool.connection import Connection
from socket_pool.interfaces import Handler, Reader
from socket_pool.limits import SocketLimits, is_allowed
from socket_pool.pool import Pool


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
    ) -> None:
        """`port` 0 takes a free one; `name` labels the metrics; `short_seconds`, if not 0, is how long the
        answer on a connection for one frame may take.  Nothing is opened yet.
        """
        self._host = host
        self._port = port
        self._reactor = reactor
        self._listening: Any = None
        self.pool = Pool(name, limits, new_reader, handler, reactor, short_seconds)

    def start(self) -> int:
        """Listen and return the port; raises twisted's CannotListenError when the address cannot be had."""
        factory = _Factory(self.pool)
        self._listening = self._reactor.listenTCP(self._port, factory, interface=self._host)
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


class _Factory(Factory):
    """Decides who may connect."""

    noisy = False

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def buildProtocol(self, addr: IAddress | None) -> Connection | None:
        """Return a connection, or None, which makes Twisted close the socket at once."""
        address: Any = addr
        if not is_allowed(self._pool.limits, address.host):
            self._refuse("not_allowed")
            return None
        if len(self._pool) >= self._pool.limits.connections_max:
            self._refuse("connections_max")
            return None
        return self._pool.new_connection()

    def _refuse(self, reason: str) -> None:
        metrics.count("qianzhi_connections_refused_total", (self._pool.name, reason))
