"""Machines that are network namespaces: each with one cable to a switch, which is a namespace of its own too.

    mq1 ──eth0 ~~~ mq1──┐
    if1 ──eth0 ~~~ if1──┤ bridge          no namespace has a way out: no default route, no other device
    core1 eth0 ~ core1──┘ (the switch)

No end of a cable lies in this computer's own network, so that a cut one leads nowhere else.  Making them
needs root.
"""

import ctypes
import os
import signal
import subprocess
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from simulators.servers.packages import program, require

CLONE_NEWNET = 0x40000000
NETWORK_BITS = 16
Result = TypeVar("Result")


class Machines:
    """Namespaces by the names of their machines; `close` ends what runs in them and removes them."""

    def __init__(self, addresses: Mapping[str, str]) -> None:
        """Make one for each address.  Raises PackagesMissing, and CalledProcessError without the rights."""
        require("iproute2")
        self._switch = f"qz{os.getpid()}-switch"
        self._names = {machine: f"qz{os.getpid()}-{machine}" for machine in addresses}
        self._threads: dict[str, ThreadPoolExecutor] = {}
        ip("netns", "add", self._switch)
        try:
            self._lay(addresses)
        except subprocess.CalledProcessError:
            self.close()
            raise

    def _lay(self, addresses: Mapping[str, str]) -> None:
        ip("-n", self._switch, "link", "add", "br0", "type", "bridge")
        ip("-n", self._switch, "link", "set", "br0", "up")
        for machine, name in self._names.items():
            ip("netns", "add", name)
            ip("-n", name, "link", "set", "lo", "up")
            end = ("type", "veth", "peer", "name", machine, "netns", self._switch)
            ip("-n", name, "link", "add", "eth0", *end)
            self.add_address(machine, addresses[machine])
            ip("-n", name, "link", "set", "eth0", "up")
            ip("-n", self._switch, "link", "set", "dev", machine, "master", "br0", "up")

    def add_address(self, machine: str, address: str) -> None:
        """Give a machine a further address."""
        ip("-n", self._names[machine], "address", "add", f"{address}/{NETWORK_BITS}", "dev", "eth0")

    def namespace(self, machine: str) -> str:
        """Return the name of a machine's namespace."""
        return self._names[machine]

    def hold_address(self, machine: str, address: str) -> None:
        """Let a machine take another one's address for its own: who dials it there stays there."""
        ip("-n", self._names[machine], "address", "add", f"{address}/32", "dev", "lo")

    def answer_strictly(self, machine: str) -> None:
        """Let a machine's cable answer for its own addresses alone, and take packets from held ones."""

        def set_all() -> None:
            for name, value in (
                ("accept_local", 1),
                ("arp_ignore", 1),
                ("arp_announce", 2),
                ("rp_filter", 0),
            ):
                for device in ("all", "eth0"):
                    Path("/proc/sys/net/ipv4/conf", device, name).write_text(str(value), encoding="ascii")

        self.call(machine, set_all)

    def cut(self, machine: str) -> None:
        """Pull a machine's cable out of the switch: nothing passes, and nobody is told."""
        ip("-n", self._switch, "link", "set", "dev", machine, "nomaster")

    def mend(self, machine: str) -> None:
        """Put the cable back."""
        ip("-n", self._switch, "link", "set", "dev", machine, "master", "br0")

    def call(self, machine: str, work: Callable[[], Result]) -> Result:
        """Call `work` on a thread that lives in a machine; processes that it starts live there too."""
        if machine not in self._threads:
            name = self._names[machine]
            self._threads[machine] = ThreadPoolExecutor(1, initializer=lambda: enter(name))
        return self._threads[machine].submit(work).result()

    def popen(self, machine: str, command: list[str], **options: Any) -> "subprocess.Popen[str]":
        """Start a command in a machine."""
        words = [program("ip"), "netns", "exec", self._names[machine], *command]
        return subprocess.Popen(words, text=True, **options)  # noqa: S603  the caller's own command

    def kill(self, machine: str) -> list[int]:
        """End every process of a machine at once, as a power cut does; return their ids."""
        pids = [int(word) for word in ip("netns", "pids", self._names[machine]).split()]
        for pid in pids:
            if pid != os.getpid():  # a thread of ours may be in there
                os.kill(pid, signal.SIGKILL)
        return pids

    def close(self) -> None:
        """End what still runs there, and remove the namespaces."""
        for thread in self._threads.values():
            thread.shutdown()
        present = ip("netns", "list").split()
        for machine, name in self._names.items():
            if name in present:
                self.kill(machine)
                ip("netns", "delete", name)
        if self._switch in present:
            ip("netns", "delete", self._switch)


def enter(name: str) -> None:
    """Move the calling thread into a namespace; it stays there."""
    with Path("/run/netns", name).open("rb") as file:
        if ctypes.CDLL(None, use_errno=True).setns(file.fileno(), CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), f"cannot enter the network of {name}")


def ip(*words: str) -> str:
    """Run iproute2's `ip`; return what it prints."""
    command = [program("ip"), *words]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout  # noqa: S603  our words
