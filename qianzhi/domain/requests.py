"""Requests and replies as the platform knows them, whatever the bank's wire looks like.

They travel as the body of link's envelopes (msgpack arrays): new fields go to the end and have
defaults. Amounts are integers in fen.
"""

from enum import IntEnum
from typing import NamedTuple

import msgspec

from qianzhi.domain.results import Result


class Kind(IntEnum):
    """What is asked for; the numbers travel on link and stand in the journal."""

    OWED = 1  # what does this phone owe, by month
    RECHARGE = 2
    PAY = 3  # pay one quoted bill
    STATUS = 4  # what became of that key; asking settles
    REVERSAL = 5
    BLOCK = 6  # ours: block a key before its refusal is answered
    TOTALS = 7  # are these a bank number's totals of that business date; claims no key
    VOID = 8  # a clerk's or agent's cancellation 撤销 of an approved original; needs its money unspent

    # Ours, asked by our own daemons of the core.
    CLOSE = 9  # write the reconciliation fence of a serial space's business date
    BREAK = 10  # note that a key is open between us and the other side: its day cannot close
    MEND = 11  # note that it is not open any more

    # Outward: what we ask of a bank or network.  The key is of the space in which we issue the serials.
    CHARGE = 12
    CHARGE_REVERSAL = 13
    CHARGE_REFUND = 14
    ADVICE = 15  # tells what has happened already; only its acknowledgement is wanted
    LATE_ANSWER = 16  # a front tells its nodes of an answer to a charge that nobody waits for any more


MONEY_KINDS = frozenset({Kind.RECHARGE, Kind.PAY})
KEYLESS_KINDS = frozenset({Kind.OWED, Kind.TOTALS})  # questions: nothing is claimed, settled or kept
PRIORITY_KINDS = frozenset(
    {
        *(Kind.STATUS, Kind.REVERSAL, Kind.BLOCK, Kind.VOID, Kind.CLOSE, Kind.BREAK, Kind.MEND),
        *(Kind.CHARGE_REVERSAL, Kind.CHARGE_REFUND, Kind.ADVICE, Kind.LATE_ANSWER),
    }
)
OUTWARD_KINDS = frozenset({Kind.CHARGE, Kind.CHARGE_REVERSAL, Kind.CHARGE_REFUND, Kind.ADVICE})


class Key(NamedTuple):
    """What makes a request itself: the issuer's serial space, the business date (YYYYMMDD) and the serial."""

    space: str
    date: int
    serial: str

    @property
    def text(self) -> str:
        """The key as operators write it: `space/YYYYMMDD/serial`."""
        return f"{self.space}/{self.date:08d}/{self.serial}"

    @classmethod
    def parse(cls, text: str) -> "Key":
        """Read `space/YYYYMMDD/serial`; raises ValueError saying what is wrong."""
        parts = text.split("/", 2)
        if len(parts) != 3 or not all(parts):
            raise ValueError(f"a key is written space/YYYYMMDD/serial, found {text!r}")
        if not (parts[1].isascii() and parts[1].isdigit() and len(parts[1]) == 8):
            raise ValueError(f"the business date of a key is YYYYMMDD, found {parts[1]!r}")
        return cls(parts[0], int(parts[1]), parts[2])


class Request(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """One request of a bank, normalised.

    `space`, `date` and `serial` are the key; of a status query and of a reversal they are the
    *original's* key, and `own_serial` is the query's own.  `date_ours` says that the date is not the
    message's but ours (time of receipt).

    Of `TOTALS`, `date` is the business date asked about and `bank_number` the number; `count` and
    `amount_fen` are what the bank counts as paid, those reversed later included, `reversed_count` and
    `reversed_fen` what of it was reversed.

    Of what we ask outward, `stamp_us` is the wall time that the original's message carries and `reason` why
    it is reversed or refunded; of a break, `reason` is its kind.
    """

    kind: Kind
    space: str
    date: int
    serial: str
    bank: str
    bank_number: str
    phone: str = ""
    amount_fen: int = 0
    bill: str = ""
    repeat: bool = False
    date_ours: bool = False
    received_us: int = 0
    own_serial: str = ""
    count: int = 0
    reversed_count: int = 0
    reversed_fen: int = 0
    stamp_us: int = 0
    reason: str = ""

    @property
    def key(self) -> Key:
        """The key that this request is about."""
        return Key(self.space, self.date, self.serial)

    @property
    def key_text(self) -> str:
        """That key as operators write it."""
        return f"{self.space}/{self.date:08d}/{self.serial}"


class Bill(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """One month's bill as quoted: `total_fen` is principal plus the late fee 违约金 of today."""

    serial: str
    month: int  # YYYYMM
    principal_fen: int
    late_fee_fen: int

    @property
    def total_fen(self) -> int:
        """Principal and late fee together."""
        return self.principal_fen + self.late_fee_fen


class Reply(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """What the core says to one request.

    `order` is our work order's number (of the original, for a status query or reversal); `stored` is
    true when this is the kept answer of an earlier request under the same key.  `count`, `amount_fen`,
    `reversed_count` and `reversed_fen` are the journal's own totals where totals were asked for.
    """

    result: Result
    order: str = ""
    amount_fen: int = 0
    balance_fen: int = 0
    bills: tuple[Bill, ...] = ()
    name: str = ""
    settled_us: int = 0
    stored: bool = False
    count: int = 0
    reversed_count: int = 0
    reversed_fen: int = 0
