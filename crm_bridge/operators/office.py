"""What operators ask, each as one transaction: logging in, proposing, approving, refusing, noting results.

Pure: where the rows are kept, and how a password is hashed, is given.  Carrying an approved act out lies
between two of these transactions, and is somebody else's: the same act may be tried again and again, under
the same number, until its result is put down.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, NamedTuple, Protocol, TypeVar

from crm_bridge.operators import codes, people
from crm_bridge.operators.acts import HOUSE_KINDS, LETS_IN, NODE_KINDS, Act, ActKind, ActState, Order
from crm_bridge.operators.desk import Book, Desk, Transaction
from crm_bridge.operators.people import LoginError, Operator, OperatorsError

_T = TypeVar("_T")

CARRIED_OUT = HOUSE_KINDS | NODE_KINDS
WRONG = "the name or the password is wrong"
WHO = "--as NAME says who asks, else it is this machine's user; six wrong ones in a row lock a name"


def _fits(stored: str, given: str, same: Callable[[str, str], bool]) -> bool:
    return same(stored, given)


def _nothing(_: Act) -> None:
    """Hold an act to nothing more."""


class Books(Protocol):
    """Where operators, acts and the chain are kept; `memory.Memory` and `store.Store` are such."""

    def transaction(self) -> AbstractContextManager[Transaction]:
        """Open the one transaction; what it saved is forgotten unless it was committed."""

    def book(self) -> Book:
        """Return the book as it is, without holding anything."""


class Invited(NamedTuple):
    """An act, and where it lets somebody in the half of his code that is for whoever asked: told once, kept
    nowhere.
    """

    act: Act
    code: str = ""


class Hasher(Protocol):
    """Makes and compares passwords' hashes; slow on purpose, so never inside a transaction."""

    def code(self) -> str:
        """Return a new half of a code, at random."""

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

    def enlist(self, by: str, password: str, name: str, new_password: str, now_us: int) -> Operator:
        """Enlist one of the first two operators, with the password that he has chosen.

        The first comes without anybody's login, and `by` is then whoever runs the command.
        """
        book = self._books.book()
        first = not any(each.active for each in book.operators.values())
        seen = None if first else self._login(by, password, now_us)
        people.check_name(name)
        people.check_password(name, new_password)
        made = self._hasher.make(people.normal(new_password))

        def decide(desk: Desk) -> Operator:
            if seen is not None:
                desk.require(by, seen.password)
            return desk.enlist(by, name, made, alone=seen is None)

        return self._transact(decide, now_us)

    def add(self, by: str, password: str, name: str, now_us: int) -> Invited:
        """Propose a further operator, with the maker's half of his code."""
        people.check_name(name)
        return self._invite(by, password, Order(ActKind.OPERATOR_ADD, name, {"name": name}, ""), now_us)

    def reset(self, by: str, password: str, name: str, now_us: int) -> Invited:
        """Propose that somebody who has forgotten his password chooses another one, with the maker's half of
        his code.
        """
        return self._invite(by, password, Order(ActKind.OPERATOR_RESET, name, {"name": name}, ""), now_us)

    def change_password(self, name: str, password: str, new_password: str, now_us: int) -> None:
        """Let an operator choose another password."""
        seen = self._login(name, password, now_us, choosing=True)
        people.check_password(name, new_password)
        if people.normal(new_password) == people.normal(password):
            raise OperatorsError("that is the password that there is already")
        made = self._hasher.make(people.normal(new_password))

        def decide(desk: Desk) -> None:
            desk.require(name, seen.password)
            desk.change_password(name, made)

        self._transact(decide, now_us)

    def propose(self, maker: str, password: str, order: Order, now_us: int) -> Act:
        """Propose an act for a second operator; not one that lets somebody in."""
        if order.kind in LETS_IN:
            raise OperatorsError(f"{order.kind.value} is proposed by a command of its own")
        seen = self._login(maker, password, now_us)

        def decide(desk: Desk) -> Act:
            desk.require(maker, seen.password)
            return desk.propose(maker, order)

        return self._transact(decide, now_us)

    def approve(self, checker: str, password: str, number: int, now_us: int) -> Act:
        """Approve a pending act; one that was approved before comes back as it is, to be driven on."""
        return self.admit(checker, password, number, now_us).act

    def admit(self, checker: str, password: str, number: int, now_us: int) -> Invited:
        """Approve an act; with the checker's half of the code where somebody is let in by just this."""
        seen = self._login(checker, password, now_us)
        waiting = self._books.book().acts.get(number)
        lets_in = waiting is not None and waiting.kind in LETS_IN
        code = self._hasher.code() if lets_in else ""
        made = self._hasher.make(code) if lets_in else ""

        def decide(desk: Desk) -> Invited:
            desk.require(checker, seen.password)
            act = desk.act(number)
            if act.state in (ActState.APPROVED, ActState.DONE):
                return Invited(act)
            return Invited(desk.approve(checker, number, made), code)

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
        require: Callable[[Act], None] = _nothing,
    ) -> Act:
        """Put down what an approved act came to; the result that stands already prevails.

        `require` holds the one who says so to the act, and raises OperatorsError.
        """

        def decide(desk: Desk) -> Act:
            act = desk.act(number)
            if act.kind not in CARRIED_OUT:
                raise OperatorsError(f"{act.title} is not for this one to carry out")
            require(act)
            return desk.finish(by, number, result, detail)

        return self._transact(decide, now_us, number)

    def note(self, who: str, what: str, detail: dict[str, Any], now_us: int, note: str = "") -> None:
        """Record in the chain what needs nobody's approval; once for each name of a note."""
        self._transact(lambda desk: desk.note(who, what, detail, note), now_us, note=note)

    def _invite(self, maker: str, password: str, order: Order, now_us: int) -> Invited:
        seen = self._login(maker, password, now_us)
        code = self._hasher.code()
        made = self._hasher.make(code)

        def decide(desk: Desk) -> Invited:
            desk.require(maker, seen.password)
            if desk.enlisting:
                raise OperatorsError(
                    f"{order.subject} is one of the first two", "who choose their password at once"
                )
            return Invited(desk.propose(maker, order, made), code)

        return self._transact(decide, now_us)

    def _login(self, name: str, password: str, now_us: int, *, choosing: bool = False) -> Operator:
        """Return the operator of that name and password; raises LoginError.

        Whoever has a code can only be `choosing` a password by it.

        The hashes are compared outside of any transaction: that takes long, and money must not wait for it.
        """
        operator = self._books.book().operators.get(name)
        if operator is None or not operator.active:
            self._hasher.same(self._nobody, people.normal(password))  # takes as long as for a name there is
            raise LoginError(WRONG, WHO)
        people.require_unlocked(operator, now_us)
        given, coded = people.normal(password), codes.is_code(operator.password)
        if not (codes.fits if coded else _fits)(operator.password, given, self._hasher.same):
            self._transact(lambda desk: desk.fail(name), now_us)
            raise LoginError(WRONG, WHO)
        if coded and not choosing:
            advice = f"`qianzhi operator password --as {name}`; the code is the present password"
            raise LoginError(f"{name} has to choose a password first", advice)
        return operator

    def _transact(self, decide: Callable[[Desk], _T], now_us: int, act: int = 0, note: str = "") -> _T:
        with self._books.transaction() as transaction:
            desk = Desk(transaction.load(act, note), now_us)
            found = decide(desk)
            if desk.changes.entries or desk.changes.operators:
                transaction.save(desk.changes)
                transaction.commit()
        return found
