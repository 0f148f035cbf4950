"""One connection through the fault proxy: two sockets, and what is under way between them.

Bytes that cannot be passed on at once wait here, with the time at which they are due; a side whose bytes are
held, or whose other end takes none, is not read, so that its own kernel pushes back.
"""

import contextlib
import socket
import struct
from collections import deque
from collections.abc import Callable

from simulators.servers.fault_wires import DELAY, DRIBBLE, HOLD, SWALLOW, Trouble, Wire

READ_BYTES = 65_536
UNSENT_BYTES_MAX = 262_144
RESET = struct.pack("ii", 1, 0)  # SO_LINGER: closing tells the other end at once that all is lost
AWAY = (BlockingIOError, InterruptedError)


class Side:
    """One end of a connection: its socket, what is to be written to it, and what it has said."""

    def __init__(self, end: socket.socket) -> None:
        self.socket = end
        self.unsent: deque[tuple[float, bytes]] = deque()  # (due, bytes)
        self.unsent_bytes = 0
        self.ended = False  # it has sent its end
        self.told = False  # it was told the other side's end
        self.gone = False  # its connection broke while nobody may be told
        self.lossy = False  # bytes or an end that it sent were swallowed

    def put(self, due: float, data: bytes) -> None:
        """Keep bytes that are to be written to it."""
        self.unsent.append((due, data))
        self.unsent_bytes += len(data)


class Flow:
    """A connection from a client's machine to a server's; `near` is the client's side.

    `trouble(sender, receiver)` says what befalls a direction at present.  Methods return False when the
    connection has broken and must be closed.
    """

    def __init__(
        self,
        wire: Wire,
        near: socket.socket,
        far: socket.socket,
        trouble: Callable[[str, str], Trouble | None],
    ) -> None:
        self.wire = wire
        self.near = Side(near)
        self.far = Side(far)
        self.connected = False
        self._trouble = trouble

    def trouble_from(self, side: Side) -> Trouble | None:
        """What befalls the bytes that a side sends."""
        wire = self.wire
        ends = (wire.machine, wire.server) if side is self.near else (wire.server, wire.machine)
        return self._trouble(*ends)

    def other(self, side: Side) -> Side:
        """The opposite side."""
        return self.far if side is self.near else self.near

    def wants_read(self, side: Side) -> bool:
        """Whether a side should be read now."""
        if not self.connected or side.ended or side.gone:
            return False
        trouble = self.trouble_from(side)
        held = trouble is not None and trouble.kind == HOLD
        return not held and self.other(side).unsent_bytes < UNSENT_BYTES_MAX

    def wants_write(self, side: Side, now: float) -> bool:
        """Whether something is due to be written to a side."""
        return bool(side.unsent) and side.unsent[0][0] <= now and not side.gone

    def read(self, side: Side, now: float) -> bool:
        """Read a side and pass on what came."""
        try:
            data = side.socket.recv(READ_BYTES)
        except AWAY:
            return True
        except OSError:
            return False
        trouble = self.trouble_from(side)
        if trouble is not None and trouble.kind == SWALLOW:
            side.lossy = True
            side.ended |= not data
            return True
        if not data:
            side.ended = True
            return self.write(self.other(side), now)
        return self._pass_on(self.other(side), data, trouble, now)

    def _pass_on(self, to: Side, data: bytes, trouble: Trouble | None, now: float) -> bool:
        last = to.unsent[-1][0] if to.unsent else now
        if trouble is not None and trouble.kind == DELAY:
            to.put(max(last, now + trouble.ms / 1000), data)
        elif trouble is not None and trouble.kind == DRIBBLE:
            each, step = max(1, trouble.bytes_each), trouble.ms / 1000
            for at in range(0, len(data), each):
                last = max(last, now) + step
                to.put(last, data[at : at + each])
        else:
            to.put(last, data)
            return self.write(to, now)
        return True

    def write(self, side: Side, now: float) -> bool:
        """Write to a side what is due and what it takes, and the other side's end behind all that."""
        while self.wants_write(side, now):
            due, data = side.unsent[0]
            try:
                sent = side.socket.send(data)
            except AWAY:
                return True
            except OSError:
                return False
            side.unsent_bytes -= sent
            if sent < len(data):
                side.unsent[0] = (due, data[sent:])
                return True
            side.unsent.popleft()
        return self._tell_end(side)

    def _tell_end(self, side: Side) -> bool:
        if self.other(side).ended and not side.unsent and not side.told and not self.other(side).lossy:
            side.told = True
            try:
                side.socket.shutdown(socket.SHUT_WR)
            except OSError:
                return False
        return not (self.near.told and self.far.told)

    def due(self) -> float | None:
        """When the next delayed bytes are due."""
        times = [side.unsent[0][0] for side in (self.near, self.far) if side.unsent]
        return min(times, default=None)

    def broken(self, side: Side) -> bool:
        """A side's connection broke: True when the other may be told, which means closing."""
        trouble = self.trouble_from(side)
        if trouble is not None and trouble.kind in (HOLD, SWALLOW):
            side.gone = True
            return False
        return True

    def mended(self) -> bool:
        """Go on after a change of troubles; False when the connection has lost anything meanwhile."""
        for side in (self.near, self.far):
            trouble = self.trouble_from(side)
            silent = trouble is not None and trouble.kind in (HOLD, SWALLOW)
            if not silent and (side.gone or side.lossy):
                return False
        return True

    def close(self, *, reset: bool = True) -> None:
        """Close both sides; with `reset` both programs are told that the connection broke."""
        for side in (self.near, self.far):
            if reset:
                with contextlib.suppress(OSError):
                    side.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            side.socket.close()
