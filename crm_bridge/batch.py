"""What a batch asks of whatever keeps the core, and what it writes: the same for every store.  Pure."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from crm_bridge.journal import Row
from crm_bridge.journal_breaks import Break, seats
from crm_bridge.journal_decide import Changes as JournalChanges
from crm_bridge.journal_fences import Due
from crm_bridge.journal_totals import Day, Totals
from qianzhi.billing.desk import Changes as BillingChanges
from qianzhi.billing.desk import Loaded
from qianzhi.billing.orders import CLEARING, SUSPENSE
from qianzhi.domain.requests import Key
from qianzhi.ledger.entries import Account, Name
from qianzhi.ledger.entries import Changes as LedgerChanges


class Wanted(NamedTuple):
    """What a batch names: keys that it may touch, those it may reverse, phones, quoted bills, accounts.

    `orders_max` is how many work orders it can need at most; `days` are those whose totals it asks for.
    `serials` are the (space, serial) of all keys, because two copies of one request may differ in their
    dates; `spaces` are those whose fences are asked for, and `closes` what of them may be raised, which needs
    them alone.

    `breaks` are the keys whose breaks may change; of `reversals` they are loaded too where the date is
    closed.  What stands in suspense by them moves under `part`.  `due_through` asks which dates up to this
    one could be closed.
    """

    keys: Sequence[Key]
    reversals: frozenset[Key]
    phones: frozenset[str]
    bills: frozenset[str]
    house: Sequence[Name]
    orders_max: int
    days: Sequence[Day]
    serials: Sequence[tuple[str, str]] = ()
    spaces: Sequence[str] = ()
    closes: Sequence[tuple[str, int]] = ()
    breaks: frozenset[Key] = frozenset()
    part: str = ""
    due_through: int = 0


def break_keys(wanted: Wanted, fences: Mapping[str, int]) -> frozenset[Key]:
    """Return the keys whose breaks are to be loaded, once the fences are known, and may rise further."""
    through = dict(fences)
    for space, date in wanted.closes:
        through[space] = max(date, through.get(space, 0))
    closed = [key for key in wanted.reversals if key.date <= through.get(key.space, 0)]
    return wanted.breaks.union(*map(seats, closed))


def house_of(wanted: Wanted, breaks: Iterable[Break]) -> list[Name]:
    """Return our own accounts that a batch needs, once the breaks are known that it may mend."""
    numbers = {row.bank_number for row in breaks if row.suspense_fen}
    more = {Name(kind, number, wanted.part) for number in numbers for kind in (CLEARING, SUSPENSE)}
    return [*wanted.house, *sorted(more.difference(wanted.house))]


@dataclass
class Batch:
    """What was loaded for one batch.

    `fences` says for each space that was asked for through which date it is closed; `breaks` are the rows of
    the keys named, and the open ones of all dates to be closed.
    """

    rows: list[Row]
    totals: list[tuple[Day, Totals]]
    accounts: list[Account]
    billing: Loaded
    fences: Mapping[str, int] = field(default_factory=dict)
    breaks: Sequence[Break] = ()
    due: tuple[Due, ...] = ()


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
