"""What a bank that publishes to a broker still waits for: the broker's word for each message, then an answer.

Pure.  Unlike on a direct queue (`kept`), a message that the broker has confirmed is the broker's to keep, and
is never published again by itself: the answer comes, or the bank asks what became of its request.  Only what
was not confirmed goes out again, under the same id, which is harmless because the receiver knows a request
by its key.
"""

from typing import Annotated, NamedTuple

from annotated_types import Interval

from bankmq.amqp_messages import Settled
from bankmq.kept import QUEUE, Outcome
from qianzhi.runtime.effects import Effects, Send
from qianzhi.runtime.now import SECOND_US, Now
from qianzhi.runtime.table import table


@table
class PublishLimits:
    """`kept_max` bounds the messages without an answer, `answer_seconds` the wait for it; what came back as
    unroutable, because nobody has declared its queue yet, goes out again after `again_seconds`."""

    kept_max: Annotated[int, Interval(ge=1, le=1_000_000)] = 20_000
    answer_seconds: Annotated[int, Interval(ge=1, le=86_400)] = 600
    again_seconds: Annotated[int, Interval(ge=1, le=60)] = 1


class Message(NamedTuple):
    """One message to publish; `control` sends it to the control queue."""

    message_id: bytes
    body: bytes
    control: bool


class PublishedMessages:
    """The messages of one sender that have no answer yet; effects are `Send(QUEUE, [Message, …])`."""

    def __init__(self, limits: PublishLimits) -> None:
        self._limits = limits
        self._since: dict[bytes, tuple[int, int]] = {}  # (when submitted, times published), oldest first
        self._unconfirmed: dict[bytes, Message] = {}
        self._again: dict[bytes, int] = {}  # when to publish what came back, earliest first
        self._open = False
        self._outcomes: list[Outcome] = []
        self.late = 0

    def __len__(self) -> int:
        return len(self._since)

    @property
    def deadline(self) -> int | None:
        """When `on_time` is wanted, in monotonic microseconds; None for never."""
        dues = [since + self._answer_us for since, _ in list(self._since.values())[:1]]
        if self._open:
            dues += list(self._again.values())[:1]
        return min(dues, default=None)

    def submit(self, items: list[Message], now: Now) -> Effects:
        """Keep and publish messages.  An id that is kept already is refused, not replaced."""
        taken = []
        for item in items:
            if item.message_id in self._since or len(self._since) >= self._limits.kept_max:
                self._outcomes.append(Outcome(item.message_id, "refused", b"", 0))
                continue
            self._since[item.message_id] = now.mono_us, 0
            self._unconfirmed[item.message_id] = item
            taken.append(item)
        return self._publish(taken) if self._open else []

    def on_open(self) -> Effects:
        """A connection stands: publish all that the broker has not confirmed, oldest first."""
        self._open = True
        self._again.clear()
        return self._publish(list(self._unconfirmed.values()))

    def on_lost(self) -> None:
        """The connection is gone; what was under way may have arrived or not."""
        self._open = False

    def on_settled(self, items: list[tuple[bytes, Settled]], now: Now) -> None:
        """Hear the broker's word; what was lost waits for the next connection."""
        for message_id, settled in items:
            if settled == "confirmed":
                self._unconfirmed.pop(message_id, None)
            elif settled == "returned" and message_id in self._unconfirmed:
                self._again.pop(message_id, None)
                self._again[message_id] = now.mono_us + self._limits.again_seconds * SECOND_US

    def on_answers(self, items: list[tuple[bytes, bytes]]) -> None:
        """Take answers; one to a message that is no longer kept is counted in `late` and dropped."""
        for message_id, body in items:
            _, times = self._since.get(message_id, (0, 0))
            if self._forget(message_id):
                self._outcomes.append(Outcome(message_id, "answered", body, times))
            else:
                self.late += 1

    def drop(self, message_ids: list[bytes]) -> None:
        """Want no answer to these any more; ids that are not kept are ignored."""
        for message_id in message_ids:
            self._forget(message_id)

    def on_time(self, now: Now) -> Effects:
        """Publish again what came back, and stop waiting for what nobody has answered."""
        for message_id, (since, times) in list(self._since.items()):
            if since + self._answer_us > now.mono_us:
                break
            self._forget(message_id)
            self._outcomes.append(Outcome(message_id, "unanswered", b"", times))
        if not self._open:
            return []
        due = [message_id for message_id, due_us in self._again.items() if due_us <= now.mono_us]
        for message_id in due:
            del self._again[message_id]
        return self._publish([self._unconfirmed[message_id] for message_id in due])

    def take_outcomes(self) -> list[Outcome]:
        """Return what has ended since the last call."""
        outcomes, self._outcomes = self._outcomes, []
        return outcomes

    @property
    def _answer_us(self) -> int:
        return self._limits.answer_seconds * SECOND_US

    def _publish(self, items: list[Message]) -> Effects:
        for item in items:
            since, times = self._since[item.message_id]
            self._since[item.message_id] = since, times + 1
        return [Send(QUEUE, items)] if items else []

    def _forget(self, message_id: bytes) -> bool:
        self._unconfirmed.pop(message_id, None)
        self._again.pop(message_id, None)
        return self._since.pop(message_id, None) is not None
