"""Breaks: keys about which we and the other side do not agree, or may not.  Pure.

While one of them is open its business date cannot be closed.  Whoever opens a break mends it; one that is
`manual` has its amount in suspense 挂账 until then.  One row per key, which opens and closes again:

               BREAK                    BREAK manual (its time is over, a person has to look)
    nothing ───────────▶ open ─────────────────────────────────▶ open, manual, amount in suspense
       │                  │  ▲ BREAK of a later time                 │
       └──── MEND ───▶ mended ◀────────────── MEND ──────────────────┘  amount back in clearing

A key may be open for several reasons, each with a row of its own that is mended by itself: what nodes and
operators tell of it, and what the core finds (`refund`, `quarantine`).  The first one has the key's own row
for good; others stand beside it, under the key with a colon and a word behind its serial.

Messages may be late or come twice: BREAK and MEND of one episode carry the same `stamp_us` (when it was
noted), and a later episode a later one.  A BREAK no later than the last MEND is a late copy, and so is either
that is earlier than what is open; neither changes anything.
"""

from collections.abc import Iterable
from enum import IntEnum
from typing import NamedTuple

from qianzhi.domain.requests import Key, Request

# Kinds that the core itself knows; others are whatever opened them calls them.
SAF = "saf"  # a node has stored what takes money back, and has not settled it
MANUAL = "manual"  # nobody could settle it in its time: in suspense until a person has
REFUND = "refund"  # a reversal that came, or was carried out, after its date's fence
QUARANTINE = "quarantine"  # the core could not process a request: released when a person has looked
OWN_KINDS = frozenset({REFUND, QUARANTINE})  # opened by the core, mended by operators alone
TOLD = "told"  # the word behind a colon for what nodes and operators tell
BESIDE_CHARS_MAX = 1 + max(map(len, (TOLD, *OWN_KINDS)))


class BreakState(IntEnum):
    """Whether a break holds its date open; the numbers stand in the database."""

    OPEN = 1
    MENDED = 2


class Break(NamedTuple):
    """One key's row.  `amount_fen` is what is at stake, `suspense_fen` what of it stands in suspense.

    `noted_us` is the stamp of the last episode, `opened_us` and `changed_us` are ours; `changes` counts how
    often the row was written, so that none is written over another's.
    """

    space: str
    business_date: int
    serial: str
    kind: str
    state: BreakState
    bank: str
    bank_number: str
    amount_fen: int
    suspense_fen: int
    noted_us: int
    opened_us: int
    changed_us: int
    part: str
    changes: int = 1

    @property
    def key(self) -> Key:
        """The key of this row."""
        return Key(self.space, self.business_date, self.serial)

    @property
    def about(self) -> Key:
        """The key that is open, whichever of its rows this is."""
        serial, _, word = self.serial.rpartition(":")
        return self.key._replace(serial=serial) if word in (TOLD, *OWN_KINDS) else self.key

    @property
    def open(self) -> bool:
        """Whether it holds its date open."""
        return self.state is BreakState.OPEN

    @property
    def reference(self) -> str:
        """What its transfers to and from suspense stand under in the ledger."""
        return reference_of(self.key)


def seats(key: Key) -> tuple[Key, ...]:
    """Return the keys of all rows that a key's breaks may have."""
    return (key, *(_beside(key, word) for word in (TOLD, REFUND, QUARANTINE)))


def _beside(key: Key, word: str) -> Key:
    """Return the key of a row beside a key's own: a colon stands in no serial of a dialect's."""
    return key._replace(serial=f"{key.serial}:{word}")


def _word(kind: str) -> str:
    return kind if kind in OWN_KINDS else TOLD


def reference_of(key: Key) -> str:
    """Return the reference of a break's transfers."""
    return f"break/{key.text}"


class Breaks:
    """One batch's working copy."""

    def __init__(self, loaded: Iterable[Break] = ()) -> None:
        """`loaded` are the rows of all keys whose breaks may change, and the open ones of dates to close."""
        self._rows = {row.key: row for row in loaded}
        self._loaded = dict(self._rows)

    def get(self, key: Key) -> Break | None:
        """Return a key's row."""
        return self._rows.get(key)

    def seat(self, key: Key, kind: str) -> Key:
        """Return the key of the row in which a break of this kind stands, or would."""
        row, word = self._rows.get(key), _word(kind)
        return key if row is None or _word(row.kind) == word else _beside(key, word)

    def put(self, row: Break) -> None:
        """Take a row in its new state."""
        self._rows[row.key] = row

    def open_until(self, space: str, after: int, date: int) -> list[Break]:
        """Return the open breaks of a space's dates after one and up to another."""
        rows = self._rows.values()
        return [row for row in rows if row.open and row.space == space and after < row.business_date <= date]

    def changed(self) -> tuple[list[Break], list[Break]]:
        """Return new rows and changed ones, each in the order of their keys and written once."""
        rows = [self._rows[key] for key in sorted(self._rows)]
        new = [row._replace(changes=1) for row in rows if row.key not in self._loaded]
        old = [
            row._replace(changes=self._loaded[row.key].changes + 1)
            for row in rows
            if row.key in self._loaded and row != self._loaded[row.key]
        ]
        return new, old


def noted(request: Request, now_us: int) -> int:
    """Return the stamp of the episode that a BREAK or MEND is about."""
    return request.stamp_us or request.received_us or now_us
