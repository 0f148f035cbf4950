"""What a core may commit: a second set of books, kept from commits alone and held to the core's own.  Pure.

Written from the rules and sharing nothing with the code that decides.  The mirror follows each commit;
`audit` works the tables out from nothing.

    I2  no key is credited twice            I5  what a key has come to changes only from approved to reversed
    I3  no credit without its row           I6  a key that was blocked takes no original
    I4  postings balance, balances are their sums, nothing lies below its floor
    I13 a work order's serial is used once
"""

from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from crm_bridge.journal import Row, State
from qianzhi.domain.requests import Key
from simulators.world.observe import Violation

if TYPE_CHECKING:
    from crm_bridge.batch import Changes
    from crm_bridge.memory import Memory

CLEARING = "clearing"
_STANDS = frozenset({State.APPROVED, State.REVERSED})
_KEPT = ("kind", "content", "result", "reply", "order_serial", "phone", "amount_fen", "bank_number", "bill")


class Books:
    """The mirror of one core's journal and ledger."""

    def __init__(self, memory: "Memory") -> None:
        """`memory` is the core as it begins; nothing of it is kept but numbers and rows."""
        self.read(memory)

    def read(self, memory: "Memory") -> None:
        """Take the tables as they are: at the start, or when a fail-over undid what nobody heard of."""
        self.rows: dict[Key, Row] = dict(memory.journal)
        self.orders: dict[str, str | None] = {
            serial: order.reverses for serial, order in memory.orders.items()
        }
        self.undone = {reverses for reverses in self.orders.values() if reverses}
        self.balances = _moved(memory.transfers)
        self.transfers = len(memory.transfers)
        self.fences: dict[str, int] = {}
        for fence in memory.fences:
            self.fences[fence.space] = max(fence.closed_through, self.fences.get(fence.space, 0))

    def follow(self, changes: "Changes", memory: "Memory") -> None:
        """Take one commit; raises Violation where it breaks a rule."""
        closed = dict(self.fences)
        for fence in changes.journal.fences:
            self._rise(fence)
        from_clearing = _from_clearing(changes.ledger.transfers, memory)
        posted = {order.serial: order for order in changes.billing.orders}
        undoes = {order.reverses: order for order in posted.values() if order.reverses}
        named = set()
        for row in changes.journal.inserts:
            self._insert(row, closed)
            named |= {row.order_serial, row.reversal_order}
            if row.state in _STANDS:
                self._credited(row, posted, from_clearing)
            if row.state is State.REVERSED:
                self._undone(row, undoes, from_clearing)
        for row in changes.journal.reversals:
            self._reverse(row)
            named.add(row.reversal_order)
            self._undone(row, undoes, from_clearing)
        for serial, order in posted.items():
            if serial in self.orders:
                raise Violation("I13", order.key.text, f"work order {serial} is used a second time")
            self.orders[serial] = order.reverses
            if serial not in named:
                raise Violation("I3", order.key.text, f"work order {serial} moves money that no row names")
        self._move(changes, memory)

    # -- keys

    def _insert(self, row: Row, closed: dict[str, int]) -> None:
        was = self.rows.get(row.key)
        if was is not None:
            raise _settled_anew(was, row)
        if row.state is State.APPROVED and row.business_date <= closed.get(row.space, 0):
            says = f"credited under a date that was closed through {closed[row.space]}"
            raise Violation("rule 2", row.key.text, says, journal=words(row))
        self.rows[row.key] = row

    def _reverse(self, row: Row) -> None:
        was = self.rows.get(row.key)
        if was is None or was.state is not State.APPROVED or row.state is not State.REVERSED:
            says = f"{was.state.name.lower() if was else 'no row'} became {row.state.name.lower()}"
            raise Violation("I5", row.key.text, says, before=words(was), after=words(row))
        for field in _KEPT:
            if getattr(was, field) != getattr(row, field):
                says = f"its {field} changed with its reversal"
                raise Violation("I5", row.key.text, says, before=words(was), after=words(row))
        self.rows[row.key] = row

    # -- money

    def _credited(self, row: Row, posted: dict[str, Any], from_clearing: Counter[str]) -> None:
        """Hold an approved row to exactly one posting of its amount."""
        key, serial = row.key.text, row.order_serial
        if serial is None or serial not in posted:
            raise Violation("I3", key, "approved without a work order", journal=words(row))
        fen = from_clearing[serial]
        if fen != row.amount_fen:
            invariant = "I2" if row.amount_fen and fen >= 2 * row.amount_fen else "I4"
            says = f"{fen} fen were posted for an amount of {row.amount_fen}"
            raise Violation(invariant, key, says, journal=words(row), books=f"{serial}: {fen}")
        extra = [
            other.serial
            for other in posted.values()
            if other.key == row.key and other.reverses is None and other.serial != serial
        ]
        if extra:
            raise Violation("I2", key, f"credited twice: {serial} and {extra[0]}", journal=words(row))

    def _undone(self, row: Row, undoes: dict[str, Any], from_clearing: Counter[str]) -> None:
        key, order = row.key.text, undoes.get(row.order_serial or "")
        if order is None or order.serial != row.reversal_order:
            raise Violation("I3", key, "reversed without a work order that undoes it", journal=words(row))
        if row.order_serial in self.undone:
            raise Violation("I3", key, f"work order {row.order_serial} is undone twice", journal=words(row))
        self.undone.add(str(row.order_serial))
        fen = from_clearing[order.serial]
        if fen != -row.amount_fen:
            says = f"its reversal gave back {-fen} fen of {row.amount_fen}"
            raise Violation("I3", key, says, journal=words(row), books=f"{order.serial}: {fen}")

    def _move(self, changes: "Changes", memory: "Memory") -> None:
        """Take the transfers; what the accounts are changed by must be exactly their sums, and fit them."""
        moved = _moved(changes.ledger.transfers)
        told = {number: delta.balance_fen for number, delta in changes.ledger.deltas.items()}
        for number in {*moved, *told}:
            if moved[number] != told.get(number, 0):
                says = f"its balance changes by {told.get(number, 0)}, its postings sum to {moved[number]}"
                raise Violation("I4", f"account {number}", says)
            self.balances[number] += moved[number]
            floor_fen = memory.accounts[number].floor_fen
            if floor_fen is not None and self.balances[number] < floor_fen:
                says = f"its postings sum to {self.balances[number]}, which is below its floor"
                raise Violation("I4", f"account {number}", says)
        self.transfers += len(changes.ledger.transfers)

    def _rise(self, fence: Any) -> None:
        before = self.fences.get(fence.space, 0)
        if fence.closed_through <= before:
            says = f"the fence of {fence.space} went from {before} to {fence.closed_through}"
            raise Violation("rule 10", f"{fence.space}/{fence.closed_through}", says)
        self.fences[fence.space] = fence.closed_through


def audit(memory: "Memory") -> None:
    """Work a core's tables out from nothing; raises Violation for the first thing that is wrong."""
    moved = _moved(memory.transfers)
    for number, account in memory.accounts.items():
        if account.balance_fen != moved[number]:
            says = f"balance {account.balance_fen}, its postings sum to {moved[number]}"
            raise Violation("I4", f"account {number}", says)
        if account.floor_fen is not None and account.balance_fen - account.reserved_fen < account.floor_fen:
            raise Violation("I4", f"account {number}", f"{account.balance_fen} fen is below its floor")
    for one in memory.subscribers.values():
        book, arrears = memory.accounts[one.account], memory.accounts[one.arrears]
        if book.balance_fen < 0 or arrears.balance_fen > 0:
            says = f"book {book.balance_fen}, arrears {arrears.balance_fen} fen"
            raise Violation("I4", one.phone, says)
    _audit_keys(memory)
    _audit_suspense(memory)


def standing(memory: "Memory") -> Counter[Key]:
    """Return what stands under each key in the books, from the postings alone."""
    from_clearing = _from_clearing(memory.transfers, memory)
    found: Counter[Key] = Counter()
    for serial, order in memory.orders.items():
        found[order.key] += from_clearing[serial]
    return found


def _audit_keys(memory: "Memory") -> None:
    found = standing(memory)
    for key, row in memory.journal.items():
        should = row.amount_fen if row.state is State.APPROVED else 0
        if found[key] != should:
            invariant = "I2" if row.state is State.APPROVED and found[key] > should else "I3"
            says = f"{found[key]} fen stand in the books, {should} in the journal"
            raise Violation(invariant, key.text, says, journal=words(row), books=found[key])
    for key, fen in found.items():
        if fen and key not in memory.journal:
            raise Violation("I3", key.text, f"{fen} fen stand in the books, and no row", books=fen)


def _audit_suspense(memory: "Memory") -> None:
    """Hold suspense accounts to the breaks that are open."""
    held = sum(
        memory.accounts[number].balance_fen
        for name, number in memory.house.items()
        if name.kind == "suspense"
    )
    open_fen = sum(one.suspense_fen for one in memory.breaks.values() if one.open)
    if abs(held) != open_fen:
        raise Violation("I12", "suspense", f"{held} fen in suspense, {open_fen} in open breaks")


def words(row: Row | None) -> str:
    """Return a row in a few words."""
    if row is None:
        return "no row"
    undone = f", reversed by {row.reversal_order}" if row.reversal_order else ""
    order = f" as {row.order_serial}" if row.order_serial else ""
    return f"{row.state.name.lower()} ({row.result}), {row.amount_fen} fen for {row.phone}{order}{undone}"


def _settled_anew(was: Row, row: Row) -> Violation:
    views = {"before": words(was), "after": words(row)}
    if row.state is not State.APPROVED:
        return Violation("I5", row.key.text, "a settled key is settled anew", **views)
    if was.state is State.APPROVED:
        return Violation("I2", row.key.text, "credited twice", **views)
    if was.state is State.REVERSED:
        return Violation("I3", row.key.text, "credited after its reversal", **views)
    if was.state is State.BLOCKED:
        return Violation("I6", row.key.text, "credited although its key was blocked", **views)
    return Violation("I5", row.key.text, "credited after it was refused", **views)


def _moved(transfers: Iterable[Any]) -> Counter[int]:
    """Return by how much each account changed; raises Violation for what is no posting."""
    moved: Counter[int] = Counter()
    for one in transfers:
        if one.amount_fen <= 0 or one.debit == one.credit:
            says = f"{one.amount_fen} fen from account {one.debit} to {one.credit} is no posting"
            raise Violation("I4", one.reference, says)
        moved[one.debit] -= one.amount_fen
        moved[one.credit] += one.amount_fen
    return moved


def _from_clearing(transfers: Iterable[Any], memory: "Memory") -> Counter[str]:
    """Return what left the clearing accounts, less what came back, by the postings' reference."""
    clearing = {number for name, number in memory.house.items() if name.kind == CLEARING}
    found: Counter[str] = Counter()
    for one in transfers:
        if one.debit in clearing:
            found[one.reference] += one.amount_fen
        if one.credit in clearing:
            found[one.reference] -= one.amount_fen
    return found
