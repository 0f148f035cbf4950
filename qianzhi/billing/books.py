"""Subscribers as loaded: a phone, its customer and the book 账本 whose money it is."""

from enum import IntEnum
from typing import NamedTuple


class PhoneState(IntEnum):
    """Whether a phone is in service; the numbers stand in the database."""

    OPEN = 1
    CLOSED = 2


class Subscriber(NamedTuple):
    """One phone: `account` is its book's ledger account, `arrears` the one without limit beside it."""

    phone: str
    state: PhoneState
    name: str
    book: int
    account: int
    arrears: int
