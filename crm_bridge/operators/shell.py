"""The operators' commands of a bridge's admin socket, and how approved acts are carried out.

    operator_enlist    by, password, name, new_password     one of the first two
    operator_add       by, password, name                   an act for a further one, with half of his code
    operator_password  by, password, new_password
    operator_reset     by, password, name                   an act, with half of a new code
    act_propose        by, password, kind, subject, arguments, reason
    act_approve        by, password, number                 again and again the same act, until it is done;
                                                            once the checker's half of a code
    act_refuse         by, password, number, reason
    act_done           by, password, number, result, detail, receipt  what the daemon with the entry says

An approved act about an entry comes with `warrant`, without which no daemon carries it out; it ends by that
daemon's `receipt` and by nothing else, whether that comes here or in a note.  An answer is {"act": {...}} or
{"refused": "why", "advice": "..."}; a database that does not answer is an AdminError.  Passwords come over
the socket, which only this machine's own user may open, and go nowhere else. Hashes and transactions take
their turns on a thread, so that the reactor never waits for them.
"""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from twisted.internet.defer import Deferred, DeferredLock, inlineCallbacks, succeed
from twisted.internet.threads import deferToThread

from crm_bridge.bridge import Done
from crm_bridge.gateway_errors import CommitUnknownError, RetryableError, StoreError
from crm_bridge.operators.acts import HOUSE_KINDS, LETS_IN, NODE_KINDS, Act, ActKind, ActState, Order
from crm_bridge.operators.chain import canonical
from crm_bridge.operators.house import request_of
from crm_bridge.operators.notes.store import Notes, NotesError
from crm_bridge.operators.office import Invited, Office
from crm_bridge.operators.passwords import Argon2
from crm_bridge.operators.people import OperatorsError
from crm_bridge.operators.store import Store
from crm_bridge.operators.taking import Proof, asked_of, take
from qianzhi.domain.requests import Reply, Request
from qianzhi.domain.results import Result
from qianzhi.link.messages import Status
from qianzhi.runtime import clock
from qianzhi.runtime.admin import AdminError, Answer, Arguments, Command
from qianzhi.runtime.crash import crashpoint
from qianzhi.runtime.log import get_logger
from qianzhi.saf.answers import Warranted
from qianzhi.saf.warrants import Warrants

ANSWER_SECONDS = 40.0  # longer than the bridge lets the house wait
NOTES_SECONDS = 3.0
TRIES = 3
PAUSE_SECONDS = 0.2
BY: dict[str, type] = {"by": str, "password": str}
_TEXTS = ("order", "name")
_NUMBERS = ("amount_fen", "balance_fen", "count")

Ask = Callable[[int, Request], None]


class Ready(Protocol):
    """Says whether the database can be used; `works.Works` does."""

    @property
    def ready(self) -> bool:
        """Whether money can be moved now."""


Work = Callable[[Office, int], Any]


class Operators:
    """One bridge's office for operators; everything but the work on the thread is on the reactor's."""

    def __init__(self, url: str, works: Ready, ask: Ask, reactor: Any, bridge: tuple[str, bytes]) -> None:
        """`ask` brings the core a request under a number; `bridge` is this one's name, and the link key.

        Nothing is opened before it is needed.
        """
        name, key = bridge
        self._warrants = Warrants(key)
        self._warranted = Warranted(key, name)
        self._url = url
        self._works = works
        self._ask = ask
        self._reactor = reactor
        self._turn = DeferredLock()
        self._office: Office | None = None
        self._asked = 0
        self._waiting: dict[int, Deferred[Done | None]] = {}
        self._log = get_logger("operators")
        self._notes: Notes | None = None
        self._timer: Any = None
        self._trouble = ""

    def start(self, notes: Notes) -> None:
        """Take up notes from now on, now and then, while the database can be used."""
        self._notes = notes
        self._timer = self._reactor.callLater(NOTES_SECONDS, self._look_for_notes)

    def stop(self) -> None:
        """Take up no more notes."""
        self._notes = None
        if self._timer is not None and self._timer.active():
            self._timer.cancel()

    def commands(self) -> Mapping[str, Command]:
        """Return the commands, by name."""
        named: dict[str, type] = {"name": str}
        act: dict[str, type] = {"kind": str, "subject": str, "arguments": dict, "reason": str}
        number: dict[str, type] = {"number": int}
        return {
            "operator_enlist": self._command(self._enlist, BY | named | {"new_password": str}),
            "operator_add": self._command(self._add, BY | named),
            "operator_password": self._command(self._change_password, BY | {"new_password": str}),
            "operator_reset": self._command(self._reset, BY | named),
            "act_propose": self._command(self._propose, BY | act),
            "act_approve": self._command(self._approve, BY | number),
            "act_refuse": self._command(self._refuse, BY | number | {"reason": str}),
            "act_done": self._command(
                self._finish, BY | number | {"result": str, "detail": dict, "receipt": str}
            ),
        }

    def hold(self, commands: Mapping[str, Command]) -> dict[str, Command]:
        """Return other commands, with those that change entries held to warrants, as a node holds its own."""
        return self._warranted.hold(commands)

    def answered(self, number: int, items: list[Done]) -> None:
        """Take the core's answer to a request that was asked under this number."""
        waiting = self._waiting.pop(number, None)
        if waiting is not None:
            waiting.callback(items[0])

    def work(self, do: Work) -> "Deferred[Any]":
        """Do something with the office on the thread, in turn; fires with what it returns.

        Errbacks with AdminError where the database cannot be used.
        """
        return self._turn.run(deferToThread, self._do, do)

    def _command(self, call: Callable[..., "Deferred[Answer]"], types: Mapping[str, type]) -> Command:
        """Return a command that has exactly these arguments."""

        def command(arguments: Arguments) -> "Deferred[Answer]":
            wrong = sorted(arguments.keys() ^ types.keys())
            wrong += [
                name for name in arguments.keys() & types.keys() if type(arguments[name]) is not types[name]
            ]
            if wrong:
                raise AdminError(f"arguments missing, unknown or of a wrong type: {', '.join(wrong)}")
            if not self._works.ready:
                raise AdminError("the bridge's database cannot be used now; `qianzhi status` says why")
            return call(**arguments).addErrback(_refused)

        return command

    def _enlist(self, by: str, password: str, name: str, new_password: str) -> "Deferred[Answer]":
        done = self.work(lambda office, now_us: office.enlist(by, password, name, new_password, now_us))
        return done.addCallback(lambda operator: {"operator": operator.name})

    def _add(self, by: str, password: str, name: str) -> "Deferred[Answer]":
        done = self.work(lambda office, now_us: office.add(by, password, name, now_us))
        return done.addCallback(_invited)

    def _change_password(self, by: str, password: str, new_password: str) -> "Deferred[Answer]":
        done = self.work(lambda office, now_us: office.change_password(by, password, new_password, now_us))
        return done.addCallback(lambda _: {"operator": by})

    def _reset(self, by: str, password: str, name: str) -> "Deferred[Answer]":
        done = self.work(lambda office, now_us: office.reset(by, password, name, now_us))
        return done.addCallback(_invited)

    def _propose(
        self, by: str, password: str, kind: str, subject: str, arguments: dict[str, Any], reason: str
    ) -> "Deferred[Answer]":
        order = order_of(kind, subject, arguments, reason)
        done = self.work(lambda office, now_us: office.propose(by, password, order, now_us))
        return done.addCallback(lambda act: {"act": view(act)})

    def _refuse(self, by: str, password: str, number: int, reason: str) -> "Deferred[Answer]":
        done = self.work(lambda office, now_us: office.refuse(by, password, number, reason, now_us))
        return done.addCallback(lambda act: {"act": view(act)})

    def _finish(
        self, by: str, password: str, number: int, result: str, detail: dict[str, Any], receipt: str
    ) -> "Deferred[Answer]":
        require = Proof(self._warrants, result, detail, receipt).require

        def finish(office: Office, now_us: int) -> Act:
            office.approve(by, password, number, now_us)
            return office.finish(by, number, result, detail, now_us, require)

        return self.work(finish).addCallback(lambda act: {"act": view(act)})

    @inlineCallbacks
    def _approve(self, by: str, password: str, number: int) -> Any:
        """Approve an act and carry it out; one that is approved already is only carried out."""
        admitted = yield self.work(lambda office, now_us: office.admit(by, password, number, now_us))
        act = admitted.act
        crashpoint("operators.after_approval")
        if act.state is ActState.APPROVED and act.kind in NODE_KINDS:
            return {"act": view(act), "warrant": self._warrants.warrant(asked_of(act))}
        if act.state is not ActState.APPROVED or act.kind not in HOUSE_KINDS:
            return _invited(admitted)
        done = yield self._carry_out(act)
        if done is None or done.status is not Status.OK or done.reply.result is Result.UNKNOWN:
            why = "no answer" if done is None else done.status.name.lower()
            self._log.warning("an approved act is not carried out yet", act=act.id, why=why)
            return {"act": view(act), "why": why}
        crashpoint("operators.before_done")
        result, detail = done.reply.result.name.lower(), facts(done.reply)
        act = yield self.work(lambda office, now_us: office.finish(by, number, result, detail, now_us))
        return {"act": view(act)}

    def _carry_out(self, act: Act) -> "Deferred[Done | None]":
        """Ask the core; fires with its answer, or with None when there is none in time."""
        self._asked += 1
        number = self._asked
        waiting: Deferred[Done | None] = Deferred()
        self._waiting[number] = waiting
        timer = self._reactor.callLater(ANSWER_SECONDS, self._give_up, number)
        self._ask(number, request_of(act))

        def answered(done: Done | None) -> Done | None:
            if timer.active():
                timer.cancel()
            return done

        return waiting.addCallback(answered)

    def _look_for_notes(self) -> None:
        looked: Deferred[Any] = self.work(self._take_notes) if self._works.ready else succeed(None)
        looked.addErrback(_leave).addCallback(self._look_again)

    def _look_again(self, _: object) -> None:
        if self._notes is not None:
            self.start(self._notes)

    def _take_notes(self, office: Office, now_us: int) -> None:
        """Put notes into the chain, on the thread, and remove them; each comes in once, whoever does it."""
        notes = self._notes
        if notes is None:
            return
        try:
            for each in notes.read():
                take(office, each, now_us, self._warrants)
                notes.forget([each.id])
            trouble = ""
        except NotesError as error:
            trouble = str(error)
        if trouble and not self._trouble:
            self._log.warning("notes for the audit chain cannot be taken up", reason=trouble)
        self._trouble = trouble

    def _give_up(self, number: int) -> None:
        waiting = self._waiting.pop(number, None)
        if waiting is not None:
            waiting.callback(None)

    def _do(self, do: Work) -> Any:
        """Do one thing on the thread; what failed without having been written is tried again."""
        for left in reversed(range(TRIES)):
            try:
                if self._office is None:
                    self._office = Office(Store(self._url), Argon2())
                return do(self._office, clock.now().wall_us)
            except RetryableError as error:
                if not left:
                    raise AdminError(f"nothing was done: {error}") from error
                clock.sleep(PAUSE_SECONDS)
            except CommitUnknownError as error:
                raise AdminError(
                    f"it is not known whether it was done: {error}; look, and try again"
                ) from error
            except StoreError as error:
                raise AdminError(str(error)) from error
        return None


def order_of(kind: str, subject: str, arguments: dict[str, Any], reason: str) -> Order:
    """Read what is to be proposed; raises AdminError for a kind that there is not."""
    known = [each.value for each in ActKind if each not in LETS_IN]  # have commands of their own
    if kind not in known:
        raise AdminError(f"unknown kind of act {kind[:40]!r}; known are {', '.join(known)}")
    order = Order(ActKind(kind), subject, arguments, reason)
    if order.kind not in HOUSE_KINDS:
        return order
    try:
        request = request_of(Act(0, order.kind, subject, canonical(arguments), reason, "", 0, 0))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise AdminError(f"the arguments of {kind} cannot be read: {error}") from error
    return order._replace(subject=request.key.text)  # two acts about one key are never two subjects


def view(act: Act) -> Answer:
    """Return an act as the socket and `--json` have it."""
    shown = act._asdict() | {"kind": act.kind.value, "state": act.state.name.lower()}
    return shown | {"arguments": act.given, "detail": act.outcome}


def facts(reply: Reply) -> Answer:
    """Return what is worth keeping of the core's answer."""
    names = (*_TEXTS, *_NUMBERS)
    return {name: getattr(reply, name) for name in names if getattr(reply, name)} | {"stored": reply.stored}


def _invited(invited: Invited) -> Answer:
    """Return an act, with a half of a code where there is one: it is said here and never again."""
    return {"act": view(invited.act)} | ({"code": invited.code} if invited.code else {})


def _leave(failure: Any) -> None:
    """Let notes stay where they are while the database cannot be used."""
    failure.trap(AdminError)


def _refused(failure: Any) -> Answer:
    """Turn what an operator cannot do into an answer; everything else goes on as it is."""
    failure.trap(OperatorsError)
    return {"refused": failure.value.what, "advice": failure.value.advice}
