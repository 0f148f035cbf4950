"""The house's own people in a simulated world: they ask a bridge until they have an answer.  Pure.

Whoever asks gets each answer once, and only one that says something: an unknown outcome, a refusal to take
the request and a bridge that died are all reasons to ask the same again, of the next bridge.  What moves
money is proposed by one operator and approved by another, and the real office puts all of it into its chain.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Protocol

import msgspec

from crm_bridge.bridge import Done
from crm_bridge.operators.acts import Act, ActKind, Order
from crm_bridge.operators.house import request_of
from crm_bridge.operators.memory import Memory
from crm_bridge.operators.office import Office
from crm_bridge.operators.people import OperatorsError
from qianzhi.domain.requests import Reply, Request
from qianzhi.domain.results import Result
from qianzhi.runtime.now import SECOND_US
from simulators.world.kernel import Kernel

PATIENCE_US = 40 * SECOND_US  # as long as the daemon: a bridge gives the house up after 30
MAKER, CHECKER = "li", "wang"
PASSWORD = "a long one for a simulation"  # noqa: S105 - of people who do not exist
_OPEN = frozenset({Result.UNKNOWN, Result.IN_PROCESS})


class Asked(Protocol):
    """A bridge as its operators see it (`bridge.BridgeProcess`)."""

    house: Callable[[Any, Done], None]

    def ask_house(self, items: Sequence[tuple[Any, Request]]) -> None:
        """Ask something."""


class _NoHash:
    """Passwords as they are: nothing here is secret, and slowness proves nothing."""

    def make(self, password: str) -> str:
        return f"plain:{password}"

    def code(self) -> str:
        return "half"

    def same(self, password_hash: str, password: str) -> bool:
        return password_hash == f"plain:{password}"


class House:
    """Everybody who may ask bridges; `left` questions have no answer yet."""

    def __init__(self, kernel: Kernel, bridges: Sequence[Asked]) -> None:
        self._kernel = kernel
        self._bridges = bridges
        self._waiting: dict[int, Callable[[Reply], None]] = {}
        self._asked = 0
        self.acts = Memory()
        self._office = Office(self.acts, _NoHash())
        for name in (MAKER, CHECKER):
            self._office.enlist(MAKER, PASSWORD, name, PASSWORD, kernel.wall_us)
        for bridge in bridges:
            bridge.house = self._heard

    @property
    def left(self) -> int:
        """How many questions have no answer."""
        return len(self._waiting)

    def cancel(self, void: Request, hear: Callable[[Reply], None]) -> None:
        """Let one operator propose a cancellation and another approve it, and carry it out."""
        given: dict[str, Any] = {"key": void.key.text, "bank": void.bank, "bank_number": void.bank_number}
        given |= {"phone": void.phone, "amount_fen": void.amount_fen}
        order = Order(ActKind.VOID, void.key.text, given, "the customer changed his mind")
        self._carry_out(self.agree(order), void.date_ours, hear)

    def act(self, order: Order) -> None:
        """Let two operators agree on what the core is to do, unless the same waits, and have it done."""
        try:
            act = self.agree(order)
        except OperatorsError:
            return
        self._carry_out(act, False, _nobody)

    def agree(self, order: Order) -> Act:
        """Let one operator propose an act and another approve it; raises OperatorsError."""
        now_us = self._kernel.wall_us
        made = self._office.propose(MAKER, PASSWORD, order, now_us)
        return self._office.approve(CHECKER, PASSWORD, made.id, now_us)

    def finish(self, by: str, act: Act, result: str) -> None:
        """Put down what became of an act."""
        self._office.finish(by, act.id, result, {}, self._kernel.wall_us)

    def _carry_out(self, act: Act, date_ours: bool, hear: Callable[[Reply], None]) -> None:
        def done(reply: Reply) -> None:
            self.finish("bridge", act, reply.result.name)
            hear(reply)

        self.ask(msgspec.structs.replace(request_of(act), date_ours=date_ours), done)

    def ask(self, request: Request, hear: Callable[[Reply], None]) -> None:
        """Ask until there is an answer."""
        self._asked += 1
        self._waiting[self._asked] = hear
        self._send(self._asked, request, self._asked)

    def _send(self, number: int, request: Request, turn: int) -> None:
        if number not in self._waiting:
            return
        self._bridges[turn % len(self._bridges)].ask_house([(number, request)])
        self._kernel.later(PATIENCE_US, "house asks again", partial(self._send, number, request, turn + 1))

    def _heard(self, token: Any, done: Done) -> None:
        if done.reply is None or done.reply.result in _OPEN:
            return
        hear = self._waiting.pop(token, None)
        if hear is not None:
            hear(done.reply)


def _nobody(reply: Reply) -> None:
    """Nobody waits for this answer."""
