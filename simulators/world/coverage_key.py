"""What has happened under one key, and which interleavings that makes; fed with facts in their order.  Pure.

A fact is small: a frame has reached a front, a front has spoken, a row was committed, a bridge has settled.
"""

from collections.abc import Callable

from crm_bridge.journal import State
from qianzhi.domain.results import EDGE_RESULTS, Result
from simulators.scenario import Step

Saw = Callable[[str], None]

_ORIGINALS = frozenset({Step.ORIGINAL, Step.REPEAT, Step.OTHER})
_EDGE_NAMES = frozenset(one.name.lower() for one in Result if one in EDGE_RESULTS)
_OPEN_NAMES = frozenset({"unknown", "in_process"})


class KeyStory:
    """One key.  Dates are numbers YYYYMMDD; `today` is always the platform's own at that moment."""

    __slots__ = (
        "asked", "block_asked", "content", "date", "dated", "edge", "far", "first_day",
        "number", "pending", "reversals", "said", "silent", "state", "stood", "taken_over", "unknown",
        "unknown_undone",
    )  # fmt: skip

    def __init__(self, date: int, *, dated: bool) -> None:
        self.date = date
        self.dated = dated  # whether the date is the message's own
        self.state: State | None = None
        self.content: object = None  # of the first original
        self.number = ""
        self.first_day = 0  # on which the first original came
        self.pending: dict[str, int] = {}  # originals that this front has not answered
        self.asked = False  # by a query, before any original came
        self.reversals = 0
        self.said = False  # whether a final word on the original was told
        self.edge = False  # whether it was refused at the edge
        self.unknown = ""  # the front that has told "unknown", or nothing
        self.block_asked = False  # whether a front has had the key blocked
        self.silent = False  # whether "unknown" was told by silence
        self.unknown_undone = False  # whether it was taken back after that, while it stood
        self.stood = False  # whether success was told
        self.taken_over = False  # whether another database has taken over since
        self.far = 0  # how often it was refused as too far ahead

    # -- a frame has reached a front

    def came(
        self, step: Step, content: object, number: str, front: str, day: tuple[int, int], saw: Saw
    ) -> None:
        """Take a frame; `day` is today and the last closed date of the key's space."""
        if step in _ORIGINALS:
            self._original(content, number, front, day, saw)
        elif step is Step.STATUS:
            self._status(front, day, saw)
        elif step is Step.REVERSAL:
            self._reversal(front, day, saw)

    def _original(self, content: object, number: str, front: str, day: tuple[int, int], saw: Saw) -> None:
        today, closed = day
        if self.state is State.BLOCKED and self.reversals:
            saw("reversal-before-original")
        elif self.state is State.BLOCKED and self.asked:
            saw("query-before-original")
        if self.state is None and self.dated and self.date <= closed:
            saw("late-original-of-closed-day")
        if self.content is None:
            self.content, self.number, self.first_day = content, number, today
        elif content != self.content:
            saw("serial-shared-by-two-numbers" if number != self.number else "other-content")
        else:
            self._repeat(front, today, saw)
        self.pending[front] = self.pending.get(front, 0) + 1

    def _repeat(self, front: str, today: int, saw: Saw) -> None:
        if self.state is State.REVERSED:
            saw("repeat-after-reversal")
        elif self.pending.get(front):
            saw("repeat-in-flight")
        elif self.said:
            saw("repeat-after-answer")
        if not self.dated and today != self.first_day:
            saw("repeat-over-midnight")

    def _status(self, front: str, day: tuple[int, int], saw: Saw) -> None:
        if self.state is None and self.content is None:
            self.asked = True
            if self.dated and self.date <= day[1]:
                saw("query-of-closed-day")
        elif self.pending.get(front) and self.state is None:
            saw("query-in-flight")
        elif self.said and self.state is not None:
            saw("query-after-answer")
        if self.unknown:
            saw("unknown-told-then-queried")

    def _reversal(self, front: str, day: tuple[int, int], saw: Saw) -> None:
        today, closed = day
        self.reversals += 1
        if self.reversals > 1:
            saw("reversal-repeated")
        self.unknown_undone = bool(self.unknown) and not self.said and self.state is State.APPROVED
        if self.state is State.APPROVED:
            saw("reversal-after-fence" if self.date <= closed else "reversal-after-original")
        elif self.state is State.REFUSED:
            saw("reversal-of-refused")
        elif self.state is State.BLOCKED and self.asked:
            saw("reversal-of-tombstone")
        elif self.state is None and any(self.pending.values()):
            saw("reversal-during-original")
        if not self.dated and self.content is not None and today != self.first_day:
            saw("reversal-over-midnight")

    # -- a row was committed

    def committed(self, state: State, saw: Saw) -> None:
        """Take the key's row in its new state."""
        self.state = state
        if state is State.QUARANTINED:
            saw("bad-request-alone")

    # -- a bridge has settled a request

    def settled(self, kind: str, result: str, alive: bool, saw: Saw) -> None:
        """Take a bridge's row; `alive` says that the front which told "unknown" has lived since."""
        if kind == "block":
            self.block_asked = True
            return
        if kind == "status" and result == "approved" and self.taken_over:
            saw("failover-keeps-answers")
        if kind not in ("recharge", "pay"):
            return
        if result == "blocked" and self.state is State.BLOCKED and not self.reversals and not self.asked:
            saw("budget-spent-waiting")
        if self.unknown and alive and not any(self.pending.values()):
            saw("late-reply-dropped")

    # -- a front has spoken

    def told(self, kind: str, result: str, front: str, today: int, saw: Saw) -> None:
        """Take a front's word; `result` is empty for silence after an unknown outcome."""
        if kind == "reversal" and result == "approved" and self.unknown_undone:
            saw("reversal-of-unknown")
        elif kind == "status" and self.silent and result not in ("", *_OPEN_NAMES):
            saw("silence-then-asked")
        if kind not in ("recharge", "pay", "none", "block"):
            return
        if self.pending.get(front):
            self.pending[front] -= 1
        if result in ("", "unknown"):
            self.unknown, self.silent = front, self.silent or not result
            return
        if self.is_blocked_first(result):
            saw("refused-after-block-alone")
        if result in _EDGE_NAMES:
            self.edge = True
        elif result not in _OPEN_NAMES:
            self._told_finally(result, today, saw)

    def is_blocked_first(self, result: str) -> bool:
        """Say whether this is a refusal for which a front has had the key blocked."""
        return self.block_asked and self.state is State.BLOCKED and result not in ("", *_OPEN_NAMES)

    def failed_over(self) -> None:
        """Another database takes over: what was told before has to stand there too."""
        self.taken_over = self.stood

    def _told_finally(self, result: str, today: int, saw: Saw) -> None:
        self.said = True
        if result == "approved":
            self.stood = True
            if self.edge:
                saw("busy-then-approved")
            if self.date > today:
                saw("bank-a-day-ahead")
            elif self.dated and self.date < today:
                saw("bank-a-day-behind")
        elif result == "bad_date" and self.state is State.REFUSED:
            if self.far and self.far != today:
                saw("date-too-far-ahead")
            self.far = self.far or today
