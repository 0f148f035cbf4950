"""How a simulated bank reaches its fronts: long and short connections, and the queues of a broker.  Pure.

Frames are cut and made by the banks' own framing, so that both ends of a line do not share one bug.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from qianzhi.runtime.now import SECOND_US
from simulators.framing import Cutter, FramingError, framed
from simulators.line import CONTROL, Incoming, Outgoing
from simulators.world.parts import Lines, Message, Wire
from simulators.world.process import Process

if TYPE_CHECKING:
    from frontends.profile import Profile  # it reads files; its shape alone is used here

REDIAL_US = SECOND_US
EXPIRY_US = 30 * SECOND_US  # of a message with money in it; reversals and queries never expire


class Owner(Protocol):
    """Whose line it is."""

    def connected(self, line: int) -> None:
        """The line stands."""

    def lost(self, line: int) -> None:
        """The line is gone."""

    def came(self, line: int, items: list[Incoming]) -> None:
        """Whole frames have come."""


class LineEnd(Protocol):
    """The bank's end of one line."""

    def open(self) -> None:
        """Connect, and stay connected."""

    def send(self, items: list[Outgoing]) -> None:
        """Put frames on the line."""


Make = Callable[[Process, Owner, "Profile", Lines, int], LineEnd]


class LongLine:
    """One connection to one front, dialled again whenever it is gone."""

    def __init__(self, process: Process, owner: Owner, profile: "Profile", lines: Lines, number: int) -> None:
        self._process = process
        self._owner = owner
        self._spec = profile.frame
        self._proved = profile.mac is not None
        self._address = lines.addresses[number]
        self._dial = lines.dial
        self._number = number
        self._wire: Wire | None = None
        self._cutter = Cutter(self._spec)

    def open(self) -> None:
        """Dial."""
        self._dial(self._process, self._address, self)

    def send(self, items: list[Outgoing]) -> None:
        """Say each frame; where there is no connection they are lost."""
        if self._wire is not None:
            for item in items:
                self._wire.say(framed(self._spec, item.frame), self._proved)

    def on_open(self, wire: Wire) -> None:
        """The connection stands."""
        self._wire, self._cutter = wire, Cutter(self._spec)
        self._owner.connected(self._number)

    def on_data(self, wire: Wire, data: bytes) -> None:
        """Take bytes; what is no frame of ours ends the connection."""
        try:
            frames = self._cutter.receive(data)
        except FramingError:
            wire.close()
            self.on_shut(wire, "framing")
            return
        if frames:
            self._owner.came(self._number, [Incoming(frame) for frame in frames])

    def on_shut(self, wire: Wire | None, reason: str) -> None:
        """Dial again."""
        if wire is not self._wire:
            return
        had, self._wire = self._wire is not None, None
        if had:
            self._owner.lost(self._number)
        self._process.later(REDIAL_US, "redial", self.open)


class ShortLine:
    """A connection for each frame."""

    def __init__(self, process: Process, owner: Owner, profile: "Profile", lines: Lines, number: int) -> None:
        self._process = process
        self._owner = owner
        self._spec = profile.frame
        self.proved = profile.mac is not None
        self._address = lines.addresses[number]
        self._dial = lines.dial
        self._number = number

    def open(self) -> None:
        """Nothing stands between messages."""
        self._owner.connected(self._number)

    def send(self, items: list[Outgoing]) -> None:
        """Dial for each frame."""
        for item in items:
            self._dial(self._process, self._address, _Exchange(self, item))

    def said(self, item: Outgoing) -> bytes:
        """Return a frame as it goes onto the wire."""
        return framed(self._spec, item.frame)

    def cutter(self) -> Cutter:
        """Return what cuts the answer."""
        return Cutter(self._spec)

    def answered(self, item: Outgoing, frames: list[bytes]) -> None:
        """Take the answer that one connection brought."""
        self._owner.came(self._number, [Incoming(frames[0], item.ticket)])


class _Exchange:
    """One connection: one frame out, one frame in."""

    def __init__(self, line: ShortLine, item: Outgoing) -> None:
        self._line = line
        self._item = item
        self._cutter = line.cutter()
        self._frames: list[bytes] = []

    def on_open(self, wire: Wire) -> None:
        wire.say(self._line.said(self._item), self._line.proved)

    def on_data(self, wire: Wire, data: bytes) -> None:
        try:
            self._frames += self._cutter.receive(data)
        except FramingError:
            wire.close()
            return
        if self._frames:
            wire.close()
            self._end()

    def on_shut(self, wire: Wire | None, reason: str) -> None:
        try:
            self._frames += self._cutter.end()
        except FramingError:
            return
        self._end()

    def _end(self) -> None:
        frames, self._frames = self._frames, []
        if frames:
            self._line.answered(self._item, frames)


class QueueLine:
    """The broker's main queue and its control queue; answers come to a queue of the bank's own."""

    def __init__(self, process: Process, owner: Owner, profile: "Profile", lines: Lines, number: int) -> None:
        self._process = process
        self._owner = owner
        self._lines = lines
        self._number = number
        self._reply_to = f"reply/{process.name}"
        control = "" if profile.transport.one_queue else ".ctl"
        self._control = f"{lines.queue}{control}"

    def open(self) -> None:
        """Hear what comes."""
        if self._lines.broker is not None:
            self._lines.broker.consume(self._process, self._reply_to, self._take)
        self._owner.connected(self._number)

    def send(self, items: list[Outgoing]) -> None:
        """Publish each frame; one that the broker refuses counts as not answered."""
        if self._lines.broker is None:
            return
        for item in items:
            priority = item.endpoint == CONTROL
            ticket = b"%d" % item.ticket
            message = Message(
                item.frame,
                ticket,
                self._reply_to,
                ticket,
                0 if priority else self._process.now.wall_us + EXPIRY_US,
            )
            queue = self._control if priority else self._lines.queue
            self._lines.broker.publish(self._process, queue, message, _ignore)

    def _take(self, message: Message) -> None:
        ticket = message.correlation
        if ticket.isdigit():
            self._owner.came(self._number, [Incoming(message.body, int(ticket))])


def _ignore(_taken: bool) -> None:
    """Whether the broker has taken it or not, the bank's patience decides."""


def line_maker(profile: "Profile") -> Make:
    """Return what makes the bank's end of a line of this profile."""
    if profile.transport.kind == "queue":
        return QueueLine
    return ShortLine if profile.transport.connection == "short" else LongLine
