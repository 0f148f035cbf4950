"""The desk where acts are proposed and approved: one transaction's decisions, and what they change.

Pure.  Everything that changes leaves an entry in the audit chain, in the same transaction; who somebody is
has been found out before (`office`), and is only held to the rows here.
"""

from typing import Any, NamedTuple, Protocol

from crm_bridge.operators import acts, codes, people
from crm_bridge.operators.acts import LETS_IN, OPEN, OWN_KINDS, Act, ActKind, ActState, Order
from crm_bridge.operators.chain import Entry, Head, canonical, link
from crm_bridge.operators.people import LoginError, Operator, OperatorsError, OperatorState, mark_of

FIRST_OPERATORS = 2  # so many need nobody's approval: before them there is nobody


class Book(NamedTuple):
    """What a transaction loads: every operator, the acts that are open and those asked for, the chain's end.

    `last_act` is the highest number of an act; `noted` says that the note asked about is in the chain.
    """

    operators: dict[str, Operator]
    acts: dict[int, Act]
    head: Head
    last_act: int
    noted: bool = False


class Changes(NamedTuple):
    """What a transaction writes, by name or number the whole new row; entries only ever come after others."""

    operators: dict[str, Operator]
    acts: dict[int, Act]
    entries: list[Entry]


class Transaction(Protocol):
    """One transaction on the operators' tables; no other one is open meanwhile."""

    def load(self, act: int = 0, note: str = "") -> Book:
        """Load the book, with that act whatever its state, and whether that note is in the chain."""

    def save(self, changes: Changes) -> None:
        """Write what changed; raises IntegrityError of its own where a constraint refuses it."""

    def commit(self) -> None:
        """Make it durable."""


class Desk:
    """Decides over one book at one time; what it changed stands in `changes`."""

    def __init__(self, book: Book, now_us: int) -> None:
        """Acts whose time is over expire here."""
        self._operators = dict(book.operators)
        self._acts = dict(book.acts)
        self._head = book.head
        self._last_act = book.last_act
        self._noted = book.noted
        self._now_us = now_us
        self.changes = Changes({}, {}, [])
        for act in list(self._acts.values()):
            if act.state is ActState.PENDING and act.expires_us <= now_us:
                self._put_act(acts.expired(act, now_us), act.maker, "act expired")

    @property
    def changed(self) -> bool:
        """Whether there is anything to write."""
        return bool(self.changes.entries)

    def act(self, number: int) -> Act:
        """Return an act; raises OperatorsError where there is none."""
        if number not in self._acts:
            raise OperatorsError(f"there is no act {number}", "`qianzhi pending` shows those that wait")
        return self._acts[number]

    def require(self, name: str, password_hash: str) -> Operator:
        """Return the operator whose password was compared with that hash; raises LoginError."""
        operator = self._operators.get(name)
        if operator is None or not operator.active or operator.password != password_hash:
            raise LoginError(f"{name} has changed at this moment", "try again")
        people.require_unlocked(operator, self._now_us)
        if operator.failures:
            self._put_operator(operator._replace(failures=0))
        return operator

    def fail(self, name: str) -> None:
        """Take note of a wrong password."""
        operator = people.failed(self._operators[name], self._now_us)
        what = "operator locked" if operator.locked_until_us > self._now_us else "password wrong"
        self._put_operator(operator)
        self._note("unknown", what, {"name": name})

    def enlist(self, by: str, name: str, password_hash: str, *, alone: bool) -> Operator:
        """Take one of the first operators, whom nobody can approve yet; raises OperatorsError.

        `alone` says that nobody had to log in for it, which the very first one cannot.
        """
        there = any(each.active for each in self._operators.values())
        if not self.enlisting or (alone and there):
            raise OperatorsError("there are operators already", "another operator has to approve a new one")
        self._require_new(name)
        operator = Operator(name, password_hash, OperatorState.ACTIVE, self._now_us)
        self._put_operator(operator)
        self._note(by, "operator enlisted", {"name": name, "mark": mark_of(password_hash)})
        return operator

    @property
    def enlisting(self) -> bool:
        """Whether the first operators are still to come."""
        lasting = (OperatorState.ACTIVE, OperatorState.RETIRED)
        return sum(each.state in lasting for each in self._operators.values()) < FIRST_OPERATORS

    def propose(self, maker: str, order: Order, half_hash: str = "") -> Act:
        """Propose an act; the one that waits already is named when there is one of that kind and subject.

        `half_hash` is of the maker's half of the code that lets an operator in.
        """
        for act in self._acts.values():
            if act.state in OPEN and (act.kind, act.subject) == (order.kind, order.subject):
                next_one = f"`qianzhi approve {act.id}`, by another operator, or `qianzhi refuse {act.id}`"
                raise OperatorsError(f"it waits already: {act.title}, proposed by {act.maker}", next_one)
        self._prepare(order, codes.begun(half_hash))
        self._last_act += 1
        act = Act(
            id=self._last_act,
            kind=order.kind,
            subject=order.subject,
            arguments=canonical(order.arguments),
            reason=order.reason[: acts.TEXT_MAX],
            maker=maker,
            made_us=self._now_us,
            expires_us=self._now_us + acts.WAITS_US,
        )
        said = {
            "kind": act.kind.value,
            "subject": act.subject,
            "arguments": act.given,
            "reason": act.reason,
            "expires_us": act.expires_us,
        }
        self._put_act(act, maker, "act proposed", **said)
        return act

    def approve(self, checker: str, number: int, half_hash: str = "") -> Act:
        """Approve an act; one that concerns operators alone is done by that.

        `half_hash` is of the checker's half of the code that lets an operator in.
        """
        act = acts.approved(self.act(number), checker, self._now_us)
        self._put_act(act, checker, "act approved")
        if act.kind in OWN_KINDS:
            self._carry_out(act, half_hash)
            act = self.finish(checker, number, "approved", {})
        return act

    def refuse(self, who: str, number: int, reason: str) -> Act:
        """Refuse an act, or withdraw one's own."""
        act = acts.refused(self.act(number), who, self._now_us)
        what = "act withdrawn" if act.state is ActState.WITHDRAWN else "act refused"
        self._put_act(act, who, what, reason=reason[: acts.TEXT_MAX])
        return act

    def finish(self, by: str, number: int, result: str, detail: dict[str, Any]) -> Act:
        """Put down the result of an approved act; one that is done already keeps the result that it has."""
        act = self.act(number)
        if act.state is ActState.DONE:
            return act
        act = acts.finished(act, result, canonical(detail), self._now_us)
        self._put_act(act, by, "act done", result=result, detail=detail)
        return act

    def change_password(self, name: str, password_hash: str) -> None:
        """Give an operator the new password of his own choice."""
        self._put_operator(self._operators[name]._replace(password=password_hash))
        self._note(name, "password changed", {"name": name, "mark": mark_of(password_hash)})

    def note(self, who: str, what: str, detail: dict[str, Any], note: str = "") -> None:
        """Record what needs nobody's approval; once for each name of a note."""
        if not self._noted:
            self._note(who, what, detail, note=note)
            self._noted = bool(note)

    def _prepare(self, order: Order, code: str) -> None:
        """Hold what concerns operators to the rows, and keep the half of a code beside them."""
        if order.kind not in OWN_KINDS:
            return
        name = order.subject
        if order.kind is ActKind.OPERATOR_ADD:
            self._require_new(name)
            before = self._operators.get(name)  # one that was refused keeps its first time
            made_us = before.made_us if before is not None else self._now_us
            self._put_operator(Operator(name, code, OperatorState.PROPOSED, made_us))
            return
        operator = self._operators.get(name)
        if operator is None or not operator.active:
            raise OperatorsError(f"there is no operator {name}", "`qianzhi operator list` shows them")
        if order.kind is ActKind.OPERATOR_RESET:
            self._put_operator(operator._replace(reset=code))

    def _carry_out(self, act: Act, half_hash: str) -> None:
        """Do what an approved act does to an operator."""
        if act.kind in LETS_IN and not half_hash:
            raise OperatorsError(f"{act.title} was proposed at this moment", "try again")
        operator, what = self._operators[act.subject], ""
        if act.kind is ActKind.OPERATOR_RETIRE:
            others = [each for each in self._operators.values() if each.settled and each.name != act.subject]
            if len(others) < FIRST_OPERATORS:
                raise OperatorsError(
                    f"without {act.subject} fewer than {FIRST_OPERATORS} operators would be left",
                    "nobody could approve anything any more: add another one first",
                )
            operator, what = operator._replace(state=OperatorState.RETIRED), "operator retired"
            for other in list(self._acts.values()):
                if other.maker == act.subject and other.state is ActState.PENDING:
                    self._put_act(acts.expired(other, self._now_us), act.checker, "act expired")
        elif act.kind is ActKind.OPERATOR_RESET:
            password = codes.whole(operator.reset, half_hash)
            operator = operator._replace(password=password, reset="", failures=0, locked_until_us=0)
            what = "password reset"
        else:
            password = codes.whole(operator.password, half_hash)
            operator = operator._replace(password=password, state=OperatorState.ACTIVE)
            what = "operator added"
        self._put_operator(operator)
        detail = {"name": operator.name, "mark": mark_of(operator.password)}
        self._note(act.checker, what, detail, act=act.id)

    def _require_new(self, name: str) -> None:
        people.check_name(name)
        there = self._operators.get(name)
        if there is not None and there.state is not OperatorState.REFUSED:
            raise OperatorsError(
                f"there is an operator {name} already ({there.state.name.lower()})",
                "a name in the audit chain means one person for ever: choose another one",
            )

    def _drop(self, act: Act) -> None:
        """Undo what a proposal about an operator kept beside the rows, now that it will not be done."""
        operator = self._operators.get(act.subject)
        if operator is None:
            return
        if act.kind is ActKind.OPERATOR_ADD and operator.state is OperatorState.PROPOSED:
            self._put_operator(operator._replace(state=OperatorState.REFUSED))
        elif act.kind is ActKind.OPERATOR_RESET:
            self._put_operator(operator._replace(reset=""))

    def _put_operator(self, operator: Operator) -> None:
        self._operators[operator.name] = self.changes.operators[operator.name] = operator

    def _put_act(self, act: Act, who: str, what: str, **said: Any) -> None:
        self._acts[act.id] = self.changes.acts[act.id] = act
        if act.state not in OPEN and act.state is not ActState.DONE:
            self._drop(act)
        self._note(who, what, said, act=act.id)

    def _note(self, who: str, what: str, detail: dict[str, Any], *, act: int = 0, note: str = "") -> None:
        entry = link(self._head, self._now_us, who, what, detail, act=act, note=note)
        self._head = entry.head
        self.changes.entries.append(entry)
