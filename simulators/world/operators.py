"""Two operators of the simulated world: they close days, and see to entries that wait for a person.  Pure.

Every act is proposed by one and approved by the other, through the real office, and is carried out under its
number until somebody has answered: a bridge for a day, the node that has the entry for an entry.  Nodes die
and stand still meanwhile, so that an act is often carried out more than once.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Protocol

from crm_bridge.operators.acts import Act, ActKind, Order
from crm_bridge.operators.house import DAY_SERIAL
from qianzhi.domain.dates import shift
from qianzhi.domain.requests import Key
from qianzhi.runtime.effects import Effects
from qianzhi.runtime.now import SECOND_US, Now
from qianzhi.saf.rows import Entry, State
from simulators.network import State as Standing
from simulators.world.banks_house import House
from simulators.world.kernel import Kernel
from simulators.world.networks import NetworkActor
from simulators.world.node import NodeProcess

LOOK_US = 4 * SECOND_US
AGAIN_US = 5 * SECOND_US
TURNS_MAX = 40
EXPIRED_PER_MILLE = 30  # of open entries, at each look: somebody has telephoned
SEEN_PER_MILLE = 60  # of entries that wait for a person, at each look
TRIED_PER_MILLE = 500  # likewise: somebody tries to close its day, and does not know of it
CLOSED_PER_MILLE = 60  # of a look: a day is closed by hand
_WORDS = {ActKind.SAF_RETRY: "retry", ActKind.SAF_EXPIRE: "expire", ActKind.SAF_SETTLE: "settle"}


class Dated(Protocol):
    """Whoever knows which spaces have keys, and which day it is."""

    def spaces(self) -> Sequence[str]:
        """Return the serial spaces that have keys."""

    def today(self) -> int:
        """Return the platform's date."""


class Operators:
    """`look` is called again and again while the world goes on; `left` acts have no result yet."""

    def __init__(
        self,
        kernel: Kernel,
        house: House,
        nodes: Sequence[NodeProcess],
        networks: Sequence[NetworkActor],
        days: Dated,
    ) -> None:
        self._kernel = kernel
        self._house = house
        self._nodes = nodes
        self._networks = networks
        self._days = days
        self._dice = kernel.dice("operators")
        self._under_way: dict[str, Act] = {}  # by entry
        self._hurried: set[str] = set()  # entries whose time an operator has ended once
        self.healed = False  # nothing is made worse any more

    @property
    def left(self) -> int:
        """How many acts on entries have no result."""
        return len(self._under_way)

    def start(self) -> None:
        """Begin to look."""
        self._kernel.later(LOOK_US, "operators", self._look)

    def _look(self) -> None:
        self._kernel.later(LOOK_US, "operators", self._look)
        if self._dice.hit(CLOSED_PER_MILLE):
            self._close_a_day()
        for node in self._nodes:
            if node.up and not node.frozen:
                for entry in list(node.core.house.entries()):
                    self._see_to(entry)

    def _close_a_day(self) -> None:
        spaces = self._days.spaces()
        if spaces:
            self._close(self._dice.pick(spaces), shift(self._days.today(), -self._dice.below(2)))

    def _close(self, space: str, date: int) -> None:
        key = Key(space, date, DAY_SERIAL)
        self._house.act(Order(ActKind.DAY_CLOSE, key.text, {"key": key.text}, ""))

    # -- entries

    def _see_to(self, entry: Entry) -> None:
        if entry.id in self._under_way:
            return
        kind = self._wanted(entry)
        if kind is None:
            return
        order = Order(kind, entry.id, {"destination": entry.destination}, "looked at")
        act = self._under_way[entry.id] = self._house.agree(order)
        self._carry_out(act, 1)

    def _wanted(self, entry: Entry) -> ActKind | None:
        """Return what operators do about an entry, if anything."""
        if entry.state is State.QUARANTINED:
            return ActKind.SAF_RETRY
        if entry.state is State.MANUAL:
            if self._dice.hit(TRIED_PER_MILLE) and entry.request.key.date < self._days.today():
                self._close(*entry.request.key[:2])
            if not self._dice.hit(SEEN_PER_MILLE):
                return None  # nobody has seen it yet
            if any(one.plan.name == entry.destination and one.frozen for one in self._networks):
                return None  # nobody answers there
            return ActKind.SAF_SETTLE if self._given_back(entry) else ActKind.SAF_RETRY
        if self.healed or entry.id in self._hurried or not self._dice.hit(EXPIRED_PER_MILLE):
            return None
        self._hurried.add(entry.id)
        return ActKind.SAF_EXPIRE

    def _given_back(self, entry: Entry) -> bool:
        """Whether the network says that it has given the money back."""
        charges = [one.books.charges.get(entry.request.key) for one in self._networks]
        return any(one is not None and one.state in (Standing.REVERSED, Standing.REFUNDED) for one in charges)

    def _carry_out(self, act: Act, turn: int) -> None:
        """Ask the node that has the entry, again until it has answered."""
        if self._under_way.get(act.subject) != act:
            return
        if turn > TURNS_MAX:
            self._done(act, "given up")
            return
        arguments = {"id": act.subject, "act": act.mark, "why": act.reason}
        for node in self._nodes:
            if node.up and not node.frozen and node.core.house.entry(act.subject) is not None:
                node.ask(partial(_ask, node, _WORDS[act.kind], arguments), partial(self._heard, act))
        self._kernel.later(AGAIN_US, "act again", self._carry_out, act, turn + 1)

    def _heard(self, act: Act, answer: Any) -> None:
        """Put down what a node has done; a refusal may be over in a moment."""
        if isinstance(answer, Mapping):
            self._done(act, str(answer.get("state", "done")))

    def _done(self, act: Act, result: str) -> None:
        if self._under_way.get(act.subject) == act:  # a second answer may come while another act is under way
            del self._under_way[act.subject]
            self._house.finish("node", act, result)


def _ask(node: NodeProcess, command: str, arguments: dict[str, Any], asker: str, now: Now) -> Effects:
    return node.core.act(asker, command, arguments, now)
