"""The model network: connections between processes, and all that can befall what they carry.  Pure.

A connection is two directions, each in order, as TCP gives it: what is lost comes late, what is cut comes
once the cut is healed, unless the connection breaks.  `say` carries one whole message of a bank's line
through what stands between the bank's host and ours, where a message by itself may be lost, doubled,
overtaken or damaged.
"""

from simulators.world.faults import Fault
from simulators.world.kernel import Kernel
from simulators.world.parts import WireHandler
from simulators.world.process import Process


class Network:
    """All connections of one run; addresses are names of processes, or `name/port`."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._dice = kernel.dice("network")

    def listen(self, process: Process, address: str, handler: WireHandler) -> None:
        """Take connections at an address, in this life of the process."""
        raise NotImplementedError

    def unlisten(self, address: str) -> None:
        """Take no new connections."""
        raise NotImplementedError

    def dial(self, process: Process, address: str, handler: WireHandler) -> None:
        """Connect; the handler hears `on_open`, or `on_shut(None, "refused")`."""
        raise NotImplementedError

    def died(self, process: Process) -> None:
        """Break all connections of a process, and free its addresses."""
        raise NotImplementedError

    def begin_fault(self, fault: Fault) -> None:
        """Let a fault begin (`faults.NETWORK_FAULTS`)."""
        raise NotImplementedError

    def end_fault(self, fault: Fault) -> None:
        """Let it be over."""
        raise NotImplementedError
