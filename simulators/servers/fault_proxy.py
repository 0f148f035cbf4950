"""Our TCP fault proxy: a process between the machines of a site laid out in network namespaces.

    stdin    one line of wires, then orders (`fault_wires`), one a line
    stdout   one line of JSON for each of them

One thread and one epoll for all: a socket belongs to the network in which it was made, wherever its process
is.  It listens where a client's machine believes its peer to be, and dials the peer over the client's own
cable, so that a pulled cable cuts what passes here too.  A server that refuses is refused here from then on,
until it listens again.
"""

import contextlib
import ctypes
import errno
import json
import os
import select
import socket
import sys
from pathlib import Path

from qianzhi.runtime import clock
from simulators.servers.fault_flow import AWAY, Flow, Side
from simulators.servers.fault_wires import REFUSE, Order, Trouble, Wire, read_order, read_wires
from simulators.servers.namespaces import CLONE_NEWNET

CABLE = b"eth0"
PROBE_SECONDS = 0.25
USER_TIMEOUT_MS = 6_000  # as our daemons have it towards the database: who is silent so long is given up
LIBC = ctypes.CDLL(None, use_errno=True)
BROKEN = select.EPOLLERR | select.EPOLLHUP


class Proxy:
    """All wires and their connections, on one epoll."""

    def __init__(self, wires: list[Wire]) -> None:
        self._epoll = select.epoll()
        self._home = os.open("/proc/self/ns/net", os.O_RDONLY)
        self._networks: dict[str, int] = {}
        self._flows: dict[int, tuple[Flow, Side]] = {}  # by either side's descriptor
        self._masks: dict[int, int] = {}
        self._listeners: dict[int, tuple[Wire, socket.socket]] = {}
        self._troubles: dict[tuple[str, str], Trouble] = {}
        self._closed: dict[Wire, float] = {}  # not listening; when to look next
        self._probes: dict[int, tuple[Wire, socket.socket]] = {}
        self._late: set[Flow] = set()  # have bytes that are not due yet
        self._stale: set[int] = set()  # closed since the last poll: another socket may have the number
        self._opened = 0
        self._reset = 0
        for wire in wires:
            self._listen(wire)

    def serve(self, orders: int) -> None:
        """Pass bytes on until the descriptor `orders` ends, or says so."""
        self._epoll.register(orders, select.EPOLLIN)
        text = b""
        while True:
            now = clock.monotonic_seconds()
            self._stale.clear()
            for descriptor, event in self._epoll.poll(self._patience(now)):
                if descriptor == orders:
                    data = os.read(orders, 65_536)
                    *lines, text = (text + data).split(b"\n")
                    if not data or not all(self._obey(read_order(line.decode())) for line in lines):
                        return
                elif descriptor not in self._stale:
                    self._on_event(descriptor, event, clock.monotonic_seconds())
            self._on_time(clock.monotonic_seconds())

    # -- orders

    def _obey(self, order: Order) -> bool:
        """Carry an order out and answer it; False for the last one."""
        pair = (order.sender, order.receiver)
        if order.what == "set" and order.trouble is not None:
            self._troubles[pair] = order.trouble
        elif order.what == "set":
            self._troubles.pop(pair, None)
        if order.what == "set":
            self._changed()
        elif order.what == "reset":
            self._reset_between(set(pair))
        answer = {"connections": len(self._flows) // 2, "opened": self._opened, "reset": self._reset}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()
        return order.what != "end"

    def _changed(self) -> None:
        now = clock.monotonic_seconds()
        for flow in self._all():
            if flow.mended():
                self._settle(flow, now)
            else:
                self._close(flow)
        for wire, listener in list(self._listeners.values()):
            if self._refuses(wire):
                self._deafen(wire, listener)

    def _reset_between(self, pair: set[str]) -> None:
        for flow in self._all():
            if {flow.wire.machine, flow.wire.server} == pair:
                self._close(flow)

    def _all(self) -> list[Flow]:
        return list({id(flow): flow for flow, _ in self._flows.values()}.values())

    def _trouble(self, sender: str, receiver: str) -> Trouble | None:
        return self._troubles.get((sender, receiver))

    def _refuses(self, wire: Wire) -> bool:
        trouble = self._trouble(wire.machine, wire.server)
        return trouble is not None and trouble.kind == REFUSE

    # -- listening

    def _socket(self, wire: Wire) -> socket.socket:
        """Make a socket in the client's network; come back, for a machine's death ends all who are in it."""
        if wire.namespace not in self._networks:
            self._networks[wire.namespace] = os.open(Path("/run/netns", wire.namespace), os.O_RDONLY)
        enter(self._networks[wire.namespace])
        try:
            made = socket.socket()
        finally:
            enter(self._home)
        made.setblocking(False)
        return made

    def _listen(self, wire: Wire) -> None:
        listener = self._socket(wire)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((wire.host, wire.port))
        listener.listen(512)
        self._listeners[listener.fileno()] = (wire, listener)
        self._epoll.register(listener.fileno(), select.EPOLLIN)
        self._closed.pop(wire, None)

    def _deafen(self, wire: Wire, listener: socket.socket) -> None:
        """Listen no more until the server does, so that whoever dials hears at once that nobody is there."""
        self._epoll.unregister(listener.fileno())
        self._stale.add(listener.fileno())
        del self._listeners[listener.fileno()]
        listener.close()
        self._closed[wire] = clock.monotonic_seconds() + PROBE_SECONDS

    def _accept(self, wire: Wire, listener: socket.socket) -> None:
        try:
            near, _ = listener.accept()
        except OSError:
            return
        near.setblocking(False)
        near.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        far = self._dial(wire)
        if far is None:
            near.close()
            return
        flow = Flow(wire, near, far, self._trouble)
        self._opened += 1
        for side in (flow.near, flow.far):
            self._flows[side.socket.fileno()] = (flow, side)
        self._watch(far.fileno(), select.EPOLLOUT)

    def _dial(self, wire: Wire) -> socket.socket | None:
        far = self._socket(wire)
        far.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, CABLE)
        far.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        far.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, USER_TIMEOUT_MS)
        try:
            far.bind((wire.source, 0))
            far.connect((wire.host, wire.port))
        except AWAY:
            return far
        except OSError:
            far.close()
            return None
        return far

    # -- events

    def _on_event(self, descriptor: int, event: int, now: float) -> None:
        if descriptor in self._listeners:
            self._accept(*self._listeners[descriptor])
        elif descriptor in self._probes:
            self._probed(descriptor)
        elif descriptor in self._flows:
            flow, side = self._flows[descriptor]
            if not flow.connected:
                self._on_connected(flow, now)
            else:
                self._on_side(flow, side, event, now)

    def _on_connected(self, flow: Flow, now: float) -> None:
        fault = flow.far.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if not fault:
            flow.connected = True
            self._settle(flow, now)
            return
        self._close(flow)
        if fault == errno.ECONNREFUSED:
            for wire, listener in list(self._listeners.values()):
                if wire == flow.wire:
                    self._deafen(wire, listener)

    def _on_side(self, flow: Flow, side: Side, event: int, now: float) -> None:
        alive = True
        if event & select.EPOLLIN and flow.wants_read(side):
            alive = flow.read(side, now)
        elif event & BROKEN:
            alive = not flow.broken(side)
        if alive and event & select.EPOLLOUT:
            alive = flow.write(side, now)
        if alive:
            self._settle(flow, now)
        else:
            self._close(flow)

    def _settle(self, flow: Flow, now: float) -> None:
        """Watch both sides for just what is wanted of them now."""
        if not flow.connected:
            return
        for side in (flow.near, flow.far):
            mask = select.EPOLLIN if flow.wants_read(side) else 0
            mask |= select.EPOLLOUT if flow.wants_write(side, now) else 0
            if side.gone:
                self._forget(side.socket.fileno())
            elif self._masks.get(side.socket.fileno()) != mask:
                self._watch(side.socket.fileno(), mask)
        if flow.near.unsent or flow.far.unsent:
            self._late.add(flow)
        else:
            self._late.discard(flow)

    def _watch(self, descriptor: int, mask: int) -> None:
        if descriptor in self._masks:
            self._epoll.modify(descriptor, mask)
        else:
            self._epoll.register(descriptor, mask)
        self._masks[descriptor] = mask

    def _forget(self, descriptor: int) -> None:
        if self._masks.pop(descriptor, None) is not None:
            self._epoll.unregister(descriptor)

    def _close(self, flow: Flow) -> None:
        orderly = flow.near.told and flow.far.told
        self._reset += not orderly
        for side in (flow.near, flow.far):
            self._forget(side.socket.fileno())
            self._flows.pop(side.socket.fileno(), None)
            self._stale.add(side.socket.fileno())
        self._late.discard(flow)
        flow.close(reset=not orderly)

    # -- time

    def _patience(self, now: float) -> float:
        times = [due for flow in self._late if (due := flow.due()) is not None]
        times += self._closed.values()
        return max(0.0, min(times) - now) if times else -1

    def _on_time(self, now: float) -> None:
        for flow in list(self._late):
            due = flow.due()
            if due is not None and due <= now:
                if flow.write(flow.near, now) and flow.write(flow.far, now):
                    self._settle(flow, now)
                else:
                    self._close(flow)
        for wire, at in list(self._closed.items()):
            if at <= now:
                self._closed[wire] = now + PROBE_SECONDS
                self._probe(wire)

    def _probe(self, wire: Wire) -> None:
        """Ask whether the server listens again."""
        if self._refuses(wire) or any(wire == other for other, _ in self._probes.values()):
            return
        far = self._dial(wire)
        if far is not None:
            self._probes[far.fileno()] = (wire, far)
            self._epoll.register(far.fileno(), select.EPOLLOUT)

    def _probed(self, descriptor: int) -> None:
        wire, far = self._probes.pop(descriptor)
        self._epoll.unregister(descriptor)
        self._stale.add(descriptor)
        fault = far.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        far.close()
        if not fault and wire in self._closed:
            with contextlib.suppress(OSError):  # taken for the moment: the next look tries again
                self._listen(wire)


def enter(network: int) -> None:
    """Move this thread into an open network."""
    if LIBC.setns(network, CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "cannot enter a machine's network")


def main() -> None:
    """Read the wires, say that all listen, and serve."""
    orders = sys.stdin.fileno()
    line = b""
    while not line.endswith(b"\n"):
        line += os.read(orders, 1)
    proxy = Proxy(read_wires(line.decode()))
    sys.stdout.write("{}\n")
    sys.stdout.flush()
    proxy.serve(orders)


if __name__ == "__main__":
    main()
