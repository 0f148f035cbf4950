"""The model network: connections between processes, and all that can befall what they carry.  Pure.

A connection is two directions, each in order, as TCP gives it: what is lost comes late, what is cut comes
once the cut is healed, unless the connection breaks.  `say` carries one whole message of a bank's line
through what stands between the bank's host and ours, where a message by itself may be lost, doubled,
overtaken or damaged.
"""

from collections import Counter
from collections.abc import Callable
from itertools import count

from qianzhi.runtime.now import SECOND_US
from simulators.world.faults import Fault
from simulators.world.kernel import Dice, Kernel
from simulators.world.parts import Wire, WireHandler
from simulators.world.process import Process

NEAR_US, FAR_US = 80, 400  # what a message takes where nothing is wrong
AGAIN_US = 200_000  # after which what was lost is sent again
CONNECT_US = 3 * SECOND_US  # after which nobody answers a call
KEEPALIVE_US = 60 * SECOND_US  # after which a dead end of a connection is found out
LATE_US = 90 * SECOND_US
LOOK_US = SECOND_US
KEPT_PER_MILLE = 500  # connections that live on after a cut


class Conn:
    """One end of a connection; `parts.Wire`."""

    __slots__ = (
        "_network", "address", "cut", "free_us", "handler", "known", "number", "open", "other", "process",
        "short",
    )  # fmt: skip

    def __init__(self, network: "Network", process: Process, handler: WireHandler, number: int) -> None:
        self._network = network
        self.process = process
        self.handler = handler
        self.number = number
        self.other: Conn = self
        self.address = ""
        self.short = False
        self.open = True
        self.known = False  # whether its handler has heard of it
        self.free_us = 0  # when what was written before has arrived at the other end
        self.cut: list[Callable[[], None]] = []  # what waits for the end of a cut

    def send(self, data: bytes) -> None:
        """Write bytes of a stream."""
        if self.open:
            self._network.send(self, data)

    def say(self, message: bytes, proved: bool = True) -> None:
        """Write one whole message of a bank's line; `proved` says that its dialect has a MAC."""
        if self.open:
            self._network.say(self, message, proved)

    def close(self) -> None:
        """Hang up; the other end hears of it after what was written."""
        if self.open:
            self._network.hang_up(self, "closed")


class Network:
    """All connections of one run; an address is the name of a process, or of a port of it."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._dice = kernel.dice("network")
        self._numbers = count(1)
        self._listeners: dict[str, tuple[Process, WireHandler]] = {}
        self._conns: dict[str, dict[int, Conn]] = {}
        self._cuts: Counter[tuple[str, str]] = Counter()  # directions; an empty name is anybody
        self._faults: list[Fault] = []
        self._much: dict[str, int] = {}  # strength of each kind of fault that is on
        self._bank_faults = False
        self.broken = 0

    # -- connections

    def listen(self, process: Process, address: str, handler: WireHandler) -> None:
        """Take connections at an address, in this life of the process."""
        self._listeners[address] = (process, handler)

    def unlisten(self, address: str) -> None:
        """Take no new connections."""
        self._listeners.pop(address, None)

    def dial(self, process: Process, address: str, handler: WireHandler, *, short: bool = False) -> None:
        """Connect; the handler hears `on_open`, or `on_shut(None, why)`."""
        process.later(self._delay_us(), "dial", self._connect, process, address, handler, short)

    def _connect(self, process: Process, address: str, handler: WireHandler, short: bool) -> None:
        found = self._listeners.get(address)
        if found is None:
            handler.on_shut(None, "refused")
            return
        server, taker = found
        if self._cuts and (
            self._is_cut(process.name, server.name) or self._is_cut(server.name, process.name)
        ):
            process.later(CONNECT_US, "unanswered", handler.on_shut, None, "timeout")
            return
        number = next(self._numbers)
        near, far = Conn(self, process, handler, number), Conn(self, server, taker, number)
        near.other, far.other = far, near
        near.address, near.short = address, short
        self._conns.setdefault(process.name, {})[number] = near
        self._conns.setdefault(server.name, {})[number] = far
        server.later(0, "accept", self._opened, far)
        delay_us = self._delay_us()
        process.later(delay_us, "connected", self._opened, near)
        far.free_us = self._kernel.now_us + delay_us  # who dialled hears that it stands before anything else

    def _opened(self, conn: Conn) -> None:
        if conn.open:
            conn.known = True
            conn.handler.on_open(conn)

    def died(self, process: Process) -> None:
        """Break all connections of a process, and free its addresses."""
        for address in [at for at, (owner, _) in self._listeners.items() if owner is process]:
            del self._listeners[address]
        for conn in list(self._conns.pop(process.name, {}).values()):
            conn.open = False
            self._tell_gone(conn, "reset")

    def hang_up(self, conn: Conn, reason: str) -> None:
        """Shut an end; what it wrote before arrives first."""
        self._forget(conn)
        self._tell_gone(conn, reason)

    def break_off(self, conn: Conn) -> None:
        """Let both ends of a connection hear that it is gone."""
        self.broken += 1
        for end in (conn, conn.other):
            if end.open:
                self._forget(end)
                end.process.later(self._delay_us(), "reset", self._tell_shut, end, "reset")

    def _forget(self, conn: Conn) -> None:
        conn.open = False
        conn.cut.clear()
        self._conns.get(conn.process.name, {}).pop(conn.number, None)

    def _tell_gone(self, conn: Conn, reason: str) -> None:
        """Let the other end hear that this one is gone; through a cut it hears nothing."""
        other = conn.other
        if not other.open:
            return
        if self._cuts and self._is_cut(conn.process.name, other.process.name):
            other.process.later(KEEPALIVE_US, "no sign of life", self._shut, other, "keepalive")
            return
        at_us = max(conn.free_us, self._kernel.now_us + self._delay_us())
        other.process.later(at_us - self._kernel.now_us, "shut", self._shut, other, reason)

    def _shut(self, conn: Conn, reason: str) -> None:
        if conn.open:
            self._forget(conn)
            self._tell_shut(conn, reason)

    def _tell_shut(self, conn: Conn, reason: str) -> None:
        """Tell a handler of the end; of a connection that never stood, whoever dialled hears as much."""
        if conn.known:
            conn.handler.on_shut(conn, reason)
        elif conn.address:
            conn.handler.on_shut(None, "refused")

    # -- bytes

    def send(self, conn: Conn, data: bytes) -> None:
        """Carry bytes of a stream to the other end."""
        other = conn.other
        kernel = self._kernel
        if not other.open:
            if not (self._cuts and self._is_cut(conn.process.name, other.process.name)):
                conn.process.later(self._delay_us(), "reset", self._shut, conn, "reset")
            return
        if self._cuts and self._is_cut(conn.process.name, other.process.name):
            conn.cut.append(lambda: self.send(conn, data))
            return
        kernel.trace.add_bytes(data)
        at_us = kernel.now_us + self._delay_us()
        if self._dice.hit(self._much.get("lossy", 0)):
            at_us += AGAIN_US << self._dice.below(5)  # what was lost just before is sent again meanwhile
        at_us = max(conn.free_us, at_us)
        split = self._much.get("split", 0)
        if split and self._dice.hit(split):
            at_us = self._in_pieces(conn, data, at_us)
        else:
            other.process.later(at_us - kernel.now_us, "data", self._arrive, other, data)
        conn.free_us = at_us

    def _in_pieces(self, conn: Conn, data: bytes, at_us: int) -> int:
        """Carry a write in pieces, now and then of one byte each; return when the last one arrives."""
        size = (
            1 if self._dice.below(8) == 0 and len(data) < 400 else 1 + len(data) // (2 + self._dice.below(4))
        )
        other, now_us = conn.other, self._kernel.now_us
        for start in range(0, len(data), size):
            at_us += self._dice.below(300)
            piece = data[start : start + size]
            other.process.later(at_us - now_us, "piece", self._arrive, other, piece)
        return at_us

    def _arrive(self, conn: Conn, data: bytes) -> None:
        if conn.open:
            conn.handler.on_data(conn, data)

    # -- messages of a bank's line

    def say(self, conn: Conn, message: bytes, proved: bool) -> None:
        """Carry a message of a bank's line, with what may befall a message by itself.

        Messages of every kind are damaged, those about the line and whatever no MAC covers too: but for the
        dialects that have no MAC at all, where a damaged message of money is just another message.
        """
        if not self._bank_faults:
            self.send(conn, message)
            return
        hit, much = self._dice.hit, self._much
        if hit(much.get("bank_frames_lost", 0)):
            self._kernel.tell(conn.process.name, "its message is lost")
            return
        if hit(much.get("bank_frames_twice", 0)):
            self._kernel.tell(conn.process.name, "its message is doubled")
            conn.process.later(self._dice.below(LATE_US), "twice", self._say_again, conn, message)
        if proved and hit(much.get("bank_frames_broken", 0)):
            self._kernel.tell(conn.process.name, "its message is damaged")
            message = damaged(message, self._dice)
        if hit(much.get("bank_frames_late", 0)):
            self._kernel.tell(conn.process.name, "its message is late")
            conn.process.later(self._dice.below(LATE_US), "late", self._say_again, conn, message)
            return
        self.send(conn, message)

    def _say_again(self, conn: Conn, message: bytes) -> None:
        """Carry a message that was kept on the way; one on a short connection comes on a connection anew."""
        if conn.open:
            self.send(conn, message)
        elif conn.short:
            self.dial(conn.process, conn.address, Straggler(conn.handler, message), short=True)

    # -- faults

    def begin_fault(self, fault: Fault) -> None:
        """Let a fault begin (`faults.NETWORK_FAULTS`)."""
        if fault.kind in ("cut", "cut_one_way"):
            for direction in _directions(fault):
                self._cuts[direction] += 1
            return
        self._faults.append(fault)
        self._weigh()
        if fault.kind == "reset":
            self._kernel.later(LOOK_US, "resets", self._reset, fault)

    def end_fault(self, fault: Fault) -> None:
        """Let it be over; what a cut held back arrives, unless its connection broke."""
        if fault.kind in ("cut", "cut_one_way"):
            for direction in _directions(fault):
                self._cuts[direction] -= 1
            self._cuts = +self._cuts
            self._let_through()
            return
        if fault in self._faults:
            self._faults.remove(fault)
        self._weigh()

    def _weigh(self) -> None:
        self._much = {}
        for fault in self._faults:
            self._much[fault.kind] = max(fault.strength, self._much.get(fault.kind, 0))
        self._bank_faults = any(kind.startswith("bank_frames") for kind in self._much)

    def _reset(self, fault: Fault) -> None:
        if fault not in self._faults:
            return
        whose = [fault.target] if fault.target != "network" else list(self._conns)
        for name in whose:
            for conn in list(self._conns.get(name, {}).values()):
                if self._dice.hit(fault.strength):
                    self.break_off(conn)
        self._kernel.later(LOOK_US, "resets", self._reset, fault)

    def _is_cut(self, source: str, target: str) -> bool:
        cuts = self._cuts
        return (source, target) in cuts or (source, "") in cuts or ("", target) in cuts

    def _let_through(self) -> None:
        for conn in [conn for ends in self._conns.values() for conn in ends.values() if conn.cut]:
            if self._is_cut(conn.process.name, conn.other.process.name):
                continue
            writes, conn.cut = conn.cut, []
            if not self._dice.hit(KEPT_PER_MILLE):
                self.break_off(conn)
                continue
            conn.free_us = max(conn.free_us, self._kernel.now_us + self._dice.below(2 * SECOND_US))
            for write in writes:
                write()

    def _delay_us(self) -> int:
        delay_us = NEAR_US + self._dice.below(FAR_US - NEAR_US)
        slow_ms = self._much.get("slow", 0)
        return delay_us + self._dice.below(slow_ms * 1_000) if slow_ms else delay_us


def damaged(message: bytes, dice: Dice) -> bytes:
    """Return a message as it comes over a bad line: a byte is another one, some are missing, or more."""
    at = dice.below(len(message))
    kind = dice.below(6)
    if kind == 0:
        return message[:at]
    if kind == 1:
        return message[:at] + dice.bytes(1 + dice.below(4)) + message[at:]
    return message[:at] + bytes((message[at] ^ (1 + dice.below(255)),)) + message[at + 1 :]


class Straggler:
    """Says one message on a connection of its own; answers go to whoever waited for the first one's."""

    def __init__(self, handler: WireHandler, message: bytes) -> None:
        self._handler = handler
        self._message = message

    def on_open(self, wire: Wire) -> None:
        """Say it."""
        wire.send(self._message)

    def on_data(self, wire: Wire, data: bytes) -> None:
        """Nobody is there to hear the answer to a doubled message."""

    def on_shut(self, wire: Wire | None, reason: str) -> None:
        """It is over."""


def _directions(fault: Fault) -> list[tuple[str, str]]:
    ways = [(fault.target, fault.other)]
    return [*ways, (fault.other, fault.target)] if fault.kind == "cut" else ways
