"""How long business dates are kept, and what is to be done about it on a day.  Pure.

    ahead ──its part is made──▶ in use ──older than keep_days──▶ too old ──nothing of it open──▶ closed
    closed (opening balances written, nothing more taken) ──▶ detached (PostgreSQL) ──an operator──▶ dropped

The core refuses keys of a date that is too old before its rows go, so that an answer never rests on how far
the work has come (money rules 3 and 13).
"""

from collections.abc import Iterable
from typing import NamedTuple

from qianzhi.domain.dates import shift

AHEAD_DAYS = 14  # for which parts are made: as long may no bridge and no operator come to it
BEHIND_DAYS = 2  # beyond keep_days: another bridge's clock may be on the other side of a midnight


class Held(NamedTuple):
    """What keeps a date from going: what is open, and how often."""

    why: str
    times: int


class Parts(NamedTuple):
    """How the dates stand in the database.

    `attached` are the last dates of the parts that are not closed, oldest first; `closed` those that only
    wait to be detached; `opened` and `detached` the newest date whose opening balances are written, and
    whose rows are gone.  `unplaced` counts rows of dates that should have a part and have none.
    """

    attached: tuple[int, ...] = ()
    closed: tuple[int, ...] = ()
    opened: int = 0
    detached: int = 0
    unplaced: int = 0
    unplaced_dates: tuple[int, ...] = ()


class Round(NamedTuple):
    """What one round did: dates whose parts were made, closed, detached, and what held the next one."""

    made: tuple[int, ...] = ()
    moved: int = 0
    closed: tuple[int, ...] = ()
    detached: tuple[int, ...] = ()
    held: tuple[Held, ...] = ()
    held_date: int = 0
    unplaced: int = 0


def kept_from(today: int, keep_days: int) -> int:
    """Return the oldest date whose keys are answered."""
    return shift(today, -keep_days)


def goes_through(today: int, keep_days: int) -> int:
    """Return the newest date that may go."""
    return shift(today, -keep_days - BEHIND_DAYS)


def ahead(today: int) -> int:
    """Return the newest date that should have a part."""
    return shift(today, AHEAD_DAYS)


def wanted_days(today: int, parts: Parts) -> list[int]:
    """Return the dates that need a part and have none: from today on, and those with rows that have none."""
    newest = max(parts.attached, default=0)
    coming = (shift(today, days) for days in range(AHEAD_DAYS + 1))
    return sorted({day for day in coming if day > newest} | set(parts.unplaced_dates))


def due(today: int, keep_days: int, attached: Iterable[int]) -> list[int]:
    """Return the parts that are to be closed, oldest first."""
    last = goes_through(today, keep_days)
    return [day for day in sorted(attached) if day <= last]
