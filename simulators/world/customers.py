"""The customers of a simulated bank: the phones that they pay for, and their money at the bank, to the fen.

Pure.  One customer is one phone.  What was taken and not given back is what the books of the core must hold
for the phone, or what is still open.
"""

from collections import Counter
from typing import NamedTuple

OPENING_FEN = 10_000_000


class People(NamedTuple):
    """Whose phones a bank recharges: those that have a book, those that are closed, one that nobody has."""

    phones: tuple[str, ...]
    closed: tuple[str, ...] = ("13900000000",)
    unknown: str = "19999999999"
    absurd_fen: int = 900_000_000  # more than any bank or core takes
    amounts_fen: tuple[int, ...] = (1_000, 2_000, 3_000, 5_000, 10_000)


class Customers:
    """The accounts of one bank's customers."""

    def __init__(self) -> None:
        self._taken: Counter[str] = Counter()
        self._given: Counter[str] = Counter()

    def take(self, phone: str, amount_fen: int) -> None:
        """Debit a customer; the bank would have refused one who has too little."""
        self._taken[phone] += amount_fen

    def give(self, phone: str, amount_fen: int) -> None:
        """Return money to a customer."""
        self._given[phone] += amount_fen

    def balance_fen(self, phone: str) -> int:
        """Return what a customer has."""
        return OPENING_FEN - self.spent_fen(phone)

    def spent_fen(self, phone: str) -> int:
        """Return what a customer has paid and not got back."""
        return self._taken[phone] - self._given[phone]

    def spent(self) -> dict[str, int]:
        """Return what every customer has paid and not got back, by phone."""
        return {phone: self._taken[phone] - self._given[phone] for phone in self._taken}
