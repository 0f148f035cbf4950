"""A connection that we make and keep: one at a time, made again with growing, jittered pauses when it is
lost.

A peer with whom TLS does not come about is tried less and less often, like one that does not answer.
"""

import os
from collections.abc import Callable
from typing import Any

from twisted.application.internet import ClientService
from twisted.internet.defer import Deferred, succeed
from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Factory

from qianzhi.runtime import metrics
from qianzhi.runtime.tls import Protection
from socket_pool.connection import Connection
from socket_pool.interfaces import Handler, Reader
from socket_pool.limits import SocketLimits
from socket_pool.pool import Pool
from socket_pool.tls import calling

CONNECT_SECONDS = 5
FIRST_PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 3.0


class SocketClient:
    """Keeps one connection to one address; each time it stands it has a new number."""

    def __init__(
        self,
        host: str,
        port: int,
        limits: SocketLimits,
        new_reader: Callable[[], Reader],
        handler: Handler,
        *,
        name: str = "client",
        reactor: Any,
        connect_seconds: float = CONNECT_SECONDS,
        longest_pause_seconds: float = LONGEST_PAUSE_SECONDS,
        tls: Protection | None = None,
    ) -> None:
        """`name` labels the metrics; `longest_pause_seconds` bounds the pause before connecting again.
        Nothing is opened yet.  Raises TlsError for protection that could not tell who answers.
        """
        self._name = name
        self._longest_pause_seconds = longest_pause_seconds
        self.pool = Pool(name, limits, new_reader, handler, reactor)
        endpoint: Any = HostnameEndpoint(reactor, host, port, timeout=connect_seconds)
        factory: Any = _Factory(self.pool)
        if tls is not None:
            factory = calling(tls, host, factory)
        self._service = ClientService(endpoint, factory, retryPolicy=self._pause_seconds, clock=reactor)

    def start(self) -> None:
        """Begin to connect, and keep at it until `stop`."""
        self._service.startService()

    def send(self, conn: int, data: bytes) -> bool:
        """Queue bytes for the connection; False when it is not the one that stands."""
        return self.pool.send(conn, data)

    def close(self, conn: int, reason: str) -> None:
        """Close the connection; it will be made again."""
        self.pool.close(conn, reason)

    def pause(self, conn: int, paused: bool) -> None:
        """Stop or go on reading."""
        self.pool.pause(conn, paused)

    def stop(self, reason: str = "stopping") -> "Deferred[Any]":
        """Close the connection and do not make it again."""
        self.pool.close_all(reason)
        self.pool.stop()
        return self._service.stopService() or succeed(None)

    def _pause_seconds(self, failed_attempts: int) -> float:
        metrics.count("qianzhi_reconnects_total", (self._name,))
        failed_attempts = max(failed_attempts, self.pool.refusals)
        return pause_seconds(failed_attempts, os.urandom(2), self._longest_pause_seconds)


def pause_seconds(
    failed_attempts: int, randomness: bytes, longest_seconds: float = LONGEST_PAUSE_SECONDS
) -> float:
    """Return how long to wait before connecting again: growing by half each time up to a bound, and between
    half and all of that by chance, so that those who lost the same peer do not come back at once together.
    """
    longest = min(longest_seconds, FIRST_PAUSE_SECONDS * 1.5 ** min(failed_attempts, 50))
    part = int.from_bytes(randomness, "big") / (1 << 8 * len(randomness))
    return longest * (1 + part) / 2


class _Factory(Factory):
    """Makes the one connection."""

    noisy = False

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def buildProtocol(self, addr: IAddress | None) -> Connection | None:
        """Return the connection that Twisted has just made."""
        return self._pool.new_connection()
