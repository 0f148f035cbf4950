"""Payment networks in the simulated world, and the people of the house who ask them for money.  Pure.

    Collector ── charge ──▶ a node ── envelope ──▶ front ── frame ──▶ NetworkActor

The network's books outlive its process.  The collector keeps no money: it asks a node, and asks again under
the same order until one has taken it.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from interface_layer.charges import Wanted
from qianzhi.runtime.effects import Send
from qianzhi.runtime.now import SECOND_US
from simulators.codecs import bank_codec
from simulators.line import Incoming
from simulators.network import Network, Plan
from simulators.network_line import SimulatedNetwork
from simulators.world.banks_lines import LongLine
from simulators.world.customers import People
from simulators.world.faults import Fault
from simulators.world.kernel import Kernel
from simulators.world.network import LATE_US
from simulators.world.node import NodeProcess
from simulators.world.parts import Lines, NetworkPlan
from simulators.world.process import Process, Waker

if TYPE_CHECKING:
    from frontends.profile import Profile  # it reads files; its shape alone is used here

ASK_AGAIN_US = 2 * SECOND_US
OTHER_NODE_PER_MILLE = 500
CURIOUS_PER_MILLE, LOOKS = 200, 30  # of all orders, and how often
SIGN_ON_US = 5 * SECOND_US  # until a network signs on again


class NetworkActor(Process):
    """One network, which dials our front."""

    def __init__(
        self, kernel: Kernel, plan: NetworkPlan, profile: "Profile", keys: dict[str, bytes], lines: Lines
    ) -> None:
        super().__init__(kernel, f"net-{plan.name}")
        self.plan = plan
        self.profile = profile
        fates = Plan(plan.declined, plan.late, plan.silent, plan.lost, plan.late_us, False, plan.odd)
        advises = profile.outward is not None and profile.outward.terms.advises
        self.books = Network(kernel.dice(f"{self.name}/books"), fates, holds=advises)
        self.signed_off = 0
        self._keys = keys
        self._lines = lines
        self.handlers = {Send: lambda effect: self._line.send(effect.items)}

    def begin(self) -> None:
        """Dial; the books are as they were."""
        profile = self.profile
        core = SimulatedNetwork(profile, bank_codec(profile.spec), self._keys, self.books)
        self.core = core
        self._line = LongLine(self, self, profile, self._lines, 0)
        Waker(self, "network time", lambda: core.deadline, lambda: self.run(core.on_time(self.now)))
        self._line.open()

    def heal(self) -> None:
        """Answer everything from now on; people look whether a late message has closed the line.

        They look soon, and once more when the last message that may be late has come.
        """
        self.books.plan = Plan(by_amount=False)
        if "sign_on" in self.profile.table.management:
            for us in (2 * SIGN_ON_US, LATE_US + 2 * SIGN_ON_US):
                self.kernel.later(us, "sign on", self._open)

    def connected(self, line: int) -> None:
        """The line stands."""
        self.run(self.core.on_connected(self.now))

    def lost(self, line: int) -> None:
        """The line is gone."""
        self.run(self.core.on_closed(self.now))

    def came(self, line: int, items: list[Incoming]) -> None:
        """Frames have come."""
        self.run(self.core.on_frames(items, self.now))

    def begin_fault(self, fault: Fault) -> None:
        """Close the line for us, where the dialect has words for that."""
        self._manage("sign_off", 1)

    def end_fault(self, fault: Fault) -> None:
        """Open it again."""
        self._manage("sign_on", -1)

    def _manage(self, name: str, more: int) -> None:
        if name not in self.profile.table.management:
            return
        self.signed_off += more
        if more > 0:
            self.run(self.core.manage(name, self.now))
        elif not self.signed_off:
            self._open()

    def _open(self) -> None:
        """Sign on, again until we have agreed: the message may get lost, or we cannot keep that it came."""
        if self.signed_off:
            return
        self.run(self.core.manage("sign_on", self.now))
        self.kernel.later(SIGN_ON_US, "sign on", self._opened)

    def _opened(self) -> None:
        if self.core.heard != self.profile.table.results.codes["approved"]:
            self._open()


class Collector:
    """Asks for money until a node has taken each order."""

    def __init__(
        self, kernel: Kernel, plan: NetworkPlan, nodes: Sequence[NodeProcess], people: People, load_us: int
    ) -> None:
        """Orders are spread over `load_us`."""
        self._kernel = kernel
        self._plan = plan
        self._nodes = nodes
        self._people = people
        self._dice = kernel.dice(f"collector/{plan.name}")
        self.wanted: dict[str, Wanted] = {}
        self.taken: dict[str, str] = {}  # how an order stood when a node answered
        for number in range(plan.charges):
            kernel.later(self._dice.below(load_us), "collect", self._collect, number)

    @property
    def settled(self) -> bool:
        """Whether every order that was begun has been taken, or refused for good."""
        return len(self.taken) == len(self.wanted)

    def _collect(self, number: int) -> None:
        dice, people = self._dice, self._people
        phones = people.closed if dice.hit(self._plan.closed) else people.phones
        order = f"{self._plan.name}-{number}"
        amount_fen = 1_000 + 100 * dice.below(50)
        self.wanted[order] = Wanted(order, self._plan.name, dice.pick(phones), amount_fen)
        self._ask(order, dice.below(len(self._nodes)))

    def _ask(self, order: str, turn: int) -> None:
        if order in self.taken:
            return
        node = self._nodes[turn % len(self._nodes)]
        node.ask(
            lambda asker, now: node.core.charge(asker, self.wanted[order], False, now), self._hear(order)
        )
        # Whoever hears nothing asks again, there or at another node: an order is charged once all the same.
        turn += self._dice.hit(OTHER_NODE_PER_MILLE)
        self._kernel.later(ASK_AGAIN_US, "collect again", self._ask, order, turn)

    def _hear(self, order: str) -> Any:
        def hear(answer: Any) -> None:
            if isinstance(answer, dict) and answer.get("state") != "refused" and order not in self.taken:
                self.taken[order] = str(answer.get("state"))
                if self._dice.hit(CURIOUS_PER_MILLE):
                    self._look(order, LOOKS)

        return hear

    def _look(self, order: str, left: int) -> None:
        """Ask again and again, at either node, how an order stands: each time it is driven on."""
        node = self._nodes[self._dice.below(len(self._nodes))]
        node.ask(lambda asker, now: node.core.charge(asker, self.wanted[order], False, now), lambda _: None)
        if left:
            self._kernel.later(ASK_AGAIN_US // 2, "look how it stands", self._look, order, left - 1)

    def give_up(self) -> None:
        """Ask no more for what no node has taken: the customer has gone."""
        for order in self.wanted:
            self.taken.setdefault(order, "given up")
