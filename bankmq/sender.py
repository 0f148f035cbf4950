"""A bank's end of a ZeroMQ queue: a DEALER socket around `kept.KeptMessages`; the simulators stand on it."""

from collections.abc import Callable, Sequence
from typing import Any

import zmq
from zmq.utils.monitor import parse_monitor_message

from bankmq.kept import KeepLimits, KeptMessages, Outcome
from bankmq.zmqread import MESSAGES_PER_TURN_MAX, ZmqReader
from qianzhi.runtime import clock
from qianzhi.runtime.effects import Send
from qianzhi.runtime.shell import Interpreter

HEARTBEAT_MS = 5_000
RECONNECT_MS_MAX = 1_000  # ZeroMQ doubles its pause up to this, and adds some of the first pause by chance


class ZmqSender:
    """Sends messages to one endpoint, or in turn to several that stand in for each other, and keeps each
    until its answer; `on_outcomes` hears how they ended, in lists."""

    def __init__(
        self,
        endpoint: str,
        limits: KeepLimits,
        on_outcomes: Callable[[list[Outcome]], None],
        reactor: Any,
        others: Sequence[str] = (),
    ) -> None:
        """`others` are the endpoints of the other instances of the same queue.  Nothing is opened yet."""
        self._endpoints = (endpoint, *others)
        self._standing: set[bytes] = set()
        self._limits = limits
        self._on_outcomes = on_outcomes
        self._reactor = reactor
        self._kept = KeptMessages(limits)
        self._interpreter = Interpreter(self, {Send: self._carry}, reactor)
        self._context: zmq.Context[Any] = zmq.Context()
        self._socket: zmq.Socket[bytes] | None = None
        self._readers: list[ZmqReader] = []
        self._unsent: dict[bytes, bytes] = {}

    @property
    def deadline(self) -> int | None:
        """When a message is to be sent again."""
        return self._kept.deadline

    def start(self) -> None:
        """Connect, now or as soon as the other end is there."""
        socket = self._socket = self._context.socket(zmq.DEALER)
        socket.setsockopt(zmq.LINGER, 0)
        # Nothing is queued for a peer that is not connected: what is kept is sent when the line stands.
        socket.setsockopt(zmq.IMMEDIATE, 1)
        socket.setsockopt(zmq.SNDHWM, self._limits.kept_max)
        socket.setsockopt(zmq.RCVHWM, self._limits.kept_max)
        socket.setsockopt(zmq.HEARTBEAT_IVL, HEARTBEAT_MS)
        socket.setsockopt(zmq.HEARTBEAT_TIMEOUT, 3 * HEARTBEAT_MS)
        socket.setsockopt(zmq.RECONNECT_IVL, 100)
        socket.setsockopt(zmq.RECONNECT_IVL_MAX, RECONNECT_MS_MAX)
        monitor = socket.get_monitor_socket(zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_DISCONNECTED)
        self._readers = [
            ZmqReader(monitor, self._reactor, self._take_line_events, lambda: MESSAGES_PER_TURN_MAX),
            ZmqReader(socket, self._reactor, self._take_answers, lambda: MESSAGES_PER_TURN_MAX, self._flush),
        ]
        for endpoint in self._endpoints:
            socket.connect(endpoint)
        for reader in self._readers:
            reader.start()

    def submit(self, items: list[tuple[bytes, bytes]]) -> None:
        """Send and keep messages, as (message id, body)."""
        self._interpreter.run(self._kept.submit(items, clock.now()))
        self._tell()

    def drop(self, message_ids: list[bytes]) -> None:
        """Send these no more: their owner has settled them in another way; unknown ids are ignored."""
        self._kept.drop(message_ids)
        for message_id in message_ids:
            self._unsent.pop(message_id, None)

    def on_time(self, now: Any) -> Any:
        """Let the kept messages do what is due."""
        effects = self._kept.on_time(now)
        self._tell()
        return effects

    def stop(self) -> None:
        """Close at once; what has no answer stays unanswered."""
        self._interpreter.stop()
        for reader in self._readers:
            reader.stop()
        if self._socket is not None:
            self._socket.disable_monitor()
            self._socket.close(linger=0)
        self._context.destroy(linger=0)

    def _take_answers(self, messages: list[list[bytes]]) -> None:
        answers = [(parts[0], parts[1]) for parts in messages if len(parts) == 2]
        self._interpreter.run(self._kept.on_answers(answers))
        self._tell()

    def _take_line_events(self, messages: list[list[bytes]]) -> None:
        """Send everything again when the first line stands, and when one of several is gone: what it held
        may go to the others, who answer a repeat as they would the first."""
        again = False
        for parts in messages:
            event = parse_monitor_message(parts)
            if event["event"] == zmq.EVENT_HANDSHAKE_SUCCEEDED:
                again = again or not self._standing
                self._standing.add(event["endpoint"])
            elif event["endpoint"] in self._standing:
                self._standing.discard(event["endpoint"])
                again = bool(self._standing)
        if again:
            self._interpreter.run(self._kept.on_connected(clock.now()))
        self._tell()

    def _carry(self, send: Send) -> None:
        self._unsent.update(send.items)
        self._flush()

    def _flush(self) -> None:
        """Give ZeroMQ what it takes; the rest goes when it can take more, as late as when the line stands."""
        if self._socket is None or not self._unsent:
            return
        for message_id in list(self._unsent):
            try:
                self._socket.send_multipart([message_id, self._unsent[message_id]], zmq.NOBLOCK)
            except zmq.Again:
                break
            del self._unsent[message_id]
        for reader in self._readers:
            reader.look()

    def _tell(self) -> None:
        outcomes = self._kept.take_outcomes()
        if outcomes:
            self._on_outcomes(outcomes)
