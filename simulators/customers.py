"""The customers of a simulated bank: a phone, a card and money, all worked out from the customer's number.

Only what has changed is kept, so that a million customers cost nothing until they pay.
"""

from simulators.scenario import Customers


class Purses:
    """The customers' accounts at the bank, in fen; an empty one is filled up, and that is counted."""

    def __init__(self, customers: Customers) -> None:
        self.start_fen = customers.money_yuan * 100
        self.filled_fen = 0
        self._spent_fen: dict[int, int] = {}

    def take(self, customer: int, amount_fen: int) -> None:
        """Debit a customer; a customer who has too little is given what is missing first."""
        spent = self._spent_fen.get(customer, 0) + amount_fen
        missing = max(0, spent - self.start_fen)
        self.filled_fen += missing
        self._spent_fen[customer] = spent - missing

    def give(self, customer: int, amount_fen: int) -> None:
        """Return money to a customer."""
        self._spent_fen[customer] = self._spent_fen.get(customer, 0) - amount_fen

    @property
    def spent_fen(self) -> int:
        """Return what all customers together have paid and not got back, fillings included."""
        return sum(self._spent_fen.values()) + self.filled_fen

    def card(self, customer: int) -> str:
        """Return the customer's card number: a test range, 19 digits, with its check digit."""
        body = f"622200{customer:012d}"
        return body + _check_digit(body)


def _check_digit(body: str) -> str:
    total = 0
    for place, digit in enumerate(reversed(body)):
        value = int(digit) * (2 if place % 2 == 0 else 1)
        total += value - 9 if value > 9 else value
    return str(-total % 10)
