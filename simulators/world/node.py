"""An interface node in the simulated world: the real node, its rows and its peers.  Pure."""

from collections.abc import Callable, Mapping, Sequence
from datetime import tzinfo
from typing import Any, NamedTuple

from interface_layer.dispatcher import Dispatcher
from interface_layer.house import ASKER
from interface_layer.node import Node
from qianzhi.link.events import LinkEvent, deliver
from qianzhi.link.hop import HopLimits
from qianzhi.link.tables import BankLimits, Route
from qianzhi.runtime.effects import Close, Effects, Load, Record, Send, Store
from qianzhi.runtime.now import Now
from qianzhi.saf.memory import MemoryStore, Shelf
from qianzhi.saf.policies import Policy
from simulators.world.disk import Disk
from simulators.world.faults import Fault
from simulators.world.kernel import Kernel
from simulators.world.link_end import LinkEnd
from simulators.world.network import Network
from simulators.world.process import Process, Waker
from simulators.world.saf_line import SafLine, Told


class NodeSetup(NamedTuple):
    """What a node is given: the same in every life.

    `shelf` keeps its rows; with a lease in `policy` the nodes share one, on the database's clock.
    """

    bridges: Sequence[str]
    limits: Mapping[str, BankLimits]
    shelf: Shelf
    policy: Policy
    zone: tzinfo
    routes: Sequence[Route] = ()
    window: int = 400
    run: int = 2


class NodeProcess(Process):
    """One node."""

    core: Node
    link: LinkEnd

    def __init__(
        self, kernel: Kernel, name: str, network: Network, disk: Disk, setup: NodeSetup, mono_us: int = 0
    ) -> None:
        super().__init__(kernel, name, mono_us)
        self.network = network
        self.disk = disk
        self.setup = setup
        self.tear = disk.tear
        self._asked = 0
        self._askers: dict[str, Callable[[Any], None]] = {}
        self.handlers = {
            Record: lambda effect: disk.append(name, effect.rows),
            Send: self._send,
            Close: lambda effect: self.link.close(str(effect.to[1]), effect.reason),
            Store: lambda effect: self._rows.write(effect.token, effect.rows),
            Load: lambda effect: self._rows.load(),
        }

    def begin(self) -> None:
        """Build the core, read the rows, listen for fronts, dial the bridges."""
        setup = self.setup
        limits = HopLimits(window=setup.window, run=setup.run)
        first_id = self.now.wall_us
        dispatcher = Dispatcher(self.name, setup.bridges, setup.routes, setup.limits, limits, first_id)
        self.core = core = Node(dispatcher, setup.policy, setup.zone)
        self._askers = {}
        self.link = LinkEnd(self, self.network, core.hello, self._on_link)
        shared = setup.policy.lease_us > 0
        clock = (lambda: self.kernel.wall_us) if shared else (lambda: self.now.wall_us)
        store = MemoryStore(setup.shelf, self.name, setup.policy.lease_us, clock)
        told = Told(
            stored=lambda token, standing: self.run(core.on_stored(token, standing, self.now)),
            loaded=lambda saved: self.run(core.on_loaded(saved, self.now)),
            lost=lambda token: self.run(core.on_lost(token, self.now)),
            trouble=lambda why: self.run(core.on_store_trouble(why, self.now)),
        )
        self._rows = SafLine(self, self.disk, store, told)
        Waker(self, "node time", lambda: core.deadline, lambda: self.run(core.on_time(self.now)))
        self.run(core.start(self.now))
        self.link.listen()
        for bridge in setup.bridges:
            self.link.dial(bridge)

    def ended(self) -> None:
        """Drop its connections."""
        self._rows.died()
        self.network.died(self)

    def drain(self, draining: bool) -> None:
        """Take nothing new, or take it again."""
        if self.up and not self.frozen:
            self.run(self.core.drain(draining, self.now))

    def ask(self, what: Callable[[str, Now], Effects], hear: Callable[[Any], None]) -> None:
        """Ask as a command does; the answer may never come."""
        if self.up and not self.frozen:
            self._asked += 1
            self._askers[str(self._asked)] = hear
            self.run(what(str(self._asked), self.now))

    def _send(self, effect: Send) -> None:
        to: Any = effect.to
        if to[0] != ASKER:
            self.link.send(str(to[1]), effect.items)
            return
        hear = self._askers.pop(str(to[1]), None)
        if hear is not None:
            hear(effect.items[0])

    def _on_link(self, items: list[tuple[str, LinkEvent]]) -> None:
        self.run(deliver(self.core, items, self.now))
        if self.up:
            self.core.take_loads()

    def begin_fault(self, fault: Fault) -> None:
        """A node's own faults are the processes'."""

    def end_fault(self, fault: Fault) -> None:
        """A node's own faults are the processes'."""
