"""A bank's end of its queues on RabbitMQ: publishes to the bank's own exchange, and consumes the answers.

    <bank>.in ──key <bank>──▶ main      <bank>.in ──key <bank>.ctl──▶ control      answers ──▶ <bank>.reply…

The simulators stand on it.  One session carries both directions; `rabbit_sender_kept` decides what is
published again.
"""

from collections.abc import Callable
from typing import Any

from bankmq.amqp import AmqpSession, Broker, SessionState
from bankmq.amqp_messages import AmqpMessage, Properties, Publication, Queue, Settled, Topology
from bankmq.amqp_names import BankNames
from bankmq.kept import Outcome
from bankmq.rabbit_sender_kept import Message, PublishedMessages, PublishLimits
from qianzhi.runtime import clock
from qianzhi.runtime.effects import Effects, Send
from qianzhi.runtime.now import SECOND_US, Now
from qianzhi.runtime.shell import Interpreter

ANSWERS_PREFETCH = 1_000
EXPIRES_MS = 600_000  # a reply queue that nobody reads any more removes itself


class RabbitSender:
    """Publishes one bank's messages and waits for their answers; `on_outcomes` hears how they ended, in
    lists."""

    def __init__(
        self,
        names: BankNames,
        broker: Broker,
        reply_suffix: str,
        limits: PublishLimits,
        on_outcomes: Callable[[list[Outcome]], None],
        reactor: Any,
    ) -> None:
        """`reply_suffix` makes the name of the reply queue, which two programs never share.  Nothing is
        dialled yet."""
        self._names = names
        self._reply = names.reply + reply_suffix
        self._on_outcomes = on_outcomes
        self._kept = PublishedMessages(limits)
        self._interpreter = Interpreter(self, {Send: self._publish}, reactor)
        answers = Queue(self._reply, {"x-queue-type": "quorum", "x-expires": EXPIRES_MS})
        self._session = AmqpSession(broker, Topology(queues=(answers,)), self, reactor)

    @property
    def deadline(self) -> int | None:
        """When a message is to be published again, or waited for no longer."""
        return self._kept.deadline

    def on_time(self, now: Now) -> Effects:
        """Let the kept messages do what is due."""
        effects = self._kept.on_time(now)
        self._tell()
        return effects

    @property
    def state(self) -> SessionState:
        """Where the session stands, for people who wait for it."""
        return self._session.state

    def start(self) -> None:
        """Dial, now or as soon as the broker is there."""
        self._session.start()

    def submit(self, items: list[Message]) -> None:
        """Publish messages, whose ids are UTF-8, and keep them until their answers."""
        self._interpreter.run(self._kept.submit(items, clock.now()))
        self._tell()

    def drop(self, message_ids: list[bytes]) -> None:
        """Want no answer to these any more: their owner has settled them in another way."""
        self._kept.drop(message_ids)

    def stop(self) -> Any:
        """Close; the result is a Deferred that fires when the connection has gone."""
        self._interpreter.stop()
        return self._session.stop()

    def on_open(self) -> None:
        """The reply queue stands on a new connection."""
        self._session.consume(self._reply, ANSWERS_PREFETCH)
        self._interpreter.run(self._kept.on_open())

    def on_messages(self, items: list[AmqpMessage]) -> None:
        """Answers have come."""
        self._kept.on_answers([(_id_of(item.properties), item.body) for item in items])
        self._tell()
        self._session.acknowledge([item.tag for item in items])

    def on_settled(self, items: list[tuple[Any, Settled]]) -> None:
        """The broker has said what became of publications."""
        self._kept.on_settled(items, clock.now())
        self._interpreter.run([])

    def on_state(self, state: SessionState) -> None:
        """The session stands, or does not."""
        if state.name not in ("ready", "blocked"):
            self._kept.on_lost()

    def _publish(self, send: Send) -> None:
        stamp = clock.now().wall_us // SECOND_US
        self._session.publish([self._publication(item, stamp) for item in send.items])

    def _publication(self, item: Message, stamp: int) -> Publication:
        # As text, which is what a returned message brings back and is known again by.
        name = item.message_id.decode("utf-8")
        properties = Properties(message_id=name, reply_to=self._reply, timestamp=stamp)
        key = self._names.control if item.control else self._names.main
        return Publication(item.message_id, self._names.exchange, key, item.body, properties)

    def _tell(self) -> None:
        outcomes = self._kept.take_outcomes()
        if outcomes:
            self._on_outcomes(outcomes)


def _id_of(properties: Properties) -> bytes:
    """Return the id of the message that an answer belongs to; empty where it names none."""
    text = properties.correlation_id or b""
    return text if isinstance(text, bytes) else text.encode("utf-8", "surrogateescape")
