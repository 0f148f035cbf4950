"""The model broker: queues that keep what they were given until it is acknowledged, and all that a broker
does to those who trust it.  Pure.

A message waits in its queue, is given to a consumer up to its prefetch, and is gone once acknowledged.
Whoever loses the connection finds its deliveries given out again, marked with how often that was.  A confirm
may be lost although the message was taken; a message may come twice, or come back because its queue is gone.
"""

from collections import Counter, deque
from collections.abc import Callable, Iterable
from zlib import crc32

from bankmq.amqp_messages import Properties, Publication, Settled
from bankmq.amqp_names import bank_names
from qianzhi.runtime.now import SECOND_US
from simulators.world.broker_parts import Consumer, Kept
from simulators.world.broker_session import ModelQueueServer
from simulators.world.faults import Fault
from simulators.world.kernel import Kernel
from simulators.world.network import damaged
from simulators.world.parts import Message
from simulators.world.process import Process

WIRE_US = 250  # to the broker, and from it
DELIVERIES_MAX = 100  # a message that was given out so often in vain is put aside (the delivery limit)
HEARTBEAT_US = 5 * SECOND_US  # who says nothing twice in a row is cut off
TWICE_US = 5 * SECOND_US
REPLIES = "reply/"  # what the banks' own queues begin with


class ModelBroker:
    """All queues of one run."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.dice = kernel.dice("broker")
        self.queues: dict[str, deque[Kept]] = {}
        self.backed_out: list[tuple[str, Kept]] = []  # with the queue's name
        self.dead: list[tuple[str, Kept]] = []
        self.strength: Counter[str] = Counter()
        self._active: Counter[str] = Counter()
        self._consumers: dict[str, list[Consumer]] = {}
        self._sessions: list[ModelQueueServer] = []
        self._deleted: set[str] = set()  # queues of fronts, which have not declared them again
        self._gone: dict[str, Callable[[], None]] = {}  # reply queues that were deleted, and who wants them
        self._tags = 0

    # -- as banks see it (`parts.Broker`)

    def publish(self, by: Process, queue: str, message: Message, on_confirm: Callable[[bool], None]) -> None:
        """Publish to a queue; `on_confirm` hears whether the broker has taken it, unless that is lost."""
        dice = self.dice
        if self.down or dice.hit(self.strength["nack"]):
            by.later(2 * WIRE_US, "nack", on_confirm, False)
            return
        now_us, wall_us = self.kernel.now_us, by.now.wall_us
        left_ms = max(1, (message.expires_us - wall_us) // 1_000) if message.expires_us else None
        kept = Kept(
            self.carried(message.body),
            Properties(
                message.message_id,
                message.correlation,
                message.reply_to,
                expiration_ms=left_ms,
                timestamp=wall_us // SECOND_US,
            ),
            0,
            now_us + left_ms * 1_000 if left_ms is not None else 0,
        )
        self.kernel.later(WIRE_US, "publish", self.put, queue, kept)
        if dice.hit(self.strength["duplicate"]):
            self.kernel.later(WIRE_US + dice.below(TWICE_US), "publish", self.put, queue, kept)
        if not dice.hit(self.strength["confirm_lost"]):
            by.later(2 * WIRE_US, "confirm", on_confirm, True)

    def consume(self, by: Process, queue: str, on_message: Callable[[Message], None]) -> None:
        """Hear what comes to a queue of one's own; what came is acknowledged by the call's return."""

        def take(items: list[tuple[int, Kept]]) -> None:
            for tag, kept in items:
                self.acknowledge(consumer, tag)
                properties = kept.properties
                on_message(
                    Message(kept.body, _bytes(properties.message_id), "", _bytes(properties.correlation_id))
                )

        def declare() -> None:
            if consumer.life == by.life:
                self.read(consumer)

        consumer = Consumer(by, queue, 1_000, take)
        if queue in self._gone:
            self._gone[queue] = declare
        else:
            declare()

    def server(self, process: Process, queue: str, prefetch: int) -> ModelQueueServer:
        """Return a QueueServer for one life of a front's process: the main queue and its control queue."""
        names = bank_names("", queue)._replace(reply=REPLIES)
        session = ModelQueueServer(self, process, names, prefetch)
        self._sessions.append(session)
        self.kernel.later(HEARTBEAT_US, "heartbeat", self._listen, session, False)
        return session

    # -- as sessions see it

    @property
    def down(self) -> bool:
        """Whether nobody can connect."""
        return self._active["broker_restart"] > 0

    def read(self, consumer: Consumer) -> None:
        """Give a consumer what waits in its queue, made where it is missing, and what will come."""
        self.queues.setdefault(consumer.queue, deque())
        readers = self._consumers.setdefault(consumer.queue, [])
        if consumer not in readers:
            readers.append(consumer)
        consumer.open = True
        self._pump(consumer.queue)

    def take_publication(self, item: Publication) -> Settled:
        """Take a publication of a front: to a reply queue, or to the backout queue."""
        queue = item.routing_key
        if queue.endswith(".bo"):
            self.backed_out.append((queue, Kept(item.body, item.properties, 0, 0)))
            if item.properties.headers.get("qianzhi-reason") == "failed_alone":
                self.kernel.saw("poison-backed-out")
            return "confirmed"
        if queue not in self.queues:
            self.kernel.saw("reply-unroutable")
            return "returned"
        self.put(queue, Kept(self.carried(item.body), item.properties, 0, 0))
        return "confirmed"

    def carried(self, body: bytes) -> bytes:
        """Return a body as it is kept: whoever handed it over may have had it damaged."""
        return damaged(body, self.dice) if self.dice.hit(self.strength["body_broken"]) else body

    def declare(self, queues: Iterable[str]) -> None:
        """Let queues be there again that were deleted."""
        self._deleted.difference_update(queues)

    def put(self, queue: str, kept: Kept) -> None:
        """Put a message into a queue; one of a front that was never there stands until it comes."""
        if queue in self._deleted or (queue.startswith(REPLIES) and queue not in self.queues):
            return
        waiting = self.queues.setdefault(queue, deque())
        readers = self._consumers.get(queue, ())
        paused = bool(readers) and not any(reader.open for reader in readers)
        waiting.append(kept._replace(paused=True) if paused else kept)
        self._pump(queue)

    def acknowledge(self, consumer: Consumer, tag: int) -> None:
        """Be done with a delivery, unless word of that is lost."""
        kept = consumer.unacknowledged.pop(tag, None)
        if kept is not None and self.dice.hit(self.strength["redelivery"]):
            self._put_back(consumer.queue, [kept])
        self._pump(consumer.queue)

    def requeue(self, consumer: Consumer, tag: int) -> None:
        """Take a delivery back."""
        kept = consumer.unacknowledged.pop(tag, None)
        if kept is not None:
            self._put_back(consumer.queue, [kept])

    def leave(self, consumer: Consumer, *, died: bool = False) -> None:
        """A consumer's connection is gone: what it had is given out again."""
        readers = self._consumers.get(consumer.queue, [])
        if consumer in readers:
            readers.remove(consumer)
        back = list(consumer.unacknowledged.values())
        consumer.unacknowledged.clear()
        consumer.inbox.clear()
        consumer.open = False
        if back and died:
            self.kernel.saw("redelivery-after-crash")
        self._put_back(consumer.queue, back)

    def over(self, session: ModelQueueServer) -> None:
        """A front's session has ended for good."""
        if session in self._sessions:
            self._sessions.remove(session)

    def left(self) -> list[tuple[str, int]]:
        """Return how many messages of each queue are not finished: nothing, after all has healed (I8)."""
        given = {
            queue: sum(len(reader.unacknowledged) for reader in readers)
            for queue, readers in self._consumers.items()
        }
        return [(queue, len(waiting) + given.get(queue, 0)) for queue, waiting in self.queues.items()]

    # -- faults

    def begin_fault(self, fault: Fault) -> None:
        """Let a fault begin (`faults.BROKER_FAULTS`)."""
        self.strength[fault.kind] += fault.strength
        self._active[fault.kind] += 1
        if fault.kind == "broker_restart":
            for session in list(self._sessions):
                session.break_off("the broker restarts")
        elif fault.kind == "reply_queue_gone":
            self._delete_replies()
        elif fault.kind == "queue_gone":
            self._delete_queues()

    def end_fault(self, fault: Fault) -> None:
        """Let it be over."""
        self.strength[fault.kind] -= fault.strength
        self._active[fault.kind] -= 1
        if fault.kind == "reply_queue_gone" and not self._active["reply_queue_gone"]:
            wanted, self._gone = self._gone, {}
            for declare in wanted.values():
                declare()
        for queue in list(self.queues):
            self._pump(queue)

    def poisoned(self, body: bytes) -> bool:
        """Say whether a message ends every process that handles it."""
        return crc32(b"poison" + body) % 1_000 < self.strength["poison"]

    # -- parts

    def _delete_replies(self) -> None:
        """Somebody deletes the banks' queues, with what waits in them."""
        for queue in [name for name in self.queues if name.startswith(REPLIES)]:
            del self.queues[queue]
            readers = self._consumers.pop(queue, [])
            for reader in readers:
                reader.unacknowledged.clear()
                reader.inbox.clear()
                self._gone[queue] = _again(self, reader)

    def _delete_queues(self) -> None:
        """Somebody deletes the queues that fronts read, with what waits in them and what is being handled.

        Every front is told, and declares its own again.
        """
        for queue in [name for name in self.queues if not name.startswith(REPLIES)]:
            del self.queues[queue]
            self._deleted.add(queue)
        for session in list(self._sessions):
            session.break_off("queue deleted")

    def _put_back(self, queue: str, messages: list[Kept]) -> None:
        """Give messages out again, before those that still wait; one that was given too often is dead."""
        waiting = self.queues.get(queue)
        if waiting is None:
            return
        for kept in reversed(messages):
            if kept.failures >= DELIVERIES_MAX:
                self.dead.append((queue, kept))
            else:
                waiting.appendleft(kept._replace(failures=kept.failures + 1))
        if messages:
            self._pump(queue)

    def _pump(self, queue: str) -> None:
        """Give out what waits, as far as there is room."""
        waiting = self.queues.get(queue)
        if not waiting or self._active["broker_pause"] or self.down:
            return
        readers = self._consumers.get(queue, [])
        while waiting:
            able = [one for one in readers if one.open and len(one.unacknowledged) < one.prefetch]
            if not able:
                return
            kept = waiting.popleft()
            if kept.until_us and kept.until_us <= self.kernel.now_us:
                self.dead.append((queue, kept))
                continue
            if kept.paused:
                self.kernel.saw("paused-queue-served-later")
                kept = kept._replace(paused=False)
            self._give(min(able, key=lambda one: len(one.unacknowledged)), kept)

    def _give(self, reader: Consumer, kept: Kept) -> None:
        self._tags += 1
        reader.unacknowledged[self._tags] = kept
        if not reader.inbox:
            reader.process.later(WIRE_US, "deliveries", _arrive, reader)
        reader.inbox.append((self._tags, kept))

    def _listen(self, session: ModelQueueServer, silent: bool) -> None:
        """Cut off who was silent twice in a row."""
        if session not in self._sessions:
            return
        frozen = session.process.frozen
        if frozen and silent:
            session.cut_off()
            frozen = False
        self.kernel.later(HEARTBEAT_US, "heartbeat", self._listen, session, frozen)


def _arrive(reader: Consumer) -> None:
    items, reader.inbox = reader.inbox, []
    if items:
        reader.take(items)


def _again(broker: ModelBroker, reader: Consumer) -> Callable[[], None]:
    return lambda: broker.read(reader) if reader.life == reader.process.life else None


def _bytes(text: str | bytes | None) -> bytes:
    return text.encode() if isinstance(text, str) else text or b""
