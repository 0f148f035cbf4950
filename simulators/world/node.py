"""An interface node in the simulated world: the real dispatcher on a model network.  Pure."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from interface_layer.dispatcher import Dispatcher
from qianzhi.link.events import LinkEvent, deliver
from qianzhi.link.hop import HopLimits
from qianzhi.link.tables import BankLimits, Route
from qianzhi.runtime.effects import Close, Record, Send
from simulators.world.disk import Disk
from simulators.world.faults import Fault
from simulators.world.kernel import Kernel
from simulators.world.link_end import LinkEnd
from simulators.world.network import Network
from simulators.world.process import Process, Waker


class NodeSetup(NamedTuple):
    """What a node is given: the same in every life."""

    bridges: Sequence[str]
    limits: Mapping[str, BankLimits]
    routes: Sequence[Route] = ()
    window: int = 400


class NodeProcess(Process):
    """One node."""

    core: Dispatcher
    link: LinkEnd

    def __init__(
        self, kernel: Kernel, name: str, network: Network, disk: Disk, setup: NodeSetup, mono_us: int = 0
    ) -> None:
        super().__init__(kernel, name, mono_us)
        self.network = network
        self.disk = disk
        self.setup = setup
        self.handlers = {
            Record: lambda effect: disk.append(name, effect.rows),
            Send: lambda effect: self.link.send(str(effect.to[1]), effect.items),
            Close: lambda effect: self.link.close(str(effect.to[1]), effect.reason),
        }

    def begin(self) -> None:
        """Build the core, listen for fronts, dial the bridges."""
        setup = self.setup
        self.core = core = Dispatcher(
            self.name,
            setup.bridges,
            setup.routes,
            setup.limits,
            HopLimits(window=setup.window),
            first_id=self.now.wall_us,
        )
        self.link = LinkEnd(self, self.network, core.hello, self._on_link)
        Waker(self, "node time", lambda: core.deadline, lambda: self.run(core.on_time(self.now)))
        self.link.listen()
        for bridge in setup.bridges:
            self.link.dial(bridge)

    def ended(self) -> None:
        """Drop its connections."""
        self.network.died(self)

    def drain(self, draining: bool) -> None:
        """Take nothing new, or take it again."""
        if self.up and not self.frozen:
            self.run(self.core.drain(draining))

    def _on_link(self, items: list[tuple[str, LinkEvent]]) -> None:
        self.run(deliver(self.core, items, self.now))
        self.core.take_loads()

    def begin_fault(self, fault: Fault) -> None:
        """A node's own faults are the processes'."""

    def end_fault(self, fault: Fault) -> None:
        """A node's own faults are the processes'."""
