"""The nouns of double entry: accounts, transfers, reservations and what a batch changes; amounts are
integers in fen.

A transfer names one debit account, one credit account and one amount above zero, so it balances by
construction. An account's balance is its credits minus its debits.  Nothing of telecom is known here:
`reference` and `code` are the caller's, kept and never interpreted.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import NamedTuple


class Name(NamedTuple):
    """What finds an account without its number: its kind, whose it is, and which part of a split account."""

    kind: str
    owner: str
    part: str = ""


class Account(NamedTuple):
    """One account as loaded: balance minus reserved never lies below `floor_fen`; None is without limit."""

    id: int
    balance_fen: int = 0
    reserved_fen: int = 0
    floor_fen: int | None = None


class Leg(NamedTuple):
    """One transfer to be made: `amount_fen` leaves `debit` and reaches `credit`."""

    debit: int
    credit: int
    amount_fen: int
    code: int


class Transfer(NamedTuple):
    """One row of history; `pending` is the serial of the reservation that it was posted from, if any.

    `business_date` is the accounting date, with which the row leaves the books one day; 0 stays for ever.
    """

    reference: str
    code: int
    debit: int
    credit: int
    amount_fen: int
    posted_us: int
    pending: str | None = None
    business_date: int = 0


class Pending(NamedTuple):
    """A reservation on the debit account under the caller's `serial`.

    `expires_us` 0 never expires; one that was `forwarded` does not expire by the clock (money rule 12); one
    that has `settled` is kept for ever and ends only once.
    """

    serial: str
    debit: int
    credit: int
    amount_fen: int
    code: int
    reserved_us: int
    expires_us: int = 0
    forwarded: bool = False
    settled: bool = False


class Ending(IntEnum):
    """How a reservation ended; the numbers stand in the database."""

    POSTED = 1
    VOIDED = 2
    EXPIRED = 3


class Settlement(NamedTuple):
    """The one end of a reservation; `amount_fen` is what was posted, 0 for the other endings."""

    pending: str
    ending: Ending
    amount_fen: int
    settled_us: int


class Delta(NamedTuple):
    """What a batch adds to one account's balance and to its reserved amount."""

    balance_fen: int = 0
    reserved_fen: int = 0


@dataclass
class Changes:
    """All that one batch writes: new history rows, and one relative update per account."""

    transfers: list[Transfer] = field(default_factory=list)
    pendings: list[Pending] = field(default_factory=list)
    forwards: list[tuple[str, int]] = field(default_factory=list)
    settlements: list[Settlement] = field(default_factory=list)
    deltas: dict[int, Delta] = field(default_factory=dict)


class Outcome(IntEnum):
    """What became of one command."""

    DONE = 0
    NO_ACCOUNT = 1  # an account that was not loaded, because it does not exist
    BAD_AMOUNT = 2  # zero, negative, or more than was reserved
    BELOW_FLOOR = 3
    EXISTS = 4  # a reservation of that serial is known already
    NO_PENDING = 5
    SETTLED = 6  # that reservation has ended already
    NOT_DUE = 7
    FORWARDED = 8  # its request was forwarded, so the clock does not end it


class Post(NamedTuple):
    """Make all these transfers under one reference, or none of them."""

    reference: str
    legs: Sequence[Leg]


class Reserve(NamedTuple):
    """Set an amount aside on the leg's debit account."""

    serial: str
    leg: Leg
    expires_us: int = 0


class Forward(NamedTuple):
    """Note that the request behind a reservation was forwarded."""

    serial: str


class Capture(NamedTuple):
    """Post a reservation, wholly (`amount_fen` None) or in part; what is left over is free again."""

    serial: str
    reference: str
    amount_fen: int | None = None


class Void(NamedTuple):
    """Let a reservation go because its request is settled without money, or blocked."""

    serial: str


class Expire(NamedTuple):
    """Let a reservation go because its time is over."""

    serial: str


Command = Post | Reserve | Forward | Capture | Void | Expire
