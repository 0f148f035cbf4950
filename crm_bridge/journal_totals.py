"""What a bank number's business date comes to: counts and sums, for a bank that compares its own with them.

Pure.  The sums stand in a table beside the journal, one row per business date, bank number and part, and
change in the transaction that changes the journal: a question about a day of millions of rows reads a
handful.  `audit-books` holds them to the journal and to what was posted.
"""

from collections.abc import Iterable
from typing import NamedTuple

from qianzhi.domain.requests import Reply, Request
from qianzhi.domain.results import Result


class Day(NamedTuple):
    """What totals are about: a bank number and a business date (YYYYMMDD)."""

    bank_number: str
    date: int


class Totals(NamedTuple):
    """Approved originals, those reversed since included, and what of them was reversed; amounts in fen."""

    approved_count: int = 0
    approved_fen: int = 0
    reversed_count: int = 0
    reversed_fen: int = 0

    def plus(self, other: "Totals") -> "Totals":
        """Return the sums of both."""
        return Totals(*(mine + more for mine, more in zip(self, other, strict=True)))


class Tally:
    """One batch's working copy: what was committed before, and what the batch has added so far.

    A question sees both: everything committed before its batch began, and what stands before the question in
    the batch, in the order of arrival.  What comes later in the same batch it does not see.
    """

    def __init__(self, loaded: Iterable[tuple[Day, Totals]]) -> None:
        self._loaded = dict(loaded)
        self._added: dict[tuple[str, int], list[int]] = {}

    def sums(self, bank_number: str, date: int) -> list[int]:
        """Return what the batch adds to a day, to be added to: a day asked for is one that is written."""
        sums = self._added.get((bank_number, date))
        if sums is None:
            sums = self._added[bank_number, date] = [0, 0, 0, 0]
        return sums

    def approve(self, bank_number: str, date: int, amount_fen: int) -> None:
        """Count an approved original."""
        sums = self.sums(bank_number, date)
        sums[0] += 1
        sums[1] += amount_fen

    def reverse(self, bank_number: str, date: int, amount_fen: int) -> None:
        """Count the reversal of an original of that day; it stays among the approved ones."""
        sums = self.sums(bank_number, date)
        sums[2] += 1
        sums[3] += amount_fen

    def answer(self, request: Request) -> Reply:
        """Say whether the bank's figures are ours, and what ours are."""
        day = day_of(request)
        ours = self._loaded.get(day, Totals()).plus(Totals(*self._added.get(day, ())))
        theirs = Totals(request.count, request.amount_fen, request.reversed_count, request.reversed_fen)
        return Reply(
            Result.APPROVED if theirs == ours else Result.TOTALS_DIFFER,
            amount_fen=ours.approved_fen,
            count=ours.approved_count,
            reversed_count=ours.reversed_count,
            reversed_fen=ours.reversed_fen,
        )

    def added(self) -> list[tuple[Day, Totals]]:
        """Return what the batch adds, in a fixed order."""
        return [(Day(*day), Totals(*sums)) for day, sums in sorted(self._added.items())]


def day_of(request: Request) -> Day:
    """Return what a question about totals is about."""
    return Day(request.bank_number, request.date)
