"""The journal's rows: one per key, shared by an original, its tombstone and its reversal (money rules 1 to
4).  Pure.

What a row says never changes, with one exception: an approved original becomes reversed.
"""

import hashlib
from collections.abc import Callable
from enum import IntEnum
from typing import NamedTuple

import msgspec

from qianzhi.domain.requests import MONEY_KINDS, Key, Kind, Reply, Request
from qianzhi.domain.results import Result

_DECODER = msgspec.msgpack.Decoder(Reply)
encode: Callable[[Reply], bytes] = msgspec.msgpack.Encoder().encode  # a reply as it is kept
_KINDS: dict[int, str] = {kind: f"{int(kind)}\x1f" for kind in Kind}  # how the content of each begins


class State(IntEnum):
    """What a key has come to; the numbers stand in the database."""

    APPROVED = 1
    REFUSED = 2
    REVERSED = 3
    BLOCKED = 4  # by a query, a reversal or a block that came before its original
    QUARANTINED = 5  # the core could not process it


class Row(NamedTuple):
    """One key's row; `content` is empty where no original was seen, `kind` is the first kind seen.

    Times are microseconds since 1970 UTC: first received by us, decided, reversed.  `part` says which
    bridge and lane decided it.  `reply` and `reversal_reply` are kept answers in msgpack, for repeats.
    """

    space: str
    business_date: int
    serial: str
    kind: int
    content: bytes
    state: State
    result: int
    reply: bytes
    order_serial: str | None
    phone: str
    amount_fen: int
    bank: str
    bank_number: str
    bill: str
    received_us: int
    decided_us: int
    part: str
    reversal_order: str | None = None
    reversal_reply: bytes | None = None
    reversed_us: int | None = None

    @property
    def key(self) -> Key:
        """The key of this row."""
        return tuple.__new__(Key, self[:3])


def content_of(request: Request) -> bytes:
    """Return the fingerprint of a request's content (money rule 3): kind, phone, amount, bank number, bill.

    Never its time, MAC or repeat flag.  The texts are printable, so the separator cannot occur in them.
    """
    parts = (
        f"{_KINDS[request.kind]}{request.phone}\x1f{request.amount_fen}\x1f{request.bank_number}\x1f"
        f"{request.bill}"
    )
    return hashlib.sha256(parts.encode()).digest()[:16]


def void_key(original: Key, own_serial: str) -> Key:
    """Return the key under which the refusal of a void is kept: that of its original and of itself.

    A colon stands in no serial of a dialect's beside another, and nobody can ask for such a key.
    """
    return original._replace(serial=f"{original.serial}:void:{own_serial}")


def new_row(request: Request, key: Key, state: State, reply: Reply, now_us: int, part: str) -> Row:
    """Return the row that settles `key` with this answer to `request`."""
    space, business_date, serial = key
    return Row(
        space,
        business_date,
        serial,
        int(request.kind),
        content_of(request) if request.kind in MONEY_KINDS else b"",
        state,
        int(reply.result),
        encode(reply),
        reply.order or None,
        request.phone,
        request.amount_fen,
        request.bank,
        request.bank_number,
        request.bill,
        request.received_us or now_us,
        now_us,
        part,
    )


def same_content(request: Request, row: Row) -> bool:
    """Say whether a request for a credit is the row's own; a row without an original fits all.

    A block stands for a request whose kind it does not tell, and may come without content.
    """
    if not row.content or (request.kind is Kind.BLOCK and not request.phone):
        return True
    asked = (
        request if request.kind is not Kind.BLOCK else msgspec.structs.replace(request, kind=Kind(row.kind))
    )
    return row.content == content_of(asked)


def agrees(request: Request, row: Row) -> bool:
    """Say whether phone, amount, bank number and bill, as far as they are given, fit the row."""
    return (
        (not request.phone or not row.phone or request.phone == row.phone)
        and (not request.amount_fen or not row.amount_fen or request.amount_fen == row.amount_fen)
        and (not request.bank_number or not row.bank_number or request.bank_number == row.bank_number)
        and (not request.bill or not row.bill or request.bill == row.bill)
    )


def kept(data: bytes) -> Reply:
    """Return a kept reply, marked as such."""
    return msgspec.structs.replace(_DECODER.decode(data), stored=True)


def repeat_of(row: Row) -> Reply:
    """Return the answer to a repeat of the row's original (rules 3 and 4)."""
    if row.state is State.REVERSED:
        first = kept(row.reply)
        return Reply(
            Result.REVERSED, first.order, first.amount_fen, settled_us=row.reversed_us or 0, stored=True
        )
    if row.state is State.BLOCKED:
        return Reply(Result.BLOCKED, settled_us=row.decided_us, stored=True)
    return kept(row.reply)


def standing_of(row: Row) -> Reply:
    """Return the answer to a status query: what the key has come to."""
    if row.state is State.REVERSED:
        return repeat_of(row)
    return kept(row.reply)
