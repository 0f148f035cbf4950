"""A server under test on the reactor's thread, a handler that remembers, and plain sockets to it."""

import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from qianzhi.wire.framing import FrameReader, FrameSpec
from socket_pool.limits import SocketLimits
from socket_pool.server import SocketServer

SPEC = FrameSpec(kind="ascii", size=4, heartbeat="zero_length")


class Recorder:
    """A handler that remembers what it heard and lets another thread wait for it."""

    def __init__(self) -> None:
        self.connected: list[tuple[int, str]] = []
        self.lists: list[list[tuple[int, bytes]]] = []
        self.closed: list[tuple[int, str]] = []
        self.heard: list[str] = []
        self._changed = threading.Condition()

    @property
    def frames(self) -> list[bytes]:
        return [frame for items in self.lists for _, frame in items]

    def on_connected(self, conn: int, peer: str) -> None:
        self._note("connected", self.connected, (conn, peer))

    def on_frames(self, items: list[tuple[int, bytes]]) -> None:
        self._note("frames", self.lists, items)

    def on_closed(self, conn: int, reason: str) -> None:
        self._note("closed", self.closed, (conn, reason))

    def _note(self, what: str, where: list[Any], item: Any) -> None:
        with self._changed:
            where.append(item)
            self.heard.append(what)
            self._changed.notify_all()

    def wait(self, condition: Any) -> None:
        with self._changed:
            assert self._changed.wait_for(condition, timeout=10), self.heard


class Line:
    """A server under test with its handler, and plain sockets to it."""

    def __init__(
        self,
        reactor_thread: Any,
        short_seconds: float = 0,
        tls: Any = None,
        proxies: tuple[str, ...] = (),
        **limits: Any,
    ) -> None:
        self.run = reactor_thread.run
        self.handler = Recorder()
        self.server = SocketServer(
            "127.0.0.1",
            0,
            SocketLimits(**limits),
            lambda: FrameReader(SPEC),
            self.handler,
            name="test",
            reactor=reactor_thread.reactor,
            short_seconds=short_seconds,
            tls=tls,
            proxies=proxies,
        )
        self.port = self.run(self.server.start)
        self.sockets: list[socket.socket] = []

    def connect(self) -> socket.socket:
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=10)
        self.sockets.append(connection)
        return connection

    def close(self) -> None:
        for connection in self.sockets:
            connection.close()
        self.run(self.server.stop)


@pytest.fixture
def line(reactor_thread: Any) -> Iterator[Any]:
    lines: list[Line] = []

    def make(**limits: Any) -> Line:
        lines.append(Line(reactor_thread, **limits))
        return lines[-1]

    yield make
    for each in lines:
        each.close()


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()
