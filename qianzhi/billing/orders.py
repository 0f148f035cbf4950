"""Work orders 工单: what one posting was for, which bills it wrote off 销帐, and what its transfers mean."""

from collections.abc import Iterable
from enum import IntEnum
from typing import NamedTuple

from qianzhi.domain.requests import Key, Kind
from qianzhi.ledger.entries import Leg

ORDER_CHARS = 12  # a card message's retrieval reference has no room for more

CLEARING = "clearing"  # what a bank owes us; no limit
RECEIVABLE = "receivable"  # what subscribers owe us by their bills; no limit
LATE_FEES = "late-fees"  # income
REVENUE = "revenue"  # income, credited when bills are posted
SUSPENSE = "suspense"  # what a bank may owe, until somebody knows; no limit
OPENING = "opening"  # against which the books' first balances stand
BOOK = "book"  # a subscriber's prepaid money; never below zero
ARREARS = "arrears"  # what a book is short of after reversals; no limit


class Code(IntEnum):
    """What a transfer is; the numbers stand in the ledger's history, with UNDO added where one is undone."""

    CREDIT = 1  # clearing → book
    ARREARS = 2  # book → arrears: an earlier shortage is made good
    PRINCIPAL = 3  # book → receivable
    LATE_FEE = 4  # book → late fees
    SHORTAGE = 5  # arrears → book: a reversal found too little in the book
    OPENING = 6  # opening → book
    BILLED = 7  # receivable → revenue
    SUSPENSE = 8  # clearing → suspense: a break that nobody could settle in its time


UNDO = 100


class Order(NamedTuple):
    """One work order as its row stands in the database, under the request's key (`key_serial` its serial).

    `reverses` names the order that it undoes, None for an original.
    """

    serial: str
    kind: Kind
    space: str
    business_date: int
    key_serial: str
    phone: str
    book: int
    amount_fen: int
    bank_number: str
    posted_us: int
    reverses: str | None = None

    @property
    def key(self) -> Key:
        """The key of the request that it was made for."""
        return Key(self.space, self.business_date, self.key_serial)


class WriteOff(NamedTuple):
    """One bill that an order wrote off, with what was paid on it."""

    order: str
    bill: str
    principal_fen: int
    late_fee_fen: int


class Standing(NamedTuple):
    """An approved order with what a reversal needs: its book's accounts, its transfers and write-offs."""

    order: str
    phone: str
    book: int
    account: int
    arrears: int
    amount_fen: int
    legs: tuple[Leg, ...]
    write_offs: tuple[WriteOff, ...]


_ENDINGS = [f"{number:03d}" for number in range(1000)]


def order_serials(prefix: str, numbers: Iterable[int]) -> list[str]:
    """Return the serials of these work orders, each as `order_serial` has it: numbers that follow each other
    mostly begin alike.
    """
    found, thousand, head = [], -1, ""
    for number in numbers:
        if number // 1000 != thousand:
            thousand = number // 1000
            head = order_serial(prefix, thousand * 1000)[:-3]
        found.append(head + _ENDINGS[number % 1000])
    return found


def order_serial(prefix: str, number: int) -> str:
    """Return the work order's serial: the prefix and the number, twelve characters together."""
    return f"{prefix}{number:0{ORDER_CHARS - len(prefix)}d}"
