"""Fences: up to which business date each serial space is closed (money rules 2 and 10).  Pure.

A fence is written by a CLOSE that is carried out in a ledger transaction, and only ever rises.  No clock
closes a date: what the clock says is when a date may be closed at the earliest.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

HOUSE_SERIAL = "-"  # the serial of a request about a whole business date
EVERY_SPACE = "*"  # as the space of a CLOSE: the question which dates are due, and nothing is closed


class Fence(NamedTuple):
    """One rise of a space's fence: dates up to `closed_through` take no new key and no reversal of a bank's.

    `by` says who asked for it.
    """

    space: str
    closed_through: int
    closed_us: int
    by: str


class Due(NamedTuple):
    """A date that has rows and is not closed; of one space, the oldest."""

    space: str
    date: int

    @property
    def text(self) -> str:
        """As the answer to the question carries it: date, then space, which may hold anything."""
        return f"{self.date:08d} {self.space}"

    @classmethod
    def parse(cls, text: str) -> "Due":
        """Read what `text` made."""
        date, _, space = text.partition(" ")
        return cls(space, int(date))


class Fences:
    """One batch's working copy: what was loaded, and how it rises."""

    def __init__(self, loaded: Mapping[str, int] | None = None) -> None:
        """`loaded` gives, for every space that the batch names, through which date it is closed."""
        self.closed_through = dict(loaded or {})
        self._raised: list[Fence] = []

    def through(self, space: str) -> int:
        """Return the last closed date of a space, 0 where none is."""
        return self.closed_through.get(space, 0)

    def closed(self, space: str, date: int) -> bool:
        """Say whether a business date of a space is closed; once closed it stays so."""
        return date <= self.through(space)

    def rise(self, space: str, date: int, now_us: int, by: str) -> None:
        """Close all dates of a space up to this one."""
        self.closed_through[space] = date
        self._raised.append(Fence(space, date, now_us, by))

    def raised(self) -> list[Fence]:
        """Return what is to be written."""
        return list(self._raised)


def latest(fences: Iterable[Fence]) -> dict[str, int]:
    """Return through which date each space is closed, of all that was ever written."""
    found: dict[str, int] = {}
    for fence in fences:
        found[fence.space] = max(fence.closed_through, found.get(fence.space, 0))
    return found
