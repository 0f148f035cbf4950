"""A bank's end of a live port, one blocking call at a time: doors to the port, and a customer who behaves.

Door       frames out, frames in: one long connection, a connection for each message, or a direct queue
Customer   asks as the bank's own programs do, and measures how long each answer takes
"""

import itertools
import select
import socket
import struct
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import zmq

from qianzhi.domain.dates import business_date
from qianzhi.domain.requests import Kind, Request
from qianzhi.domain.results import Result
from qianzhi.link.site import parse_address
from qianzhi.runtime import clock
from simulators.bank_line import BankLine, kinds_of
from simulators.framing import Cutter, FramingError, framed
from simulators.line import CONTROL, Incoming, Outgoing
from simulators.lines import LineMaker
from simulators.record import Ask
from simulators.state_file import StateFile

if TYPE_CHECKING:
    from frontends.profile import Profile
    from qianzhi.link.tables import Site

ANSWER_SECONDS = 5.0
READ_BYTES = 65_536
PHONES = 40  # of those that are seeded, the 49th is the first that is closed
CARD = "6222000000000000018"  # a test range's number
NO_LINGER = struct.pack("ii", 1, 0)  # close with a reset: ports are free again at once
_sources = itertools.count(1)


def dial(address: tuple[str, int]) -> socket.socket:
    """Connect from one of many loopback addresses, so that near ends never run out."""
    made = socket.socket()
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NO_LINGER)
    made.setsockopt(socket.IPPROTO_IP, getattr(socket, "IP_BIND_ADDRESS_NO_PORT", 24), 1)
    made.bind((f"127.0.1.{next(_sources) % 250 + 1}", 0))
    made.settimeout(ANSWER_SECONDS)
    made.connect(address)
    return made


class Door(Protocol):
    """One way to a port."""

    def say(self, frames: list[bytes]) -> None:
        """Send whole frames, without the transport's length; raises OSError."""

    def hear(self, seconds: float) -> list[bytes]:
        """Return frames that came, none when `seconds` passed; raises OSError when the line is gone."""

    def close(self) -> None:
        """Close at once."""


class LongDoor:
    """One connection for all messages."""

    def __init__(self, address: tuple[str, int], profile: "Profile") -> None:
        self._frame = profile.frame
        self._cutter = Cutter(profile.frame)
        self.socket = dial(address)

    def say(self, frames: list[bytes]) -> None:
        """Send whole frames; raises OSError."""
        self.socket.settimeout(ANSWER_SECONDS)
        self.socket.sendall(b"".join([framed(self._frame, frame) for frame in frames]))

    def hear(self, seconds: float) -> list[bytes]:
        """Return what one read completes; raises OSError when the other side has closed."""
        self.socket.settimeout(max(seconds, 0.0005))
        try:
            data = self.socket.recv(READ_BYTES)
        except TimeoutError:
            return []
        if not data:
            raise ConnectionResetError("closed by the other side")
        return self._cutter.receive(data)

    def close(self) -> None:
        """Close with a reset."""
        self.socket.close()


class ShortDoor:
    """A connection for each message."""

    def __init__(self, address: tuple[str, int], profile: "Profile") -> None:
        self._address, self._frame = address, profile.frame
        self._open: dict[socket.socket, Cutter] = {}

    def say(self, frames: list[bytes]) -> None:
        """Send each frame on a connection of its own; raises OSError."""
        for frame in frames:
            made = dial(self._address)
            self._open[made] = Cutter(self._frame)
            made.sendall(framed(self._frame, frame))

    def hear(self, seconds: float) -> list[bytes]:
        """Return the answers that came; a connection without one brings none."""
        frames: list[bytes] = []
        for made in select.select(list(self._open), [], [], max(seconds, 0.0))[0]:
            cutter = self._open[made]
            try:
                data = made.recv(READ_BYTES)
                found = cutter.receive(data) if data else cutter.end()
            except (OSError, FramingError):
                data, found = b"", []
            frames += found
            if found or not data:
                del self._open[made]
                made.close()
        return frames

    def close(self) -> None:
        """Close all with resets."""
        for made in self._open:
            made.close()
        self._open.clear()


class QueueDoor:
    """One DEALER socket; every message gets an id of its own."""

    def __init__(self, endpoint: str) -> None:
        self.socket: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.DEALER)
        self.socket.setsockopt(zmq.LINGER, 0)
        self.socket.setsockopt(zmq.SNDTIMEO, int(ANSWER_SECONDS * 1000))
        self.socket.connect(endpoint)
        self._ids = itertools.count(clock.now().mono_us)

    def say(self, frames: list[bytes]) -> None:
        """Send messages; raises OSError when the queue takes nothing any more."""
        for frame in frames:
            self.parts([b"%x" % next(self._ids), frame])

    def parts(self, parts: list[bytes]) -> None:
        """Send one message of any parts; raises OSError."""
        try:
            self.socket.send_multipart(parts)
        except zmq.ZMQError as error:
            raise OSError(str(error)) from error

    def hear(self, seconds: float) -> list[bytes]:
        """Return the bodies of answers that came."""
        bodies: list[bytes] = []
        if self.socket.poll(max(0, int(seconds * 1000))):
            while self.socket.poll(0):
                bodies += self.socket.recv_multipart()[1:]
        return bodies

    def close(self) -> None:
        """Close at once."""
        self.socket.close(linger=0)


def open_door(profile: "Profile", site: "Site", endpoint: str) -> Door:
    """Return a door of the kind that the profile's line has; `endpoint` is MAIN or CONTROL."""
    place = site.banks[profile.name]
    if profile.transport.kind == "queue":
        return QueueDoor(place.control if endpoint == CONTROL else place.listen)
    address = parse_address(place.listen)
    return (ShortDoor if profile.transport.connection == "short" else LongDoor)(address, profile)


class Told(NamedTuple):
    """One question and its answer: `result` is None for none, or for a code without a meaning."""

    result: Result | None
    wait_us: int
    code: str


class Customer:
    """Whoever keeps to the rules on a port; `line` knows the session, and `endpoint` the queue."""

    def __init__(
        self,
        profile: "Profile",
        site: "Site",
        config: Path,
        endpoint: str,
        line: BankLine | None = None,
        serials: Callable[[], int] | None = None,
    ) -> None:
        self._profile, self._site, self._endpoint = profile, site, endpoint
        self._serials = serials or itertools.count(1).__next__
        maker = LineMaker(profile, config, StateFile(Path(site.data), profile.name), production=False)
        self.line = line or maker.make(self._serials)
        self._tickets = itertools.count(1)
        self._door: Door | None = None
        self._money = Kind.RECHARGE in kinds_of(profile)
        self.tried = 0  # questions that were answered by "sign on first" or "wrong MAC"

    def ask(self, *, kind: Kind | None = None) -> Told:
        """Ask once; without transactions of the bank's it is an echo.  Raises OSError when there is no line
        or no answer.
        """
        if not self._money:
            return self._echo()
        if not self.line.ready:
            self._open_session()
        chosen = kind or (Kind.STATUS if self._endpoint == CONTROL else Kind.RECHARGE)
        ask = self.asking(chosen)
        now = clock.now()
        frames = [out.frame for out in self.line.carry([ask], now)]
        start_us = clock.now().mono_us
        self._say(frames)
        told = self._wait_for(ask.ticket, start_us)
        self.tried += told.result in (Result.NOT_SIGNED_ON, Result.BAD_MAC)
        return told

    def asking(self, kind: Kind) -> Ask:
        """Return one question of this kind, as the bank asks it now."""
        now = clock.now()
        date = business_date(now.wall_us, self._profile.mapping.zone)
        ticket, number = next(self._tickets), self._serials()
        serial = self.line.serial_text(number, date)
        own = kind in (Kind.STATUS, Kind.REVERSAL)
        request = Request(
            kind=kind,
            space=self._profile.space,
            date=date,
            serial=serial,
            bank=self._profile.name,
            bank_number=self._profile.numbers[number % len(self._profile.numbers)],
            phone=f"138{number % PHONES + 1:08d}",
            amount_fen=1000 if kind in (Kind.RECHARGE, Kind.PAY, Kind.REVERSAL, Kind.TOTALS) else 0,
            bill="0" * 8 if kind is Kind.PAY else "",
            own_serial=self.line.serial_text(self._serials(), date) if own else "",
        )
        return Ask(ticket, request, now.wall_us, now.wall_us, CARD)

    def take(self, frames: list[bytes]) -> list[Outgoing]:
        """Let the line read frames that came on another connection of the bank; return what it says there."""
        _, out = self.line.on_frames([Incoming(frame) for frame in frames], clock.now())
        self.line.take_key()
        return out

    def close(self) -> None:
        """Close the connection; the session is the line's and stays."""
        if self._door is not None:
            self._door.close()
            self._door = None

    def _echo(self) -> Told:
        table = self._profile.table.management
        name = "echo" if "echo" in table else "sign_on"
        serial, out = self.line.manage(name, clock.now())
        start_us = clock.now().mono_us
        self._say([one.frame for one in out])
        while not self.line.management_code(serial):
            self._turn(start_us)
        code = self.line.management_code(serial)
        return Told(self._profile.results.result_of(code), clock.now().mono_us - start_us, code)

    def _open_session(self) -> None:
        start_us = clock.now().mono_us
        self._say([out.frame for out in self.line.on_connected(clock.now())])
        while not self.line.ready:
            self._turn(start_us)

    def _wait_for(self, ticket: int, start_us: int) -> Told:
        while True:
            for heard in self._turn(start_us):
                if heard.ticket == ticket:
                    return Told(heard.result, clock.now().mono_us - start_us, heard.code)

    def _turn(self, start_us: int) -> list[Any]:
        """Wait for frames and let the line take them; raises TimeoutError when patience is over."""
        left = ANSWER_SECONDS - (clock.now().mono_us - start_us) / 1_000_000
        if left <= 0:
            raise TimeoutError(f"no answer in {ANSWER_SECONDS:g} s")
        door = self._the_door()
        try:
            frames = door.hear(min(left, 0.5))
        except (OSError, FramingError) as error:
            self.close()
            raise ConnectionResetError(f"the line is gone: {error}") from error
        heard, out = self.line.on_frames([Incoming(frame) for frame in frames], clock.now())
        self.line.take_key()
        out += self.line.on_time(clock.now())
        self._say([one.frame for one in out])
        return heard

    def _say(self, frames: list[bytes]) -> None:
        if not frames:
            return
        try:
            self._the_door().say(frames)
        except OSError:
            self.close()
            raise

    def _the_door(self) -> Door:
        if self._door is None:
            self._door = open_door(self._profile, self._site, self._endpoint)
        return self._door
