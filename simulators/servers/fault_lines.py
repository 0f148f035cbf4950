"""The fault proxy as its owner has it: started between some machines, told what to do, ended.

Nothing here passes a byte: that is the proxy's own process (`fault_proxy`).
"""

import contextlib
import json
import subprocess
import sys
import threading

from simulators.servers.fault_wires import Order, Trouble, Wire, write_order, write_wires
from simulators.servers.namespaces import Machines
from simulators.servers.processes import put_first


class FaultProxy:
    """The running proxy; its methods may be called from several threads."""

    def __init__(self, wires: list[Wire]) -> None:
        """Start it and wait until it listens on every wire; raises RuntimeError when it does not."""
        self._lock = threading.Lock()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "simulators.servers.fault_proxy"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        put_first(self._process.pid)
        self._ask(write_wires(wires))

    @property
    def pid(self) -> int:
        """The proxy's process."""
        return self._process.pid

    def set(self, sender: str, receiver: str, trouble: Trouble | None) -> None:
        """Let something befall what one machine sends another; None ends it."""
        self._ask(write_order(Order("set", sender, receiver, trouble)))

    def both(self, one: str, other: str, trouble: Trouble | None) -> None:
        """The same in both directions."""
        self.set(one, other, trouble)
        self.set(other, one, trouble)

    def reset(self, one: str, other: str) -> None:
        """Break every connection between two machines at once."""
        self._ask(write_order(Order("reset", one, other)))

    def stats(self) -> dict[str, int]:
        """How many connections there are, were opened and broken."""
        return self._ask(write_order(Order("stats")))

    def close(self) -> None:
        """End it; its connections break."""
        with contextlib.suppress(RuntimeError, OSError, ValueError):
            self._ask(write_order(Order("end")))
        self._process.kill()
        self._process.communicate()

    def _ask(self, line: str) -> dict[str, int]:
        with self._lock:
            assert self._process.stdin is not None  # noqa: S101 - as they were opened
            assert self._process.stdout is not None  # noqa: S101
            self._process.stdin.write(line)
            self._process.stdin.flush()
            said = self._process.stdout.readline()
        if not said:
            raise RuntimeError("the fault proxy has ended")
        answer: dict[str, int] = json.loads(said)
        return answer


def lay_wires(
    machines: Machines, addresses: dict[str, str], ports: dict[str, list[tuple[str, str, int]]]
) -> list[Wire]:
    """Let every client machine hold its servers' addresses itself; return the wires for the proxy.

    `ports` says for each client machine which (server machine, host, port) it dials.  What passes the proxy
    comes from a second address of the client, 10.77.102.1 for 10.77.2.1: its first one may be held by the
    server's machine.
    """
    wires = []
    for machine, dialled in ports.items():
        source = second_address(addresses[machine])
        machines.add_address(machine, source)
        machines.answer_strictly(machine)
        for host in dict.fromkeys(host for _, host, _ in dialled):
            machines.hold_address(machine, host)
        name = machines.namespace(machine)
        wires += [Wire(machine, name, source, server, host, port) for server, host, port in dialled]
    return wires


def second_address(address: str) -> str:
    """Return the address from which a machine's proxied connections come."""
    first, second, third, fourth = address.split(".")
    return f"{first}.{second}.{int(third) + 100}.{fourth}"
