"""Blocking connections for one bank's single requests: sockets, or direct queues; `broker_lines` has another.

Only for the command and for tests; the simulated traffic has shells of its own on the reactor.
"""

import queue
import select
import socket
import ssl
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from bankmq.kept import KeepLimits
from qianzhi.link.tables import BankPlace
from qianzhi.runtime import clock
from simulators.bank_tls import BankTls
from simulators.framing import Cutter, FramingError, framed
from simulators.line import Incoming, Outgoing
from simulators.queue_senders import DirectSenders

if TYPE_CHECKING:
    from qianzhi.wire.framing import FrameSpec

CONNECT_SECONDS = 3.0
READ_BYTES = 65_536


class LineGoneError(Exception):
    """Nobody listens, or the connection was closed; the text is for people."""


class Connection(Protocol):
    """Sends frames and waits for frames."""

    def send(self, items: list[Outgoing]) -> None:
        """Send frames; raises LineGoneError."""

    def receive(self, seconds: float) -> list[Incoming]:
        """Return frames that came, none when `seconds` passed; raises LineGoneError."""

    def close(self) -> None:
        """Close."""


class SocketConnection:
    """One TCP connection."""

    def __init__(self, host: str, port: int, spec: "FrameSpec", tls: BankTls | None = None) -> None:
        """Connect; raises LineGoneError when nobody listens."""
        self._spec = spec
        self._cutter = Cutter(spec)
        self._socket = _connected(host, port, tls)

    def send(self, items: list[Outgoing]) -> None:
        """Send frames; raises LineGoneError."""
        try:
            self._socket.sendall(b"".join([framed(self._spec, item.frame) for item in items]))
        except OSError as error:
            raise LineGoneError("the connection was closed by the other side") from error

    def receive(self, seconds: float) -> list[Incoming]:
        """Return the frames that one read completed, none when `seconds` passed; raises LineGoneError."""
        self._socket.settimeout(max(0.001, seconds))
        try:
            data = self._socket.recv(READ_BYTES)
        except TimeoutError:
            return []
        except OSError as error:
            raise LineGoneError("the connection was closed by the other side") from error
        if not data:
            raise LineGoneError("the connection was closed by the other side")
        try:
            return [Incoming(body) for body in self._cutter.receive(data)]
        except FramingError as error:
            raise LineGoneError(f"the other side broke the framing: {error}") from error

    def close(self) -> None:
        """Close."""
        self._socket.close()


class ShortConnections:
    """A TCP connection for each message, which shuts its sending side behind it."""

    def __init__(self, host: str, port: int, spec: "FrameSpec", tls: BankTls | None = None) -> None:
        """Connect once to see that somebody listens; raises LineGoneError when nobody does."""
        self._address = (host, port)
        self._spec = spec
        self._tls = tls
        self._open: dict[socket.socket, tuple[Cutter, int]] = {}
        _connected(host, port, tls).close()

    def send(self, items: list[Outgoing]) -> None:
        """Send each frame on a connection of its own; raises LineGoneError."""
        for item in items:
            made = _connected(*self._address, self._tls)
            self._open[made] = Cutter(self._spec), item.ticket
            try:
                made.sendall(framed(self._spec, item.frame))
                if self._tls is None:
                    made.shutdown(socket.SHUT_WR)  # under TLS it would end both directions
            except OSError as error:
                raise LineGoneError("the connection was closed by the other side") from error

    def receive(self, seconds: float) -> list[Incoming]:
        """Return the answers that came, none when `seconds` passed; a connection without one is no answer."""
        readable = select.select(list(self._open), [], [], max(0.001, seconds))[0]
        return [incoming for made in readable for incoming in self._read(made)]

    def close(self) -> None:
        """Close all."""
        for made in self._open:
            made.close()
        self._open.clear()

    def _read(self, made: socket.socket) -> list[Incoming]:
        cutter, ticket = self._open[made]
        try:
            data = made.recv(READ_BYTES)
            frames = cutter.receive(data) if data else cutter.end()
        except (OSError, FramingError):
            data, frames = b"", []
        if frames or not data:
            del self._open[made]
            made.close()
        return [Incoming(frame, ticket) for frame in frames]


def _connected(host: str, port: int, tls: BankTls | None) -> socket.socket:
    try:
        plain = socket.create_connection((host, port), timeout=CONNECT_SECONDS)
        return plain if tls is None else tls.wrap(plain, host)
    except ssl.SSLError as error:
        raise LineGoneError(f"no protected line to {host}:{port}: {error.reason or error}") from error
    except OSError as error:
        raise LineGoneError(f"nobody listens on {host}:{port} ({error.strerror or error})") from error


class QueueConnection:
    """One bank's direct queues; the reactor is turned by hand, unless it runs on a thread of its own."""

    def __init__(self, bank: str, place: BankPlace, reactor: Any) -> None:
        """Connect as soon as somebody is there; a queue cannot tell that nobody is."""
        self._reactor = reactor
        self._came: queue.SimpleQueue[list[Incoming]] = queue.SimpleQueue()
        self._senders = DirectSenders(bank, place, KeepLimits(answer_seconds=5), self._came.put, reactor)
        self._do(self._senders.start)

    def send(self, items: list[Outgoing]) -> None:
        """Send documents; each is kept and sent again until its answer comes."""
        self._do(lambda: self._senders.submit(items))

    def receive(self, seconds: float) -> list[Incoming]:
        """Return the documents that came, none when `seconds` passed."""
        if not self._reactor.running:
            until_us = clock.now().mono_us + int(seconds * 1_000_000)
            while self._came.empty() and clock.now().mono_us < until_us:
                self._reactor.iterate(0.01)
            seconds = 0.0
        try:
            return self._came.get(timeout=seconds) if seconds else self._came.get_nowait()
        except queue.Empty:
            return []

    def close(self) -> None:
        """Close at once."""
        self._do(self._senders.stop)

    def _do(self, work: Callable[[], None]) -> None:
        """Do something on the reactor's thread, and wait for that."""
        if not self._reactor.running:
            work()
            return
        done = threading.Event()
        self._reactor.callFromThread(work)
        self._reactor.callFromThread(done.set)
        done.wait()
