"""What a bank itself counts of a business date: payments, and those of them that were reversed; pure.

A bank that compares totals must know all that it ever sent under a date.  Where one serial's end leaves open
whether money once stood there, its sums are not known, and it does not ask.
"""

from collections.abc import Iterable
from typing import NamedTuple

from simulators.record import Outcome, Record


class Day(NamedTuple):
    """A bank number and a business date (YYYYMMDD)."""

    number: str
    date: int

    @property
    def text(self) -> str:
        """The day as it stands in a state file and in a report: `number/YYYYMMDD`."""
        return f"{self.number}/{self.date:08d}"


class Sums(NamedTuple):
    """Payments, those reversed later included, and what of them was reversed; amounts in fen."""

    paid_count: int = 0
    paid_fen: int = 0
    reversed_count: int = 0
    reversed_fen: int = 0

    def plus(self, other: "Sums") -> "Sums":
        """Return both together."""
        return Sums(*(one + more for one, more in zip(self, other, strict=True)))


def sums_of(records: Iterable[Record]) -> dict[Day, Sums] | None:
    """Add up a bank's records by day; None when one of them does not say what stands, or once stood."""
    sums: dict[Day, Sums] = {}
    for record in records:
        own = _own(record)
        if own is None:
            return None
        day = Day(record.bank_number, record.key.date)
        sums[day] = sums.get(day, Sums()).plus(own)
    return sums


def _own(record: Record) -> Sums | None:
    if record.outcome is Outcome.APPROVED:
        return Sums(1, record.amount_fen)
    if record.outcome is Outcome.REVERSED:
        return Sums(1, record.amount_fen, 1, record.amount_fen) if record.stood else None
    return Sums() if record.outcome is Outcome.REFUSED else None
