"""The house's own people in a simulated world: they ask a bridge until they have an answer.  Pure.

Whoever asks gets each answer once, and only one that says something: an unknown outcome, a refusal to take
the request and a bridge that died are all reasons to ask the same again, of the next bridge.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Protocol

from crm_bridge.bridge import Done
from qianzhi.domain.requests import Reply, Request
from qianzhi.domain.results import Result
from qianzhi.runtime.now import SECOND_US
from simulators.world.kernel import Kernel

PATIENCE_US = 3 * SECOND_US
_OPEN = frozenset({Result.UNKNOWN, Result.IN_PROCESS})


class Asked(Protocol):
    """A bridge as its operators see it (`bridge.BridgeProcess`)."""

    house: Callable[[Any, Done], None]

    def ask_house(self, items: Sequence[tuple[Any, Request]]) -> None:
        """Ask something."""


class House:
    """Everybody who may ask bridges; `left` questions have no answer yet."""

    def __init__(self, kernel: Kernel, bridges: Sequence[Asked]) -> None:
        self._kernel = kernel
        self._bridges = bridges
        self._waiting: dict[int, Callable[[Reply], None]] = {}
        self._asked = 0
        for bridge in bridges:
            bridge.house = self._heard

    @property
    def left(self) -> int:
        """How many questions have no answer."""
        return len(self._waiting)

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
