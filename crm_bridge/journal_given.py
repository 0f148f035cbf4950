"""What a decision about the journal is given, and what it gives: terms, rows, the desk, changes.  Pure."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, Protocol

from crm_bridge.journal import Row
from crm_bridge.journal_breaks import Break
from crm_bridge.journal_fences import Due, Fence
from crm_bridge.journal_totals import Day, Totals
from qianzhi.billing.desk import Job, Outcome
from qianzhi.domain.requests import Key, Kind


class Terms(NamedTuple):
    """What the core's settings say to a decision; amounts in fen."""

    amount_fen_max: int
    keep_days: int
    repeat_hours: int
    fence_minutes: int = 0
    kept_after: int = 0  # of this date and before it rows may be gone, whatever keep_days says by now


class Counter(Protocol):
    """Where money requests go: billing's desk, or what stands in for the one behind a remote core."""

    def owed(self, phone: str) -> Outcome:
        """Say what a phone owes today."""

    def credit(self, job: Job) -> Outcome:
        """Carry out a recharge or a bill payment, or refuse it for a business reason."""

    def reverse(self, order: str, key: Key, bank_number: str, kind: Kind = Kind.REVERSAL) -> Outcome:
        """Undo what stands under an order; a VOID only while its money is unspent."""

    def suspend(self, reference: str, bank_number: str, amount_fen: int) -> int:
        """Move an amount from a bank's clearing to suspense; return how much stands there by that."""

    def restore(self, reference: str, bank_number: str, amount_fen: int) -> None:
        """Move it back."""


class Kept(NamedTuple):
    """What the journal's tables say of all that a batch may touch; `unsettled` counts, for each space and
    date, outcomes that a remote core has not told yet.
    """

    rows: Iterable[Row] = ()
    totals: Iterable[tuple[Day, Totals]] = ()
    fences: Mapping[str, int] = {}
    breaks: Iterable[Break] = ()
    due: tuple[Due, ...] = ()
    unsettled: Mapping[tuple[str, int], int] = {}


class Changes(NamedTuple):
    """What a batch writes into the journal: new rows in the order of their keys, reversed ones, what both
    add to the totals; fences raised; breaks that are new, and those that changed.
    """

    inserts: Sequence[Row] = ()
    reversals: Sequence[Row] = ()
    totals: Sequence[tuple[Day, Totals]] = ()
    fences: Sequence[Fence] = ()
    breaks: Sequence[Break] = ()
    changed_breaks: Sequence[Break] = ()
