"""What a batch of money requests does to books and bills, decided in order on loaded state.

Pure: the desk is one batch's working copy and is thrown away when the batch is decided again.  It knows
nothing of keys and repeats; whoever calls it has settled that a request is new.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from qianzhi.billing.bills import MonthBill, Tariff, quote
from qianzhi.billing.books import PhoneState, Subscriber
from qianzhi.billing.orders import (
    CLEARING,
    LATE_FEES,
    RECEIVABLE,
    SUSPENSE,
    UNDO,
    Code,
    Order,
    Standing,
    WriteOff,
)
from qianzhi.domain.requests import Bill, Key, Kind
from qianzhi.domain.results import Result
from qianzhi.ledger.entries import Leg, Name
from qianzhi.ledger.entries import Outcome as Posted
from qianzhi.ledger.invariant import invariant
from qianzhi.ledger.sheet import Sheet
from qianzhi.runtime.now import Now

_new = tuple.__new__  # makes a named tuple of all its fields, for half of what calling its class costs
_DONE, _CLOSED, _CREDIT, _RECHARGE = Posted.DONE, PhoneState.CLOSED, Code.CREDIT, Kind.RECHARGE


class Job(NamedTuple):
    """A recharge or bill payment to be made; `bill` is the serial that a payment quotes."""

    kind: Kind
    key: Key
    phone: str
    amount_fen: int
    bank_number: str
    bill: str = ""


Recharged = tuple[str, int, str]  # a recharge that was approved: work order, balance and name of its phone


class Outcome(NamedTuple):
    """How a job ended: `balance_fen` is what the customer has (below zero: owes after a reversal).

    `shortage_fen` above zero says that a reversal drove the book into arrears: the caller raises an alarm
    (rule 10).
    """

    result: Result
    order: str = ""
    amount_fen: int = 0
    balance_fen: int = 0
    bills: tuple[Bill, ...] = ()
    name: str = ""
    shortage_fen: int = 0


@dataclass
class Loaded:
    """What the store found for one batch; `house` are our own accounts, `serials` new work orders'."""

    subscribers: Iterable[Subscriber] = ()
    bills: Iterable[MonthBill] = ()
    standings: Iterable[Standing] = ()
    house: dict[Name, int] = field(default_factory=dict)
    serials: Iterator[str] = field(default_factory=lambda: iter(()))


@dataclass
class Changes:
    """All that one batch writes into billing's tables; `bills` are (serial, paid by before, paid by now)."""

    orders: list[Order] = field(default_factory=list)
    write_offs: list[WriteOff] = field(default_factory=list)
    bills: list[tuple[str, str | None, str | None]] = field(default_factory=list)


class Desk:
    """Serves one batch; `part` is the bridge's and lane's own piece of the accounts that everyone uses."""

    def __init__(self, loaded: Loaded, sheet: Sheet, tariff: Tariff, today: int, now: Now, part: str) -> None:
        self._subscribers = {subscriber.phone: subscriber for subscriber in loaded.subscribers}
        self._was = {bill.serial: bill for bill in loaded.bills}
        self._bills = dict(self._was)
        self._months = _by_book(self._was.values())
        self._standings = {standing.order: standing for standing in loaded.standings}
        self._made: dict[str, tuple[Order, Subscriber, list[Leg]]] = {}
        self._house = loaded.house
        self._clearing = {
            name.owner: account
            for name, account in loaded.house.items()
            if name.kind == CLEARING and name.part == part
        }
        self._serials = loaded.serials
        self._sheet = sheet
        self._tariff = tariff
        self._today = today
        self._now = now
        self._posted_us = now.wall_us
        self._part = part
        self._changes = Changes()
        self._orders = self._changes.orders

    def owed(self, phone: str) -> Outcome:
        """Say what a phone owes today, oldest month first; nothing owed is an answer of its own.

        The amount is the bills' total and the arrears together.
        """
        subscriber = self._subscribers.get(phone)
        if subscriber is None:
            return Outcome(Result.NO_SUCH_PHONE)
        bills = tuple(quote(bill, self._today, self._tariff) for bill in self._open_bills(subscriber.book))
        amount = sum(bill.total_fen for bill in bills) - self._sheet.balance_fen(subscriber.arrears)
        result = Result.APPROVED if amount else Result.NOTHING_OWED
        balance = self._balance_fen(subscriber.account, subscriber.arrears)
        return Outcome(result, "", amount, balance, bills, subscriber.name)

    def credit(self, job: Job) -> Outcome:
        """Carry out a recharge or a bill payment, or refuse it for a business reason."""
        subscriber = self._subscribers.get(job.phone)
        if subscriber is None:
            return Outcome(Result.NO_SUCH_PHONE)
        if subscriber.state is PhoneState.CLOSED:
            return Outcome(Result.PHONE_CLOSED)
        if job.kind is Kind.PAY:
            return self._pay(job, subscriber)
        return self._recharge(job, subscriber)

    def recharge(self, key: Key, phone: str, amount_fen: int, bank_number: str) -> Recharged | None:
        """Carry out a recharge as nearly all are: approved, and its one posting the bank's money to the book.

        None says that this one may not be such (no phone in service, bills or arrears to be paid from it):
        nothing was changed, and `credit` carries it out or refuses it.  What it does is what `credit` does.
        """
        subscriber, clearing = self._subscribers.get(phone), self._clearing.get(bank_number)
        if subscriber is None or clearing is None:
            return None
        _, state, name, book, account, arrears = subscriber
        sheet, posted_us = self._sheet, self._posted_us
        balance_fen = sheet.free_with(account, arrears)
        if balance_fen is None or state is _CLOSED or book in self._months:
            return None
        serial = next(self._serials)
        space, date, asked = key
        posted = sheet.post_one(serial, clearing, account, amount_fen, _CREDIT, posted_us, date)
        if posted is not _DONE:
            _refused(posted)
        made = (serial, _RECHARGE, space, date, asked, phone, book, amount_fen, bank_number, posted_us, None)
        self._orders.append(_new(Order, made))
        return serial, balance_fen + amount_fen, name

    def reverse(self, original: str, key: Key, bank_number: str, kind: Kind = Kind.REVERSAL) -> Outcome:
        """Undo exactly what an order did: bills open again, late fees go back, the money to clearing.

        What the book is short of goes to its arrears (money rule 10): a reversal is never refused for lack
        of money.  A VOID is: it leaves no arrears.
        """
        standing = self._standing(original)
        legs = [
            Leg(leg.credit, leg.debit, leg.amount_fen, leg.code + UNDO) for leg in reversed(standing.legs)
        ]
        drain = sum(_effect_fen(leg, standing.account) for leg in legs)
        shortage = max(0, -drain - max(0, self._sheet.free_fen(standing.account)))
        if shortage and kind is Kind.VOID:
            return Outcome(Result.SPENT)
        if shortage:
            legs.insert(0, Leg(standing.arrears, standing.account, shortage, Code.SHORTAGE))
        serial = next(self._serials)
        self._post(serial, legs, key.date)
        for write_off in standing.write_offs:
            bill = self._bills[write_off.bill]
            invariant(bill.paid_by == original, "a bill is reopened only by the order that paid it")
            self._bills[bill.serial] = bill._replace(paid_by=None)
        self._changes.orders.append(
            Order(
                serial,
                kind,
                *key,
                standing.phone,
                standing.book,
                standing.amount_fen,
                bank_number,
                self._now.wall_us,
                original,
            )
        )
        balance = self._balance_fen(standing.account, standing.arrears)
        return Outcome(Result.APPROVED, serial, standing.amount_fen, balance, shortage_fen=shortage)

    def suspend(self, reference: str, bank_number: str, amount_fen: int) -> int:
        """Move what a bank may owe us from its clearing to suspense; return how much stands there by that."""
        self._post(reference, [self._suspense_leg(bank_number, amount_fen)])
        return amount_fen

    def restore(self, reference: str, bank_number: str, amount_fen: int) -> None:
        """Move it back, because it is settled."""
        leg = self._suspense_leg(bank_number, amount_fen)
        self._post(reference, [Leg(leg.credit, leg.debit, amount_fen, UNDO + Code.SUSPENSE)])

    def changes(self) -> Changes:
        """Return all that is to be written; a bill that was paid and reopened in one batch is not touched."""
        for serial, bill in self._bills.items():
            before = self._was[serial].paid_by
            if bill.paid_by != before:
                self._changes.bills.append((serial, before, bill.paid_by))
        return self._changes

    def _recharge(self, job: Job, subscriber: Subscriber) -> Outcome:
        legs = [self._credit_leg(job, subscriber)]
        paid: list[Bill] = []
        owed = self._sheet.balance_fen(subscriber.arrears)
        if owed >= 0 and subscriber.book not in self._months:
            return self._approve(job, subscriber, legs, paid)
        free = self._sheet.free_fen(subscriber.account) + job.amount_fen
        made_good = min(free, -owed)
        if made_good > 0:
            legs.append(Leg(subscriber.account, subscriber.arrears, made_good, Code.ARREARS))
            free -= made_good
        for bill in self._open_bills(subscriber.book):
            quoted = quote(bill, self._today, self._tariff)
            if quoted.total_fen > free:
                break
            free -= quoted.total_fen
            paid.append(quoted)
        return self._approve(job, subscriber, legs, paid)

    def _pay(self, job: Job, subscriber: Subscriber) -> Outcome:
        bill = self._bills.get(job.bill)
        if bill is None or bill.book != subscriber.book:
            return Outcome(Result.NO_SUCH_BILL)
        if bill.paid_by is not None:
            return Outcome(Result.BILL_PAID)
        quoted = quote(bill, self._today, self._tariff)
        if quoted.total_fen != job.amount_fen:
            return Outcome(Result.BILL_CHANGED, bills=(quoted,))
        return self._approve(job, subscriber, [self._credit_leg(job, subscriber)], [quoted])

    def _approve(self, job: Job, subscriber: Subscriber, legs: list[Leg], paid: list[Bill]) -> Outcome:
        serial = next(self._serials)
        for bill in paid:
            legs += self._bill_legs(bill, subscriber.account)
        self._post(serial, legs, job.key.date)
        kind, key, phone, amount_fen, bank_number, _ = job
        order = Order(serial, kind, *key, phone, subscriber.book, amount_fen, bank_number, self._now.wall_us)
        self._changes.orders.append(order)
        self._made[serial] = (order, subscriber, legs)
        for bill in paid:
            write_off = WriteOff(serial, bill.serial, bill.principal_fen, bill.late_fee_fen)
            self._changes.write_offs.append(write_off)
            self._bills[bill.serial] = self._bills[bill.serial]._replace(paid_by=serial)
        balance = self._balance_fen(subscriber.account, subscriber.arrears)
        return Outcome(Result.APPROVED, serial, job.amount_fen, balance, tuple(paid), subscriber.name)

    def _standing(self, serial: str) -> Standing:
        """Return what stands under an order, loaded or made in this batch."""
        if serial in self._standings:
            return self._standings[serial]
        if serial in self._made:
            order, subscriber, legs = self._made[serial]
        else:
            order = {order.serial: order for order in self._orders}[serial]
            subscriber = self._subscribers[order.phone]
            legs = [self._credit_leg(order, subscriber)]
        write_offs = tuple(one for one in self._changes.write_offs if one.order == serial)
        return Standing(
            *(serial, order.phone, order.book, subscriber.account, subscriber.arrears, order.amount_fen),
            tuple(legs),
            write_offs,
        )

    def _credit_leg(self, job: Job | Order, subscriber: Subscriber) -> Leg:
        clearing = self._house[Name(CLEARING, job.bank_number, self._part)]
        return Leg(clearing, subscriber.account, job.amount_fen, Code.CREDIT)

    def _suspense_leg(self, bank_number: str, amount_fen: int) -> Leg:
        clearing = self._house[Name(CLEARING, bank_number, self._part)]
        suspense = self._house[Name(SUSPENSE, bank_number, self._part)]
        return Leg(clearing, suspense, amount_fen, Code.SUSPENSE)

    def _bill_legs(self, bill: Bill, account: int) -> list[Leg]:
        receivable = self._house[Name(RECEIVABLE, "", self._part)]
        legs = [Leg(account, receivable, bill.principal_fen, Code.PRINCIPAL)]
        if bill.late_fee_fen:
            fees = self._house[Name(LATE_FEES, "", self._part)]
            legs.append(Leg(account, fees, bill.late_fee_fen, Code.LATE_FEE))
        return legs

    def _post(self, serial: str, legs: list[Leg], date: int = 0) -> None:
        posted = self._sheet.post(serial, legs, self._now, date)
        if posted is not _DONE:
            _refused(posted)

    def _balance_fen(self, account: int, arrears: int) -> int:
        return self._sheet.free_fen(account) + self._sheet.balance_fen(arrears)

    def _open_bills(self, book: int) -> list[MonthBill]:
        bills = (self._bills[serial] for serial in self._months.get(book, ()))
        return [bill for bill in bills if bill.paid_by is None]


def _refused(posted: Posted) -> None:
    invariant(posted is _DONE, f"the ledger refused what billing had checked: {posted.name}")


def _by_book(bills: Iterable[MonthBill]) -> dict[int, list[str]]:
    """Return each book's bills, oldest month first."""
    found: dict[int, list[str]] = {}
    for bill in sorted(bills, key=lambda bill: bill.month):
        found.setdefault(bill.book, []).append(bill.serial)
    return found


def _effect_fen(leg: Leg, account: int) -> int:
    return leg.amount_fen * ((leg.credit == account) - (leg.debit == account))
