"""What strikes a bank's ports: sockets with and without lengths, and direct queues down to their bytes.

ZMTP 3.0, as a DEALER without security    greeting 64 bytes, READY, then frames: flags, size, bytes
"""

import contextlib
import itertools
import select
import socket
from collections.abc import Callable
from pathlib import Path
from random import Random  # noqa: TID251 - seeded
from typing import TYPE_CHECKING, Any

from ports_bank import Customer, LongDoor, QueueDoor, dial
from ports_frames import Frames, Made, broken_lengths, slices

from bankmq.zeromq import READ_FACTOR
from qianzhi.link.site import parse_address
from qianzhi.runtime import clock
from qianzhi.wire.errors import RemoteProtocolError
from simulators.bank_line import kinds_of
from simulators.codecs import BankCodecError, bank_codec
from simulators.framing import FramingError, framed
from simulators.line import CONTROL

if TYPE_CHECKING:
    from frontends.profile import Profile
    from qianzhi.link.tables import Site

TOGETHER, ALONE, SLOWLY = 48, 12, 3  # frames in a batch of each way
LEFT_OPEN_MAX = 6
FRESH_BATCHES = 20  # after so many batches the messages to be mutated are made anew
SLOW_BYTES_MAX = 1_500
MASKED_BYTES_MAX = 400
GREETING = b"\xff" + bytes(7) + b"\x01\x7f\x03\x00" + b"NULL".ljust(20, b"\0") + bytes(32)
READY = b"\x04\x1c\x05READY\x0bSocket-Type\x00\x00\x00\x06DEALER"


class Strokes:
    """The four ways in which bytes reach a socket, and the connections that are still open for them."""

    def __init__(self, address: tuple[str, int], opening: bytes = b"") -> None:
        """After `opening` the other side speaks first; what comes together with it may never be read."""
        self._address, self._opening = address, opening
        self._brief: list[socket.socket] = []  # until the next batch: the customer is answered before
        self._left: list[socket.socket] = []

    def alone(self, wires: list[bytes], chance: Random) -> None:
        """Send each on a connection of its own, all of them open at once."""
        self._end_brief()
        opened = []
        for wire in wires:
            with contextlib.suppress(OSError):
                self._brief.append(dial(self._address))
                begun = wire.startswith(self._opening)
                self._brief[-1].sendall(self._opening if begun else wire)
                opened.append((self._brief[-1], wire[len(self._opening) :] if begun else b""))
        for line, rest in opened:
            with contextlib.suppress(OSError):
                self._hear_opening(line, rest)
                line.sendall(rest)
                if not chance.randrange(2):
                    line.shutdown(socket.SHUT_WR)

    def slowly(self, wire: bytes, chance: Random) -> None:
        """Send on one connection, byte by byte at first."""
        self._end_brief()
        with contextlib.suppress(OSError):
            line = dial(self._address)
            self._brief.append(line)
            for piece in slices(wire[: len(self._opening)], chance):
                line.sendall(piece)
            self._hear_opening(line, wire[len(self._opening) :])
            for piece in slices(wire[len(self._opening) :], chance):
                line.sendall(piece)

    def unfinished(self, wires: list[bytes], chance: Random) -> None:
        """Begin frames and leave them; the oldest such connections are given up."""
        for wire in wires:
            with contextlib.suppress(OSError):
                line = dial(self._address)
                self._left.append(line)
                line.sendall(wire[: chance.randrange(len(wire) + 1)])
        while len(self._left) > LEFT_OPEN_MAX:
            self._left.pop(0).close()

    def close(self) -> None:
        """Close everything with resets."""
        self._end_brief()
        for line in self._left:
            line.close()
        self._left.clear()

    def _hear_opening(self, line: socket.socket, rest: bytes) -> None:
        """Read what the other side opens with, as long as ours, before the rest is sent.

        And the first byte of what it says next: only then is it sure to have read ours to its end.
        """
        left = len(self._opening) + 1 if rest and self._opening else 0
        while left:
            heard = len(line.recv(left))
            if not heard:
                raise ConnectionResetError("closed while opening")
            left -= heard

    def _end_brief(self) -> None:
        for line in self._brief:
            line.close()
        self._brief.clear()


class Bank:
    """What all ports of banks have: a customer, and frames made from the messages of the same line."""

    def __init__(self, profile: "Profile", site: "Site", config: Path, endpoint: str, vectors: Path) -> None:
        self.name = f"{profile.name}-{endpoint}"
        self.daemon = f"front-{profile.name}-1"
        self.profile = profile
        self.customer = Customer(profile, site, config, endpoint)
        self._frames = Frames(profile, bank_codec(profile.spec), vectors)
        self._batches = itertools.count()

    def make(self, chance: Random, count: int) -> list[Made]:
        """Return frames, made from messages of now and from the vectors."""
        frames = self._frames
        frames.key = self.customer.line.session.key
        if next(self._batches) % FRESH_BATCHES == 0:
            frames.fresh = self._fresh()
        return frames.take(count, chance)

    def ask(self) -> None:
        """Ask as the customer; raises OSError."""
        self.customer.ask()

    def read(self, counters: dict[str, float]) -> int:
        """Return how many frames the front-end has read so far, those among them that were none."""
        found = 0.0
        for name, value in counters.items():
            if name.startswith("qianzhi_queue_messages_total"):
                found += value if 'what="read"' in name else 0
            elif name.startswith("qianzhi_connections_closed_total"):
                found += value if "bad_frame" in name or "closed_in_frame" in name else 0
            elif name.startswith("qianzhi_frames_total"):
                found += value if 'direction="in"' in name and self.profile.transport.kind == "socket" else 0
        return int(found)

    def masked(self, frame: bytes) -> str:
        """Return the hex of a frame as the platform's own codec masks it."""
        return self.profile.codec.mask(frame[:MASKED_BYTES_MAX]).hex()

    def _fresh(self) -> list[tuple[dict[str, Any], bytes]]:
        found = []
        line = self.customer.line
        for kind in sorted(kinds_of(self.profile)) * 2:
            ask = self.customer.asking(kind)
            with contextlib.suppress(BankCodecError):
                message = line.message_of(ask, clock.now())
                found.append((message, line.frame_of(message)))
            line.forget([ask.ticket])
        return found


class SocketBank(Bank):
    """A bank's listening socket."""

    def __init__(self, profile: "Profile", site: "Site", config: Path, endpoint: str, vectors: Path) -> None:
        super().__init__(profile, site, config, endpoint, vectors)
        self._address = parse_address(site.banks[profile.name].listen)
        self._short = profile.transport.connection == "short"
        self._hears = profile.session.keys == "ours" and profile.session.delivery == "message"
        self._bytes_max = profile.frame.frame_bytes_max
        self._rejects = "header" in profile.spec  # what cannot be read is sent back, and the line stays
        self._line: LongDoor | None = None
        self._strokes = Strokes(self._address)
        self._ways: list[Callable[[Random], list[Made]]] = [self._alone] * 6 + [
            self._slowly,
            self._unfinished,
        ]
        self._ways += [self._alone if self._short else self._together] * 12

    def strike(self, chance: Random) -> list[Made]:
        """Send one batch."""
        return chance.choice(self._ways)(chance)

    def repeat(self, frames: list[Made]) -> None:
        """Send frames again, each on a connection of its own."""
        self._strokes.alone([made.wire for made in frames], Random(1))

    def close(self) -> None:
        """Close everything."""
        self._strokes.close()
        self._end_line()
        self.customer.close()

    def _wire(self, body: bytes) -> bytes:
        try:
            return framed(self.profile.frame, body)
        except FramingError:
            return body

    def _made(self, chance: Random, count: int) -> list[Made]:
        made = self.make(chance, count)
        for one in made:
            one.wire = self._wire(one.data)
        return made

    def _together(self, chance: Random) -> list[Made]:
        """Send all on one connection; a length that lies comes last, for nothing behind it is read."""
        self._hear()
        made = [one for one in self._made(chance, TOGETHER) if len(one.data) <= self._bytes_max]
        if not chance.randrange(4):
            self._break_length(made[-1], chance)
        fatal = [one for one in made[:-1] if self._ends_line(one.data)]
        with contextlib.suppress(OSError):
            if self._line is None:
                self._line = LongDoor(self._address, self.profile)
            self._line.socket.settimeout(5)
            self._line.socket.sendall(b"".join([one.wire for one in made if one not in fatal]))
        self._strokes.alone([one.wire for one in fatal], chance)
        return made

    def _ends_line(self, body: bytes) -> bool:
        """Whether a line is hung up after such a frame, so that those behind it would never be read."""
        if self._rejects or not body:
            return False
        try:
            self.profile.codec.decode(body)
        except RemoteProtocolError:
            return True
        return False

    def _alone(self, chance: Random) -> list[Made]:
        made = self._made(chance, ALONE * (2 if self._short else 1))
        for one in made:
            if not chance.randrange(6):
                self._break_length(one, chance)
        self._strokes.alone([one.wire for one in made], chance)
        return made

    def _slowly(self, chance: Random) -> list[Made]:
        made = [one for one in self._made(chance, SLOWLY * 4) if len(one.data) < SLOW_BYTES_MAX]
        made = made[: 1 if self._short else SLOWLY]
        self._strokes.slowly(b"".join([one.wire for one in made]), chance)
        return made

    def _unfinished(self, chance: Random) -> list[Made]:
        made = self._made(chance, 2)
        self._strokes.unfinished([one.wire for one in made], chance)
        return made

    def _break_length(self, made: Made, chance: Random) -> None:
        made.wire = broken_lengths(self.profile, made.data, chance)
        made.how += ", wrong length"

    def _hear(self) -> None:
        """Read what the batches before were answered: who does not read is read from no more.  A key may be
        among it.
        """
        try:
            while self._line is not None and select.select([self._line.socket], [], [], 0)[0]:
                frames = self._line.hear(0)
                if self._hears:
                    self._line.say([one.frame for one in self.customer.take(frames)])
        except (OSError, FramingError):
            self._end_line()

    def _end_line(self) -> None:
        if self._line is not None:
            self._line.close()
        self._line = None


class QueueBank(Bank):
    """One of a bank's direct queues: messages of any parts, and bytes beneath them."""

    def __init__(self, profile: "Profile", site: "Site", config: Path, endpoint: str, vectors: Path) -> None:
        super().__init__(profile, site, config, endpoint, vectors)
        place = site.banks[profile.name]
        self._endpoint = place.control if endpoint == CONTROL else place.listen
        self._strokes = Strokes(parse_address(self._endpoint.partition("://")[2]), GREETING)
        self._door: QueueDoor | None = None
        self._bytes_max = READ_FACTOR * profile.frame.frame_bytes_max  # more ends a connection unread
        self._ways: list[Callable[[Random], list[Made]]] = [self._together] * 12 + [self._alone] * 6
        self._ways += [self._slowly, self._unfinished]

    def strike(self, chance: Random) -> list[Made]:
        """Send one batch."""
        return chance.choice(self._ways)(chance)

    def repeat(self, frames: list[Made]) -> None:
        """Send frames again, each on a connection of its own."""
        self._strokes.alone([made.wire for made in frames], Random(1))

    def close(self) -> None:
        """Close everything."""
        self._strokes.close()
        if self._door is not None:
            self._door.close()
        self.customer.close()

    def _made(self, chance: Random, count: int) -> list[Made]:
        made = self.make(chance, count)
        for one in made:
            one.parts = _parts(one.data, chance)
            one.wire = GREETING + READY + b"".join([*map(_zmtp, one.parts, _mores(one.parts))])
        return made

    def _together(self, chance: Random) -> list[Made]:
        made = self._made(chance, TOGETHER)
        if self._door is None:
            self._door = QueueDoor(self._endpoint)
        self._door.hear(0)
        fatal = [one for one in made if max(map(len, one.parts)) > self._bytes_max]
        for one in made:
            if one not in fatal:
                self._door.parts(one.parts)
        self._strokes.alone([one.wire for one in fatal], chance)
        return made

    def _alone(self, chance: Random) -> list[Made]:
        made = self._made(chance, ALONE)
        for one in made:
            if not chance.randrange(6):
                one.wire = _spoilt(one.wire, chance)
                one.how += ", spoilt beneath"
        self._strokes.alone([one.wire for one in made], chance)
        return made

    def _slowly(self, chance: Random) -> list[Made]:
        made = [one for one in self._made(chance, SLOWLY * 4) if len(one.wire) < SLOW_BYTES_MAX][:1]
        self._strokes.slowly(b"".join([one.wire for one in made]), chance)
        return made

    def _unfinished(self, chance: Random) -> list[Made]:
        made = self._made(chance, 2)
        self._strokes.unfinished([one.wire for one in made], chance)
        return made


def _parts(body: bytes, chance: Random) -> list[bytes]:
    """Return a message of the queue: an id and a body as a rule, anything else now and then."""
    name = b"%x" % chance.getrandbits(64)
    odd = chance.randrange(120)
    if odd > 4:
        return [name, body]
    return [[body], [name, body, body], [b"", body], [chance.randbytes(65), body], [name, b""]][odd]


def _mores(parts: list[bytes]) -> list[bool]:
    return [True] * (len(parts) - 1) + [False]


def _zmtp(part: bytes, more: bool) -> bytes:
    if len(part) < 256:
        return bytes((int(more), len(part))) + part
    return bytes((int(more) | 2,)) + len(part).to_bytes(8, "big") + part


def _spoilt(wire: bytes, chance: Random) -> bytes:
    """Turn a few bits of greeting, READY and sizes, or of what follows."""
    data = bytearray(wire)
    for _ in range(chance.randint(1, 4)):
        data[chance.randrange(chance.choice((12, 64, 100, len(data))) if len(data) > 100 else len(data))] ^= (
            1 << chance.randrange(8)
        )
    return bytes(data)
