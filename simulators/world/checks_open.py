"""What is open at the end of a run, key by key and to the fen: nothing else explains a difference (I12).

Pure.  Two things leave a key open: a break that nobody has mended, and an entry of store-and-forward that
takes money at a network, or gives it back, and is not settled.  By then no bank waits for anything and no
charge is under way (I7), so nothing else can be.  What is open is money that the other side has and we have
not credited, or the reverse, and it is the amount that is named: never another one, and never that of a key
beside it.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, NamedTuple

from qianzhi.domain.requests import Key, Kind
from qianzhi.saf.rows import Entry, State

if TYPE_CHECKING:
    from crm_bridge.memory import Memory


# What takes money at a network, or gives it back; words to our own core are its breaks.
_MOVES_MONEY = frozenset({Kind.CHARGE_REVERSAL, Kind.CHARGE_REFUND, Kind.ADVICE})


OfDay = tuple[str, int]  # a bank number and a business date


class Open(NamedTuple):
    """Why a key is open, and with which amounts: that of its break, those of its entries."""

    why: str
    amounts_fen: frozenset[int]


class Opens:
    """What is open.  What it has explained, the other side's less ours, is added up by customer and by the
    bank number's day.
    """

    def __init__(self, rows: Mapping[Key, Open]) -> None:
        self._rows = rows
        self.of_phone: Counter[str] = Counter()
        self.of_day: Counter[OfDay] = Counter()

    def explains(self, key: Key, fen: int, phone: str, bank_number: str) -> bool:
        """Take the difference of a key, if it is what is open there; each key is asked about once."""
        row = self._rows.get(key)
        if fen and (row is None or abs(fen) not in row.amounts_fen):
            return False
        self.of_phone[phone] += fen
        self.of_day[bank_number, key.date] += fen
        return True

    def why(self, key: Key) -> str:
        """Say what is open under a key, in a few words."""
        row = self._rows.get(key)
        if row is None:
            return "nothing"
        return f"{row.why} of {', '.join(str(fen) for fen in sorted(row.amounts_fen))} fen"


def opens_of(memory: "Memory", entries: Iterable[Entry] = ()) -> Opens:
    """Return what is open: breaks as committed, entries as their nodes have written them."""
    found: dict[Key, Open] = {}
    for one in memory.breaks.values():
        if one.open:
            before = found.get(one.about, Open("", frozenset()))
            why = f"{before.why} and a {one.kind} break" if before.why else f"{one.kind} break"
            found[one.about] = Open(why, before.amounts_fen | {one.amount_fen})
    for entry in entries:
        if entry.state is not State.SETTLED and entry.request.kind in _MOVES_MONEY:
            key = entry.request.key
            before = found.get(key, Open("", frozenset()))
            why = f"{before.why} and an entry" if before.why else f"{entry.state.value} entry"
            found[key] = Open(why, before.amounts_fen | {entry.request.amount_fen})
    return Opens(found)
