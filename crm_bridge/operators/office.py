"""What operators ask, each as one transaction: logging in, proposing, approving, refusing, noting results.

Pure: where the rows are kept, and how a password is hashed, is given.  Carrying an approved act out lies
between two of these transactions, and is somebody else's: the same act may be tried again and again, under
the same number, until its result is put down.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Protocol, TypeVar

from crm_bridge.operators import people
from crm_bridge.operators.acts import HOUSE_KINDS, NODE_KINDS, Act, ActKind, ActState, Order
from crm_bridge.operators.desk import Book, Desk, Transaction
from crm_bridge.operators.people import LoginError, Operator, OperatorsError

_T = TypeVar("_T")

CARRIED_OUT = HOUSE_KINDS | NODE_KINDS
WRONG = "the name or the password is wrong"


class Books(Protocol):
    """Where operators, acts and the chain are kept; `memory.Memory` and `store.Store` are such."""

    def transaction(self) -> AbstractContextManager[Transaction]:
        """Open the one transaction; what it saved is forgotten unless it was committed."""

    def book(self) -> Book:
        """Return the book as it is, without holding anything."""


class Hasher(Protocol):
    """Makes and compares passwords' hashes; slow on purpose, so never inside a transaction."""

    def make(self, password: str) -> str:
        """Return the hash of a password, with a salt of its own."""

    def same(self, password_hash: str, password: str) -> bool:
        """Say whether this is the password of that hash."""


class Office:
    """One at a time: whoever uses it from several threads takes turns."""

    def __init__(self, books: Books, hasher: Hasher) -> None:
        self._books = books
        self._hasher = hasher
        self._nobody = hasher.make("nobody has this password")  # compared with for names that do not exist

    def add(self, by: str, password: str, name: str, new_password: str, now_us: int) -> Operator | Act:
        """Enlist one of the first two operators, or propose a further one; returns which it came to.

        The first comes without anybody's login, and `by` is then whoever runs the command.
        """
        book = self._books.book()
        first = not any(each.active for each in book.operators.values())
        seen = None if first else self._login(by, password, now_us)
        people.check_name(name)
        people.check_password(name, new_password)
        made = self._hasher.make(people.normal(new_password))

        def decide(desk: Desk) -> Operator | Act:
            if seen is not None:
                desk.require(by, seen.password)
                if not desk.enlisting:
                    return desk.propose(by, Order(ActKind.OPERATOR_ADD, name, {"name": name}, ""), made)
            return desk.enlist(by, name, made, alone=seen is None)

        return self._transact(decide, now_us)

    def change_password(self, name: str, password: str, new_password: str, now_us: int) -> None:
        """Let an operator choose another password."""
        seen = self._login(name, password, now_us)
        people.check_password(name, new_password)
        if people.normal(new_password) == people.normal(password):
            raise OperatorsError("that is the password that there is already")
        made = self._hasher.make(people.normal(new_password))

        def decide(desk: Desk) -> None:
            desk.require(name, seen.password)
            desk.change_password(name, made)

        self._transact(decide, now_us)

    def propose(
        self, maker: str, password: str, order: Order, now_us: int, *, new_password: str | None = None
    ) -> Act:
        """Propose an act for a second operator; `new_password` is that of a reset."""
        seen = self._login(maker, password, now_us)
        made = ""
        if new_password is not None:
            people.check_password(order.subject, new_password)
            made = self._hasher.make(people.normal(new_password))

        def decide(desk: Desk) -> Act:
            desk.require(maker, seen.password)
            return desk.propose(maker, order, made)

        return self._transact(decide, now_us)

    def approve(self, checker: str, password: str, number: int, now_us: int) -> Act:
        """Approve a pending act; one that was approved before comes back as it is, to be driven on."""
        seen = self._login(checker, password, now_us)

        def decide(desk: Desk) -> Act:
            desk.require(checker, seen.password)
            act = desk.act(number)
            done = act.state in (ActState.APPROVED, ActState.DONE)
            return act if done else desk.approve(checker, number)

        return self._transact(decide, now_us, number)

    def refuse(self, who: str, password: str, number: int, reason: str, now_us: int) -> Act:
        """Refuse a pending act, or withdraw one's own."""
        seen = self._login(who, password, now_us)

        def decide(desk: Desk) -> Act:
            desk.require(who, seen.password)
            return desk.refuse(who, number, reason)

        return self._transact(decide, now_us, number)

    def finish(
        self,
        by: str,
        number: int,
        result: str,
        detail: dict[str, Any],
        now_us: int,
        kinds: frozenset[ActKind] = CARRIED_OUT,
    ) -> Act:
        """Put down what an approved act of these kinds came to; the result that stands already prevails."""

        def decide(desk: Desk) -> Act:
            act = desk.act(number)
            if act.kind not in kinds:
                raise OperatorsError(f"{act.title} is not for this one to carry out")
            return desk.finish(by, number, result, detail)

        return self._transact(decide, now_us, number)

    def note(self, who: str, what: str, detail: dict[str, Any], now_us: int, note: str = "") -> None:
        """Record in the chain what needs nobody's approval; once for each name of a note."""
        self._transact(lambda desk: desk.note(who, what, detail, note), now_us, note=note)

    def _login(self, name: str, password: str, now_us: int) -> Operator:
        """Return the operator of that name and password; raises LoginError.

        The hashes are compared outside of any transaction: that takes long, and money must not wait for it.
        """
        operator = self._books.book().operators.get(name)
        if operator is None or not operator.active:
            self._hasher.same(self._nobody, people.normal(password))  # takes as long as for a name there is
            raise LoginError(WRONG)
        people.require_unlocked(operator, now_us)
        if not self._hasher.same(operator.password, people.normal(password)):
            self._transact(lambda desk: desk.fail(name), now_us)
            raise LoginError(WRONG)
        return operator

    def _transact(self, decide: Callable[[Desk], _T], now_us: int, act: int = 0, note: str = "") -> _T:
        with self._books.transaction() as transaction:
            desk = Desk(transaction.load(act, note), now_us)
            found = decide(desk)
            if desk.changes.entries or desk.changes.operators:
                transaction.save(desk.changes)
                transaction.commit()
        return found
