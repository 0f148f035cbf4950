"""A bank's queues on ZeroMQ: two ROUTER sockets, to which the bank's DEALER sockets connect directly.

    from the bank   [message id][body]        to the bank   [message id][body]

There is no broker between: the sender keeps each message until its answer and sends it again with the same
id, so nothing is persisted here.  *Confirmed* means that ZeroMQ has taken the reply for a peer that is
connected; *returned* that the asker is gone or does not read (ROUTER_MANDATORY).
"""

import itertools
from typing import Annotated, Any, NamedTuple

import zmq
from annotated_types import Interval

from bankmq.queue import CONTROL_SUFFIX, Delivery, QueueError, QueueHandler
from bankmq.zmqread import ZmqReader
from qianzhi.runtime import metrics
from qianzhi.runtime.log import get_logger
from qianzhi.runtime.table import table

MESSAGE_ID_BYTES_MAX = 64
HEARTBEAT_MS = 5_000
READ_FACTOR = 4  # so much more than allowed is still read, so that it can be counted


@table
class ZmqLimits:
    """`prefetch` bounds the deliveries in flight on each queue.

    A message of more than `message_bytes_max` is counted and dropped; one of more than four times that ends
    its sender's connection inside ZeroMQ, which counts nothing.
    """

    prefetch: Annotated[int, Interval(ge=1, le=65_535)] = 500
    message_bytes_max: Annotated[int, Interval(ge=64, le=16_000_000)] = 65_536
    waiting_max: Annotated[int, Interval(ge=1, le=1_000_000)] = 1_000


class _Asker(NamedTuple):
    """Whom a delivery's reply goes to."""

    queue: str
    identity: bytes
    message_id: bytes


class _Queue:
    """One ROUTER socket with its reader and what is in flight on it."""

    def __init__(self, name: str, socket: "zmq.Socket[bytes]") -> None:
        self.name = name
        self.socket = socket
        self.reader: ZmqReader | None = None
        self.paused = False
        self.in_flight = 0


class ZmqQueueServer:
    """The queues `name` and `name.ctl` of one bank; fits `bankmq.queue.QueueServer`."""

    def __init__(self, name: str, endpoint: str, control: str, limits: ZmqLimits, reactor: Any) -> None:
        """`endpoint` and `control` are ZeroMQ addresses such as tcp://127.0.0.1:17311; an empty `control`
        means none."""
        self._name = name
        self._addresses = {name: endpoint} | ({name + CONTROL_SUFFIX: control} if control else {})
        self._limits = limits
        self._reactor = reactor
        self._handler: QueueHandler | None = None
        self._context: zmq.Context[Any] = zmq.Context()
        self._queues: dict[str, _Queue] = {}
        self._tags = itertools.count(1)
        self._askers: dict[int, _Asker] = {}
        self._asking: set[_Asker] = set()
        self._deliveries: list[Delivery] = []
        self._confirmed: list[int] = []
        self._returned: list[int] = []
        self._gathering: Any = None

    def start(self, handler: QueueHandler) -> None:
        """Bind both addresses and begin to read; raises QueueError."""
        self._handler = handler
        for name, address in self._addresses.items():
            self._queues[name] = _Queue(name, self._bind(address))
        for queue in self._queues.values():
            self._read(queue)

    def addresses(self) -> dict[str, str]:
        """Return the address on which each queue really listens, port 0 and wildcards resolved."""
        return {
            name: queue.socket.getsockopt_string(zmq.LAST_ENDPOINT) for name, queue in self._queues.items()
        }

    def reply(self, items: list[tuple[int, bytes]]) -> None:
        """Send replies; a tag that is not in flight is a programmer's error (KeyError)."""
        for tag, body in items:
            asker = self._askers[tag]
            sent = self._send(self._queues[asker.queue].socket, asker, body)
            (self._confirmed if sent else self._returned).append(tag)
        for queue in self._queues.values():
            if queue.reader is not None:
                queue.reader.look()
        self._gather()

    def acknowledge(self, tags: list[int]) -> None:
        """Be done with these deliveries; unknown tags are ignored, as an acknowledgement may come twice."""
        for tag in tags:
            asker = self._askers.pop(tag, None)
            if asker is None:
                continue
            self._asking.discard(asker)
            queue = self._queues[asker.queue]
            if queue.in_flight == self._limits.prefetch and queue.reader is not None:
                queue.reader.look()
            queue.in_flight -= 1

    def release(self, tags: list[int]) -> None:
        """Forget these deliveries: their senders keep them and send them again."""
        self.acknowledge(tags)

    def back_out(self, items: list[tuple[int, str]]) -> None:
        """Count and drop what cannot be served: without a broker there is nowhere to put it."""
        metrics.count("qianzhi_queue_messages_total", (self._name, "backed_out"), len(items))
        reasons = ", ".join(sorted({reason for _, reason in items}))
        get_logger("bankmq").warning("messages dropped", queue=self._name, n=len(items), reasons=reasons)
        self.acknowledge([tag for tag, _ in items])

    def status(self) -> dict[str, Any]:
        """Return how many deliveries are in flight; there is no broker that could be down."""
        return {"broker": "none: direct", "unanswered": len(self._askers)}

    def pause(self, queue: str, paused: bool) -> None:
        """Stop or go on reading the main queue; raises ValueError for any other."""
        if queue != self._name:
            raise ValueError(f"only {self._name} can be paused, not {queue}")
        line = self._queues[queue]
        line.paused = paused
        if not paused and line.reader is not None:
            line.reader.look()

    def stop(self) -> None:
        """Close everything at once; senders keep what has no answer."""
        if self._gathering is not None and self._gathering.active():
            self._gathering.cancel()
        for queue in self._queues.values():
            if queue.reader is not None:
                queue.reader.stop()
            queue.socket.close(linger=0)
        self._queues.clear()
        self._context.destroy(linger=0)

    def _bind(self, address: str) -> "zmq.Socket[bytes]":
        socket: zmq.Socket[bytes] = self._context.socket(zmq.ROUTER)
        socket.setsockopt(zmq.LINGER, 0)
        socket.setsockopt(zmq.ROUTER_MANDATORY, 1)
        # A bank that comes back under its fixed identity must not wait until its dead connection is noticed.
        socket.setsockopt(zmq.ROUTER_HANDOVER, 1)
        socket.setsockopt(zmq.MAXMSGSIZE, READ_FACTOR * self._limits.message_bytes_max)
        socket.setsockopt(zmq.RCVHWM, self._limits.waiting_max)
        socket.setsockopt(zmq.SNDHWM, self._limits.waiting_max)
        socket.setsockopt(zmq.HEARTBEAT_IVL, HEARTBEAT_MS)
        socket.setsockopt(zmq.HEARTBEAT_TIMEOUT, 3 * HEARTBEAT_MS)
        try:
            socket.bind(address)
        except zmq.ZMQError as error:
            socket.close(linger=0)
            raise QueueError(f"cannot listen on {address}: {error.strerror}") from error
        return socket

    def _read(self, queue: _Queue) -> None:
        def take(messages: list[list[bytes]]) -> None:
            self._take(queue, messages)

        def room() -> int:
            return 0 if queue.paused else self._limits.prefetch - queue.in_flight

        queue.reader = ZmqReader(queue.socket, self._reactor, take, room)
        queue.reader.start()

    def _take(self, queue: _Queue, messages: list[list[bytes]]) -> None:
        """Number what has come; drop what is malformed, too long or already in flight for the same asker."""
        malformed = oversized = joined = 0
        for parts in messages:
            if len(parts) != 3 or not 1 <= len(parts[1]) <= MESSAGE_ID_BYTES_MAX or not parts[2]:
                malformed += 1
                continue
            if len(parts[2]) > self._limits.message_bytes_max:
                oversized += 1
                continue
            asker = _Asker(queue.name, parts[0], parts[1])
            if asker in self._asking:
                joined += 1
                continue
            tag = next(self._tags)
            self._askers[tag] = asker
            self._asking.add(asker)
            queue.in_flight += 1
            self._deliveries.append(Delivery(tag, queue.name, parts[1], parts[2], parts[0]))
        counts = {"malformed": malformed, "oversized": oversized, "joined": joined, "read": len(messages)}
        for what, n in counts.items():
            if n:
                metrics.count("qianzhi_queue_messages_total", (queue.name, what), n)
        if malformed or oversized:
            get_logger("bankmq").warning(
                "messages dropped", queue=queue.name, malformed=malformed, oversized=oversized
            )
        self._gather()

    def _send(self, socket: "zmq.Socket[bytes]", asker: _Asker, body: bytes) -> bool:
        try:
            socket.send_multipart([asker.identity, asker.message_id, body], zmq.NOBLOCK)
        except zmq.ZMQError as error:
            if error.errno not in (zmq.EHOSTUNREACH, zmq.EAGAIN):
                raise
            return False
        return True

    def _gather(self) -> None:
        if self._gathering is None:
            self._gathering = self._reactor.callLater(0, self._hand_over)

    def _hand_over(self) -> None:
        self._gathering = None
        handler = self._handler
        deliveries, self._deliveries = self._deliveries, []
        confirmed, self._confirmed = self._confirmed, []
        returned, self._returned = self._returned, []
        if handler is None:
            return
        if confirmed:
            metrics.count("qianzhi_queue_messages_total", (self._name, "answered"), len(confirmed))
            handler.on_confirmed(confirmed)
        if returned:
            metrics.count("qianzhi_queue_messages_total", (self._name, "returned"), len(returned))
            metrics.count("qianzhi_alarms_total", ("reply_returned",), len(returned))
            handler.on_returned(returned)
        if deliveries:
            deliveries.sort(key=lambda delivery: not delivery.queue.endswith(CONTROL_SUFFIX))
            handler.on_deliveries(deliveries)
