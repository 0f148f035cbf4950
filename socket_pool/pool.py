"""The connections of one listener or caller: numbers them, gathers what they complete, and watches for slow
bytes.

Everything that one reactor wake-up completes, over all connections, goes to the handler as ONE list: the
reactor reads all ready sockets and then does what is to follow, so no timer and no waiting is involved.
"""

import itertools
from collections.abc import Callable
from typing import Any

from qianzhi.runtime import metrics
from qianzhi.runtime.reactor import after_wake
from socket_pool.connection import Connection
from socket_pool.interfaces import Handler, Reader
from socket_pool.limits import SocketLimits

_numbers = itertools.count(1)  # one series for the process, so that a number never names two connections


class Pool:
    """All connections of the listener or caller `name` (a metric's label)."""

    def __init__(
        self,
        name: str,
        limits: SocketLimits,
        new_reader: Callable[[], Reader],
        handler: Handler,
        reactor: Any,
        short_seconds: float = 0,
    ) -> None:
        """`new_reader` makes the reader of each new connection.

        With `short_seconds` each connection carries one frame, which must be whole within `partial_seconds`
        of connecting, and is cut when it has not been answered within so many seconds more.
        """
        self.name = name
        self.limits = limits
        self.short = short_seconds > 0
        self._short_seconds = short_seconds
        self._new_reader = new_reader
        self._handler = handler
        self._reactor = reactor
        self._after_wake = after_wake(reactor)
        self._connections: dict[int, Connection] = {}
        self._pending: dict[int, Connection] = {}  # accepted or made, but they do not stand yet
        self.refusals = 0  # of TLS, one after the other
        self._frames: list[tuple[int, bytes]] = []
        self._closed: list[tuple[int, str]] = []
        self._gathering = False
        self._partial: dict[int, Connection] = {}
        self._sweep: Any = None

    def __len__(self) -> int:
        return len(self._connections) + len(self._pending)

    def new_connection(self, peer: str = "") -> Connection:
        """Make the connection that Twisted is about to connect; `peer` is who dials where a balancer says."""
        connection = Connection(next(_numbers), self, self._new_reader(), self._reactor, peer)
        self._pending[connection.conn] = connection
        return connection

    def send(self, conn: int, data: bytes) -> bool:
        """Queue bytes for a connection; False when it is gone or going."""
        connection = self._connections.get(conn)
        return connection is not None and connection.send(data)

    def close(self, conn: int, reason: str) -> None:
        """Write out what waits for a connection and close it; a connection that is gone is left alone."""
        connection = self._connections.get(conn)
        if connection is not None:
            connection.close(reason)

    def pause(self, conn: int, paused: bool) -> None:
        """Stop or go on reading from a connection."""
        connection = self._connections.get(conn)
        if connection is not None:
            connection.pause(paused)

    def close_all(self, reason: str) -> None:
        """Close every connection."""
        for connection in list(self._connections.values()):
            connection.close(reason)
        for connection in list(self._pending.values()):
            connection.abort(reason)

    def stop(self) -> None:
        """Forget the timers."""
        if self._sweep is not None and self._sweep.active():
            self._sweep.cancel()

    def opened(self, connection: Connection) -> None:
        """A connection stands."""
        del self._pending[connection.conn]
        self._connections[connection.conn] = connection
        if self.short:
            self._watch(connection)
        metrics.count("qianzhi_connections_total", (self.name,))
        metrics.gauge("qianzhi_connections_open", (self.name,), len(self._connections))
        self._handler.on_connected(connection.conn, connection.peer)

    def failed(self, connection: Connection, reason: str) -> None:
        """A connection has gone before it stood; nobody else has heard of it."""
        del self._pending[connection.conn]
        self.refused(reason)

    def refused(self, reason: str) -> None:
        """Count a connection that was not to be."""
        self.refusals += 1
        metrics.count("qianzhi_connections_refused_total", (self.name, reason))

    def received(self, connection: Connection, frames: list[bytes]) -> None:
        """Take a connection's frames into this wake-up's list and note whether one has begun."""
        if frames:
            conn = connection.conn
            self._frames.extend([(conn, frame) for frame in frames])
            self._gather()
        if self.short:
            if frames:
                self._unwatch(connection)
                connection.cut_later(self._short_seconds)
        elif not connection.reader.partial:
            self._unwatch(connection)
        elif frames or connection.partial_since is None:
            self._watch(connection)

    def _watch(self, connection: Connection) -> None:
        """Give a frame that has begun its time to become whole."""
        connection.partial_since = self._reactor.seconds()
        self._partial[connection.conn] = connection
        self._start_sweep()

    def _unwatch(self, connection: Connection) -> None:
        if connection.partial_since is not None:
            connection.partial_since = None
            self._partial.pop(connection.conn, None)

    def closed(self, connection: Connection, reason: str) -> None:
        """A connection is gone; the handler hears it after the frames that came before."""
        self._connections.pop(connection.conn, None)
        self._partial.pop(connection.conn, None)
        self.refusals = self.refusals + 1 if reason.startswith("tls_") else 0
        metrics.count("qianzhi_connections_closed_total", (self.name, reason))
        metrics.gauge("qianzhi_connections_open", (self.name,), len(self._connections))
        self._closed.append((connection.conn, reason))
        self._gather()

    def _gather(self) -> None:
        if not self._gathering:
            self._gathering = True
            self._after_wake(self._hand_over)

    def _hand_over(self) -> None:
        self._gathering = False
        frames, self._frames = self._frames, []
        closed, self._closed = self._closed, []
        if frames:
            metrics.observe("qianzhi_list_size", (self.name,), (len(frames),))
            self._handler.on_frames(frames)
        for conn, reason in closed:
            self._handler.on_closed(conn, reason)

    def _start_sweep(self) -> None:
        if self._sweep is None:
            self._sweep = self._reactor.callLater(self.limits.partial_seconds / 4, self._cut_slow_ones)

    def _cut_slow_ones(self) -> None:
        """Cut the connections whose frame has been coming in for too long; while we do not read, none is
        late."""
        self._sweep = None
        oldest = self._reactor.seconds() - self.limits.partial_seconds
        for connection in list(self._partial.values()):
            since = connection.partial_since
            if connection.reading and since is not None and since <= oldest:
                connection.abort("partial_timeout")
        if self._partial:
            self._start_sweep()
