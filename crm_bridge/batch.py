"""What a batch asks of whatever keeps the core, and what it writes: the same for every store.  Pure."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from crm_bridge.journal import Row
from crm_bridge.journal_decide import Changes as JournalChanges
from crm_bridge.journal_totals import Day, Totals
from qianzhi.billing.desk import Changes as BillingChanges
from qianzhi.billing.desk import Loaded
from qianzhi.domain.requests import Key
from qianzhi.ledger.entries import Account, Name
from qianzhi.ledger.entries import Changes as LedgerChanges


class Wanted(NamedTuple):
    """What a batch names: keys that it may touch, those it may reverse, phones, quoted bills, accounts.

    `orders_max` is how many work orders it can need at most; `days` are those whose totals it asks for.
    `serials` are the (space, serial) of all keys, because two copies of one request may differ in their
    dates; `closing` is the latest named date that is closed by the clock, 0 where none is.
    """

    keys: Sequence[Key]
    reversals: frozenset[Key]
    phones: frozenset[str]
    bills: frozenset[str]
    house: Sequence[Name]
    orders_max: int
    days: Sequence[Day]
    serials: Sequence[tuple[str, str]] = ()
    closing: int = 0


@dataclass
class Batch:
    """What was loaded for one batch; every date up to `closed_through` takes no new key any more."""

    rows: list[Row]
    totals: list[tuple[Day, Totals]]
    accounts: list[Account]
    billing: Loaded
    closed_through: int = 0


class Changes(NamedTuple):
    """What a batch writes."""

    journal: JournalChanges
    billing: BillingChanges
    ledger: LedgerChanges


class Transaction(Protocol):
    """One batch's transaction."""

    def load(self, wanted: Wanted, now_us: int) -> Batch:
        """Load all that a batch may touch, so that nobody else changes it before the end."""

    def save(self, changes: Changes, part: str) -> bool:
        """Write a batch's changes; False says that a key was claimed meanwhile: decide again."""

    def commit(self) -> None:
        """Make it durable; raises CommitUnknownError when it cannot be said whether it is."""


class Books(Protocol):
    """What keeps the core behind one writer."""

    def transaction(self) -> AbstractContextManager[Transaction]:
        """Open a writing transaction, rolled back unless it was committed; raises RetryableError."""

    def rows(self, keys: Sequence[Key]) -> list[Row]:
        """Return the journal's rows of these keys, as far as they exist."""

    def close(self) -> None:
        """Let it go."""
