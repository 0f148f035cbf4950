"""A core that is small enough to be falsified by hand, for the tests of the checks.  Pure.

The real steps of the gateway over the core in memory; what it commits is handed out, so that a test can
change it before the mirror sees it.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from zoneinfo import ZoneInfo

import msgspec

from crm_bridge.batch import Changes
from crm_bridge.gateway_steps import Rules, SteppedGateway
from crm_bridge.journal import Row
from crm_bridge.journal_decide import Terms
from crm_bridge.memory import Memory, MemoryTransaction
from crm_bridge.steps import finish
from qianzhi.billing.bills import MonthBill, Tariff
from qianzhi.billing.books import PhoneState, Subscriber
from qianzhi.domain.requests import Key, Kind, Reply, Request
from qianzhi.domain.results import Result
from qianzhi.ledger.entries import Account
from qianzhi.runtime.now import Now
from simulators.record import Debit, Outcome, Record
from simulators.world.banks_deals import Deal
from simulators.world.checks_books import Books
from simulators.world.checks_end import Party
from simulators.world.checks_told import Told

NOW = Now(1_000_000, 1_782_900_000_000_000)
TODAY = 20260701
PHONE, OTHER_PHONE = "13900000001", "13900000002"
KEY = Key("bank", TODAY, "000001")
AMOUNT_FEN = 1_000
ASKED = Request(
    Kind.RECHARGE, *KEY, bank="bank", bank_number="0101", phone=PHONE, amount_fen=AMOUNT_FEN
)  # what a test asks where it says nothing else


class Bench:
    """A core with two customers, its mirror, and the check of what is told.

    Their accounts are 1 (book) and 2 (arrears), 3 and 4; a bill of `bill_fen` is the first one's.
    """

    def __init__(self, bill_fen: int = 0) -> None:
        books = [(PHONE, 1), (OTHER_PHONE, 3)]
        people = [Subscriber(phone, PhoneState.OPEN, "户", at, at, at + 1) for phone, at in books]
        accounts = [Account(at, floor_fen=0 if at % 2 else None) for at in range(1, 5)]
        bills = [MonthBill("202605", 1, 202605, bill_fen, 20270101)] if bill_fen else []
        self.memory = Memory(people, bills, accounts)
        self.mirror = Books(self.memory)
        self.told = Told(self.find, {"bank": frozenset({Result.BUSY})})
        self._commits: list[Changes] = []
        rules = Rules(Terms(500_000_00, 200, 2, 30), Tariff(), ZoneInfo("Asia/Shanghai"))
        self._steps = SteppedGateway(_Kept(self.memory, self._commits), rules, "bridge1/0")

    def find(self, key: Key, bank: str) -> list[Row]:
        """Return the rows that a key means."""
        row = self.memory.journal.get(key)
        return [row] if row is not None else []

    def ask(self, request: Request = ASKED) -> Reply:
        """Carry out one request, and let the mirror follow."""
        reply = self._execute(request)
        for changes in self._commits:
            self.mirror.follow(changes, self.memory)
        self._commits.clear()
        return reply

    def changes(self, request: Request = ASKED) -> Changes:
        """Carry out one request and return what it changed, which the mirror has not seen."""
        self._execute(request)
        (changes,) = self._commits
        self._commits.clear()
        return changes

    def _execute(self, request: Request) -> Reply:
        (reply,) = finish(self._steps.executing([request], NOW, None))
        return reply


class _Kept:
    """The core's tables, with all that is committed kept in a list."""

    def __init__(self, memory: Memory, commits: list[Changes]) -> None:
        self._memory = memory
        self._commits = commits

    @contextmanager
    def transaction(self) -> Iterator["_KeptTransaction"]:
        with self._memory.transaction() as inner:
            yield _KeptTransaction(inner, self._commits)

    def rows(self, keys: Sequence[Key]) -> list[Row]:
        return self._memory.rows(keys)

    def close(self) -> None:
        self._memory.close()


class _KeptTransaction:
    def __init__(self, inner: MemoryTransaction, commits: list[Changes]) -> None:
        self._inner = inner
        self._commits = commits
        self._saved: list[Changes] = []
        self.load = inner.load

    def save(self, changes: Changes, part: str) -> bool:
        self._saved.append(changes)
        return self._inner.save(changes, part)

    def commit(self) -> None:
        self._inner.commit()
        self._commits += self._saved


def asking(kind: Kind = Kind.RECHARGE, serial: str = KEY.serial, amount_fen: int = AMOUNT_FEN) -> Request:
    """Return a request about a serial of today."""
    return msgspec.structs.replace(ASKED, kind=kind, serial=serial, amount_fen=amount_fen)


def deal_of(outcome: Outcome, debit: Debit) -> Deal:
    """Return what the bank believes of the request that a bench asks."""
    record = Record(
        KEY,
        Kind.RECHARGE,
        "recharge",
        0,
        PHONE,
        "0101",
        AMOUNT_FEN,
        debit=debit,
        outcome=outcome,
        originals=1,
    )
    return Deal(record, done=True)


def bank_of(*deals: Deal) -> list[Party]:
    """Return the bank whose deals these are."""
    spent: dict[str, int] = {}
    for deal in deals:
        own = deal.record
        spent[own.phone] = spent.get(own.phone, 0) + own.standing_fen
    return [Party("bank", deals, spent)]
