"""The rows of store-and-forward: entries, charges and serials, as cores and stores both have them.

Pure data.  A row is kept whole as JSON, so that an operator can read it; what is searched for stands beside
it in columns (`store`).  Wall times are microseconds, amounts fen.
"""

from collections.abc import Iterable
from enum import StrEnum
from typing import NamedTuple

import msgspec

from qianzhi.domain.requests import Key, Kind, Request
from qianzhi.domain.results import Result

_HOLDS_ITS_DAY = frozenset({Kind.CHARGE_REVERSAL, Kind.CHARGE_REFUND, Kind.REVERSAL, Kind.BLOCK})
CORE = "core"  # the destination of what goes inward, to the bridges: breaks and their ends
SLOTS = 8  # names of nodes that a site may give serials of ours to, each its own share of them


class State(StrEnum):
    """Where an entry stands; a state that has ended never changes again."""

    OPEN = "open"  # is sent until it is settled
    MANUAL = "manual"  # its time is over: only an operator ends it
    QUARANTINED = "quarantined"  # cannot be handled: put aside, those behind it go on
    SETTLED = "settled"  # ended


WITH_OPERATOR = frozenset({State.MANUAL, State.QUARANTINED})


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One promise to a destination: what is asked there until it is settled.

    `id` is the same in every store, export and import, for ever.  `account` is what the order is kept for;
    entries of it go to a destination by `number`.  `deadline_us` is the absolute business deadline (0: none).
    `act` is the operators' act that changed it last, so that none is carried out twice; `told` the time of
    the last word to the core on its break; `version` grows with each write, so that a write that comes second
    is refused.
    """

    id: str
    destination: str
    account: str
    request: Request
    number: int
    made_us: int
    deadline_us: int = 0
    state: State = State.OPEN
    tries: int = 0
    result: Result | None = None
    why: str = ""
    act: str = ""
    told: int = 0
    ended_us: int = 0
    version: int = 1

    @property
    def moves_money_back(self) -> bool:
        """Whether its business date cannot close while this is open."""
        return self.request.kind in _HOLDS_ITS_DAY


class ChargeState(StrEnum):
    """What has become of a charge; those of `ENDED` never change again."""

    INTENT = "intent"  # stored; may have been asked
    CREDITING = "crediting"  # approved by the destination; the core is asked for the credit
    TIMED_OUT = "timed_out"  # not answered; the core is asked to block its key
    DOUBTED = "doubted"  # approved, and what the core did is not known: it is asked to block the key
    WAITING = "waiting"  # blocked; a late approval would be reversed

    CREDITED = "credited"
    DECLINED = "declined"
    REVERSING = "reversing"  # an entry reverses it: that is the entry's business now
    REFUNDING = "refunding"  # charged and not credited: an entry refunds it
    LAPSED = "lapsed"  # waited for until the deadline, and never approved: nothing to reverse
    UNREVERSED = "unreversed"  # a destination without reversals: an open break, excluded from clearing


CHARGE_ENDED = frozenset(
    {
        *(ChargeState.CREDITED, ChargeState.DECLINED, ChargeState.REVERSING),
        *(ChargeState.REFUNDING, ChargeState.LAPSED, ChargeState.UNREVERSED),
    }
)


class Charge(msgspec.Struct, frozen=True, kw_only=True):
    """One request of ours for money, by the order number of whoever wants it (`order`, unique).

    `space`, `date` and `serial` are its key, at the destination and at the core.  `policy`, `reverses`,
    `refunds`, `advises` and `late_seconds` are the destination's terms as they were when it was made.
    `until_us` is until when its present state may last.  `late` says that an approval came too late, `blind`
    that we may have missed one, `vain` that a reversal found nothing to reverse.
    """

    order: str
    bank: str
    bank_number: str
    space: str
    date: int
    serial: str
    phone: str
    amount_fen: int
    policy: str
    reverses: bool
    refunds: bool
    late_seconds: int
    made_us: int
    until_us: int
    agreement: str = ""
    advises: bool = False
    state: ChargeState = ChargeState.INTENT
    result: Result | None = None
    reason: str = ""
    work_order: str = ""
    late: bool = False
    blind: bool = False
    vain: bool = False
    ended_us: int = 0
    version: int = 1

    @property
    def key(self) -> Key:
        """Its key, at the destination and at the core."""
        return Key(self.space, self.date, self.serial)


class Serials(NamedTuple):
    """Serials of a space and date up to and without `next` are used in this slot, and never again."""

    space: str
    date: int
    slot: int
    next: int


class Forget(NamedTuple):
    """Delete what ended before this wall time."""

    before_us: int


class Renew(NamedTuple):
    """Nothing but the lease: every write renews it."""


Row = Entry | Charge | Serials | Forget | Renew


class Taken(NamedTuple):
    """An order that no charge may be begun for: it was charged under `key`, long ago; or, where that is
    empty, it is another node's, which alone knows what became of it.
    """

    order: str
    node: str
    key: str = ""


Standing = Entry | Charge | Taken  # what stands already where a new row was to be written


class Saved(NamedTuple):
    """What a node owns, or has just taken over: what has not ended; `spoiled` are rows that nobody can read.

    `taken` counts rows that were another node's.  `slot` is the node's own for ever, so that no other gives
    its serials; `SLOTS` where none is left.
    """

    entries: list[Entry]
    charges: list[Charge]
    serials: list[Serials]
    spoiled: list[str]
    taken: int = 0
    slot: int = SLOTS


def free_slot(wished: int, used: Iterable[int]) -> int:
    """Return the slot of a node that has none yet; `SLOTS` where all are used."""
    used = frozenset(used)
    return next((slot for slot in (wished, *range(SLOTS)) if slot < SLOTS and slot not in used), SLOTS)


def joined(rows: Iterable[Row]) -> list[tuple[Row, int]]:
    """Return each entry and charge once, as it is last, with the version that it rests on (0: it is new).

    So a write may be said again when it is not known whether it was written: it finds either what it rests
    on, or something that it has written itself.
    """
    last: dict[object, Row] = {}
    since: dict[object, int] = {}
    for row in rows:
        key: object = row
        if isinstance(row, Entry | Charge):
            key = (type(row), row.id if isinstance(row, Entry) else row.order)
            since.setdefault(key, row.version - 1)
        last[key] = row
    return [(row, since.get(key, 0)) for key, row in last.items()]


def same(stands: Entry | Charge, row: Entry | Charge) -> bool:
    """Tell whether a row that stands is an earlier or later version of this very one."""
    if isinstance(stands, Entry) and isinstance(row, Entry):
        return (stands.number, stands.made_us) == (row.number, row.made_us)
    if isinstance(stands, Charge) and isinstance(row, Charge):
        return (stands.key, stands.made_us) == (row.key, row.made_us)
    return False
