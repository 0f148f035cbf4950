"""The core in memory: what a database must do, as plainly as it can be said, for models and whole-system
simulation.

Pure.  One transaction at a time; what a database refuses by a constraint is refused here by an invariant.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from crm_bridge.batch import Batch, Changes, Wanted, break_keys, house_of
from crm_bridge.journal import Row, State
from crm_bridge.journal_breaks import Break
from crm_bridge.journal_fences import Due, Fence, latest
from crm_bridge.journal_totals import Day, Totals
from qianzhi.billing.bills import MonthBill
from qianzhi.billing.books import Subscriber
from qianzhi.billing.desk import Loaded
from qianzhi.billing.orders import Order, Standing, WriteOff, order_serials
from qianzhi.domain.requests import Key
from qianzhi.ledger.entries import Account, Leg, Name, Transfer
from qianzhi.ledger.invariant import invariant


class Memory:
    """All tables of one core; `accounts` and `subscribers` belong together as a seeding left them."""

    def __init__(
        self,
        subscribers: Iterable[Subscriber] = (),
        bills: Iterable[MonthBill] = (),
        accounts: Iterable[Account] = (),
        order_prefix: str = "Q",
    ) -> None:
        self.journal: dict[Key, Row] = {}
        self.totals: dict[tuple[Day, str], Totals] = {}
        self.subscribers = {one.phone: one for one in subscribers}
        self.bills = {bill.serial: bill for bill in bills}
        self.accounts = {account.id: account for account in accounts}
        self.house: dict[Name, int] = {}
        self.orders: dict[str, Order] = {}
        self.write_offs: list[WriteOff] = []
        self.transfers: list[Transfer] = []
        self.fences: list[Fence] = []  # as they rose
        self.breaks: dict[Key, Break] = {}
        self.next_order = 1
        self._prefix = order_prefix

    @contextmanager
    def transaction(self) -> Iterator["MemoryTransaction"]:
        """Open the one transaction; what it saved is forgotten unless it was committed."""
        yield MemoryTransaction(self)

    def rows(self, keys: Sequence[Key]) -> list[Row]:
        """Return the journal's rows of these keys, as far as they exist."""
        return [self.journal[key] for key in keys if key in self.journal]

    def close(self) -> None:
        """There is nothing to let go."""

    def take_serials(self, count: int) -> Iterator[str]:
        """Return new serials of work orders; those that are not used stay gaps."""
        first, self.next_order = self.next_order, self.next_order + count
        return iter(order_serials(self._prefix, range(first, first + count)))

    def account_of(self, name: Name) -> int:
        """Return the number of a house account, opened where it is missing."""
        if name not in self.house:
            self.house[name] = max(self.accounts, default=0) + 1
            self.accounts[self.house[name]] = Account(self.house[name])
        return self.house[name]


class MemoryTransaction:
    """One batch's transaction: loads copies, keeps what is saved, applies it when it is committed."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self._saved: list[tuple[Changes, str]] = []

    def load(self, wanted: Wanted, now_us: int) -> Batch:
        """Load all that a batch may touch."""
        memory = self._memory
        through = latest(memory.fences)
        fences = {space: through.get(space, 0) for space in wanted.spaces}
        breaks = self._breaks(wanted, fences)
        rows = memory.rows(wanted.keys)
        house = {name: memory.account_of(name) for name in house_of(wanted, breaks)}
        subscribers = [memory.subscribers[phone] for phone in wanted.phones if phone in memory.subscribers]
        orders = [row.order_serial for row in rows if row.order_serial and row.key in wanted.reversals]
        standings = [self._standing(order) for order in orders]
        accounts = set(house.values())
        accounts.update([one.account for one in subscribers], [one.arrears for one in subscribers])
        for standing in standings:
            accounts |= {standing.account, standing.arrears}
            accounts.update(*((leg.debit, leg.credit) for leg in standing.legs))
        named = wanted.bills.union(*((off.bill for off in standing.write_offs) for standing in standings))
        books = {subscriber.book for subscriber in subscribers}
        bills = [
            bill
            for bill in memory.bills.values()
            if bill.serial in named or (bill.book in books and bill.paid_by is None)
        ]
        return Batch(
            rows=rows,
            totals=[(day, self._total(day)) for day in wanted.days],
            accounts=[memory.accounts[number] for number in sorted(accounts)],
            billing=Loaded(subscribers, bills, standings, house, memory.take_serials(wanted.orders_max)),
            fences=fences,
            breaks=breaks,
            due=self._due(wanted.due_through),
        )

    def save(self, changes: Changes, part: str) -> bool:
        """Keep a batch's changes for the commit; False says that a key is not as it was loaded."""
        rows, breaks = self._memory.journal, self._memory.breaks
        inserts, reversals = changes.journal.inserts, changes.journal.reversals
        if any(row.key in breaks for row in changes.journal.breaks):
            return False
        if any(breaks[row.key].changes != row.changes - 1 for row in changes.journal.changed_breaks):
            return False
        if not rows.keys().isdisjoint([row[:3] for row in inserts]):
            return False
        if any(row.key not in rows or rows[row.key].state is not State.APPROVED for row in reversals):
            return False
        self._saved.append((changes, part))
        return True

    def commit(self) -> None:
        """Apply what was saved."""
        for changes, part in self._saved:
            self._apply(changes, part)

    def _apply(self, changes: Changes, part: str) -> None:
        memory = self._memory
        for row in (*changes.journal.inserts, *changes.journal.reversals):
            memory.journal[row.key] = row
        memory.fences += changes.journal.fences
        for one in (*changes.journal.breaks, *changes.journal.changed_breaks):
            memory.breaks[one.key] = one
        for day, more in changes.journal.totals:
            memory.totals[day, part] = memory.totals.get((day, part), Totals()).plus(more)
        orders = {order.serial: order for order in changes.billing.orders}
        unused = len(orders) == len(changes.billing.orders) and memory.orders.keys().isdisjoint(orders)
        invariant(unused, "a work order's serial is used once")
        memory.orders.update(orders)
        memory.write_offs += changes.billing.write_offs
        for serial, before, now in changes.billing.bills:
            invariant(memory.bills[serial].paid_by == before, "a bill changes only from the state it was in")
            memory.bills[serial] = memory.bills[serial]._replace(paid_by=now)
        memory.transfers += changes.ledger.transfers
        for number, delta in changes.ledger.deltas.items():
            _, balance, reserved, floor = memory.accounts[number]
            balance, reserved = balance + delta[0], reserved + delta[1]
            if floor is not None:
                invariant(balance - reserved >= floor, "no balance lies below its floor")
            memory.accounts[number] = tuple.__new__(Account, (number, balance, reserved, floor))

    def _breaks(self, wanted: Wanted, fences: Mapping[str, int]) -> list[Break]:
        memory = self._memory
        keys = sorted(break_keys(wanted, fences))
        found = {key: memory.breaks[key] for key in keys if key in memory.breaks}
        for space, date in wanted.closes:
            for row in memory.breaks.values():
                if row.open and row.space == space and fences[space] < row.business_date <= date:
                    found[row.key] = row
        return list(found.values())

    def _due(self, through: int) -> tuple[Due, ...]:
        """Return the oldest date up to `through` of each space that has rows and is not closed."""
        if not through:
            return ()
        closed, oldest = latest(self._memory.fences), dict[str, int]()
        for space, date, _ in self._memory.journal:
            if closed.get(space, 0) < date <= through:
                oldest[space] = min(date, oldest.get(space, date))
        return tuple(Due(*one) for one in sorted(oldest.items()))

    def _standing(self, serial: str) -> Standing:
        memory = self._memory
        order = memory.orders[serial]
        holder = next(one for one in memory.subscribers.values() if one.book == order.book)
        legs = [
            Leg(one.debit, one.credit, one.amount_fen, one.code)
            for one in memory.transfers
            if one.reference == serial
        ]
        offs = [off for off in memory.write_offs if off.order == serial]
        return Standing(
            serial,
            order.phone,
            order.book,
            holder.account,
            holder.arrears,
            order.amount_fen,
            tuple(legs),
            tuple(offs),
        )

    def _total(self, day: Day) -> Totals:
        found = Totals()
        for (each, _), more in self._memory.totals.items():
            found = found.plus(more) if each == day else found
        return found
