"""The sender's half of a direct queue: every message is kept until its answer, or until its owner drops it,
and sent again with the same id.

Pure.  Sending again is harmless because the receiver knows a message by its key; what has no answer after the
last attempt is reported as unanswered, which says nothing about whether it was carried out.
"""

from typing import Annotated, Literal, NamedTuple

from annotated_types import Interval

from qianzhi.runtime.effects import Effects, Send
from qianzhi.runtime.now import Now
from qianzhi.runtime.table import table

QUEUE = "queue"


@table
class KeepLimits:
    """`kept_max` bounds the messages without an answer; each is sent at most `attempts_max` times."""

    kept_max: Annotated[int, Interval(ge=1, le=1_000_000)] = 10_000
    attempts_max: Annotated[int, Interval(ge=1, le=1_000)] = 20
    answer_seconds: Annotated[int, Interval(ge=1, le=3_600)] = 10


class Outcome(NamedTuple):
    """How a message ended: answered with `body`, refused because too many are kept, or unanswered."""

    message_id: bytes
    end: Literal["answered", "refused", "unanswered"]
    body: bytes
    attempts: int


class _Kept(NamedTuple):
    body: bytes
    attempts: int
    due_us: int


class KeptMessages:
    """The messages of one sender that have no answer yet; effects are `Send(QUEUE, [(message id, body),
    …])`."""

    def __init__(self, limits: KeepLimits) -> None:
        self._limits = limits
        # In the order of their due times: the wait is the same for all, and who is sent again goes to the
        # end.
        self._kept: dict[bytes, _Kept] = {}
        self._outcomes: list[Outcome] = []
        self.late = 0

    def __len__(self) -> int:
        return len(self._kept)

    @property
    def deadline(self) -> int | None:
        """When the oldest message is to be sent again, in monotonic microseconds; None when none is kept."""
        return next(iter(self._kept.values())).due_us if self._kept else None

    def submit(self, items: list[tuple[bytes, bytes]], now: Now) -> Effects:
        """Keep and send messages, as (message id, body).  An id that is kept already is refused, not
        replaced."""
        sent: list[tuple[bytes, bytes]] = []
        for message_id, body in items:
            if message_id in self._kept or len(self._kept) >= self._limits.kept_max:
                self._outcomes.append(Outcome(message_id, "refused", b"", 0))
                continue
            self._kept[message_id] = _Kept(body, 1, self._due_us(now))
            sent.append((message_id, body))
        return [Send(QUEUE, sent)] if sent else []

    def on_answers(self, items: list[tuple[bytes, bytes]]) -> Effects:
        """Take answers; one to a message that is no longer kept is counted in `late` and dropped."""
        for message_id, body in items:
            kept = self._kept.pop(message_id, None)
            if kept is None:
                self.late += 1
            else:
                self._outcomes.append(Outcome(message_id, "answered", body, kept.attempts))
        return []

    def drop(self, message_ids: list[bytes]) -> None:
        """Send these no more: their owner has settled them in another way.  No outcome is told; ids that are
        not kept are ignored, and an answer that comes all the same is late."""
        for message_id in message_ids:
            self._kept.pop(message_id, None)

    def on_connected(self, now: Now) -> Effects:
        """The line stands again: send everything that has no answer."""
        return self._send_again(list(self._kept), now)

    def on_time(self, now: Now) -> Effects:
        """Send again what has waited long enough."""
        due = []
        for message_id, kept in self._kept.items():
            if kept.due_us > now.mono_us:
                break
            due.append(message_id)
        return self._send_again(due, now)

    def take_outcomes(self) -> list[Outcome]:
        """Return what has ended since the last call."""
        outcomes, self._outcomes = self._outcomes, []
        return outcomes

    def _send_again(self, message_ids: list[bytes], now: Now) -> Effects:
        sent = []
        for message_id in message_ids:
            kept = self._kept.pop(message_id)
            if kept.attempts >= self._limits.attempts_max:
                self._outcomes.append(Outcome(message_id, "unanswered", b"", kept.attempts))
                continue
            self._kept[message_id] = _Kept(kept.body, kept.attempts + 1, self._due_us(now))
            sent.append((message_id, kept.body))
        return [Send(QUEUE, sent)] if sent else []

    def _due_us(self, now: Now) -> int:
        return now.mono_us + self._limits.answer_seconds * 1_000_000
