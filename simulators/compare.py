"""The last question of a demonstration: do the banks' own records and the core's journal agree?

Pure: journal rows come as plain data, from whoever looked them up.  A key agrees when the bank has a final
state for it and the money that the bank says it paid is the money that the core says it holds.
"""

from collections.abc import Iterable
from typing import NamedTuple, Protocol

from simulators.record import Debit, Outcome, Record

STANDING = "approved"


class JournalRow(Protocol):
    """What the core holds under a key; `crm_bridge.lookup.JournalView` fits.

    `key` is its text, `state` what it has come to (`approved` is the only state under which money stands).
    """

    @property
    def key(self) -> str:
        """The key, space/YYYYMMDD/serial."""

    @property
    def state(self) -> str:
        """Its state in one word."""

    @property
    def amount_fen(self) -> int:
        """The original's amount."""


class Disagreement(NamedTuple):
    """One key on which bank and core do not agree, in words without a customer's data."""

    key: str
    bank: str
    core: str


class Comparison(NamedTuple):
    """Keys, how many agree, what the core holds for them in all, and every disagreement."""

    keys: int
    agreed: int
    standing_fen: int
    disagreements: list[Disagreement]


def compare(records: Iterable[Record], journal: Iterable[JournalRow]) -> Comparison:
    """Compare a bank's records with the journal's rows under the same keys; an absent row holds no money."""
    rows = {row.key: row for row in journal}
    keys = agreed = standing_fen = 0
    disagreements: list[Disagreement] = []
    for record in records:
        keys += 1
        row = rows.get(record.key.text)
        core_fen = row.amount_fen if row is not None and row.state == STANDING else 0
        standing_fen += core_fen
        if _final(record) and record.standing_fen == core_fen:
            agreed += 1
        else:
            core = f"{row.state}, {core_fen} fen standing" if row is not None else "no such key"
            disagreements.append(Disagreement(record.key.text, _words(record), core))
    return Comparison(keys, agreed, standing_fen, disagreements)


def _final(record: Record) -> bool:
    return record.outcome is not None and record.debit is not Debit.UNKNOWN


def _words(record: Record) -> str:
    state = record.outcome.value if isinstance(record.outcome, Outcome) else "not final"
    return f"{record.action}: {state}, {record.standing_fen} fen paid, last code {record.code or 'none'}"
