"""Blocking connections for one bank's single requests: a socket, or a pair of direct queues.

Only for the command and for tests; the simulated traffic has shells of its own on the reactor.
"""

import socket
from typing import Any, Protocol

from bankmq.kept import KeepLimits, Outcome
from bankmq.sender import ZmqSender
from qianzhi.runtime import clock
from qianzhi.wire.errors import RemoteProtocolError
from qianzhi.wire.framing import FrameReader, FrameSpec, frame
from simulators.line import CONTROL, MAIN, Incoming, Outgoing
from simulators.message_ids import MessageIds

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

    def __init__(self, host: str, port: int, spec: FrameSpec) -> None:
        """Connect; raises LineGoneError when nobody listens."""
        self._spec = spec
        self._reader = FrameReader(spec)
        try:
            self._socket = socket.create_connection((host, port), timeout=CONNECT_SECONDS)
        except OSError as error:
            raise LineGoneError(f"nobody listens on {host}:{port} ({error.strerror or error})") from error

    def send(self, items: list[Outgoing]) -> None:
        """Send frames; raises LineGoneError."""
        try:
            self._socket.sendall(b"".join([frame(self._spec, item.frame) for item in items]))
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
            return [Incoming(body) for body in self._reader.receive_data(data)]
        except RemoteProtocolError as error:
            raise LineGoneError(f"the other side broke the framing: {error}") from error

    def close(self) -> None:
        """Close."""
        self._socket.close()


class QueueConnection:
    """One bank's direct queues, pumped by hand: the reactor is turned, never run."""

    def __init__(self, main: str, control: str, bank: str, reactor: Any) -> None:
        """Connect as soon as somebody is there; a queue cannot tell that nobody is."""
        self._reactor = reactor
        self._answers: list[Incoming] = []
        self._ids = MessageIds(bank, clock.now().wall_us)
        limits = KeepLimits(answer_seconds=5)
        endpoints = {MAIN: main} | ({CONTROL: control} if control else {})
        self._senders = {
            name: ZmqSender(endpoint, limits, self._take, reactor) for name, endpoint in endpoints.items()
        }
        for sender in self._senders.values():
            sender.start()

    def send(self, items: list[Outgoing]) -> None:
        """Send documents; each is kept and sent again until its answer comes."""
        for item in items:
            sender = self._senders.get(item.endpoint) or self._senders[MAIN]
            sender.submit([(self._ids.of(item.ticket), item.frame)])

    def receive(self, seconds: float) -> list[Incoming]:
        """Return the documents that came, none when `seconds` passed."""
        until_us = clock.now().mono_us + int(seconds * 1_000_000)
        while not self._answers and clock.now().mono_us < until_us:
            self._reactor.iterate(0.01)
        answers, self._answers = self._answers, []
        return answers

    def close(self) -> None:
        """Close at once."""
        for sender in self._senders.values():
            sender.stop()

    def _take(self, outcomes: list[Outcome]) -> None:
        self._answers += [
            Incoming(outcome.body, self._ids.ticket(outcome.message_id))
            for outcome in outcomes
            if outcome.end == "answered"
        ]
