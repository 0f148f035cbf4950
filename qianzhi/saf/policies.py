"""When an entry is tried again, when its time is over, and what an answer to it means.  Pure.

The pattern of tries (some soon, then seldom, until the business date closes) is that of acquirers' store and
forward; its figures are the site's.
"""

from datetime import tzinfo
from enum import Enum, auto
from typing import NamedTuple

from qianzhi.domain.dates import closes_us
from qianzhi.domain.requests import Kind, Request
from qianzhi.domain.results import EDGE_RESULTS, Result
from qianzhi.runtime.now import SECOND_US

DAY_US = 86_400 * SECOND_US


class Policy(NamedTuple):
    """A site's figures; all times in microseconds but `deadline_minutes`, counted from midnight after the
    entry's business date.

    `window` entries of a destination are under way at once.  `lease_us` is how long a node owns its rows
    without a sign of life (0: for ever, where no other node can see them).
    """

    fast_tries: int = 3
    fast_us: int = 5 * SECOND_US
    slow_us: int = 60 * SECOND_US
    answer_us: int = 30 * SECOND_US
    deadline_minutes: int = 720
    window: int = 16
    entries_max: int = 100_000
    keep_us: int = 30 * DAY_US
    lease_us: int = 0

    def wait_us(self, tries: int) -> int:
        """Return how long to wait after so many tries: the short time at first, then twice as long each
        time, up to the long one."""
        beyond = max(0, tries - self.fast_tries)
        return min(self.slow_us, self.fast_us << min(beyond, 20))

    def deadline_us(self, date: int, made_us: int, zone: tzinfo) -> int:
        """Return the absolute business deadline of what belongs to a business date, at least an hour from
        its making: what is found late still has its tries."""
        return max(closes_us(date, self.deadline_minutes, zone), made_us + 3_600 * SECOND_US)


class Meaning(Enum):
    """What an answer says of an entry."""

    SETTLED = auto()
    AGAIN = auto()
    POISONED = auto()  # will never be taken as it is


_OVER = {Result.APPROVED, Result.REVERSED}
_NEVER_WAS = {Result.NOT_FOUND, Result.ORIGINAL_REFUSED, Result.BLOCKED}
_AGAIN = {Result.UNKNOWN, Result.IN_PROCESS, *map(Result, EDGE_RESULTS & frozenset(Result))} - {
    Result.FORMAT,
    Result.UNSUPPORTED,
}
_SETTLES = {
    Kind.CHARGE_REVERSAL: _OVER | _NEVER_WAS,
    Kind.CHARGE_REFUND: _OVER,  # what was approved and is not known there is a person's to look at
    Kind.ADVICE: _OVER | _NEVER_WAS,
    Kind.BLOCK: _OVER | _NEVER_WAS,  # a question: whatever the answer, the key is settled
    Kind.BREAK: {Result.APPROVED},
    Kind.MEND: {Result.APPROVED, Result.NOT_FOUND},
}


def is_vain(request: Request, result: Result | None) -> bool:
    """Tell whether a reversal is settled because there was nothing to be reversed, so far."""
    return request.kind is Kind.CHARGE_REVERSAL and result in _NEVER_WAS


def meaning(request: Request, result: Result) -> Meaning:
    """Say what a destination's answer to an entry's request comes to."""
    if result in _SETTLES.get(request.kind, _OVER):
        return Meaning.SETTLED
    return Meaning.AGAIN if result in _AGAIN else Meaning.POISONED
