"""A front-end daemon in the simulated world: its real core between a model line and a model network.  Pure.

`FrontProcess` is what all fronts have: link, event file, rows.  `SocketFront` adds the bank's connections as
`frontends.socket_front` has them; the queue's line is `queue_front`'s.
"""

from collections.abc import Hashable, Sequence
from itertools import count
from typing import TYPE_CHECKING, Any, NamedTuple

from frontends.front import DONE, TO_BANK, Frame
from frontends.front_core import make_processor
from frontends.limits import run_of
from frontends.processor import Processor
from qianzhi.link.events import Hello, LinkEvent, deliver
from qianzhi.link.hop import Hop, HopLimits
from qianzhi.runtime.effects import Close, Effects, Load, Pause, Record, Send, Store, Withheld
from qianzhi.runtime.now import SECOND_US
from qianzhi.wire.errors import RemoteProtocolError
from qianzhi.wire.framing import FrameReader, frame
from simulators.world.disk import Disk, LineRows, StoreLine, Told
from simulators.world.faults import Fault
from simulators.world.kernel import Kernel
from simulators.world.link_end import LinkEnd
from simulators.world.network import Network
from simulators.world.parts import Wire
from simulators.world.process import Process, Waker

if TYPE_CHECKING:
    from frontends.profile import Profile  # it reads files; its shape alone is used here

READ_US = 250  # in which what arrives is read as one list
ANSWER_SPARE_SECONDS = 5  # as `frontends.socket_front`
CLOSE_US = 40


class Setup(NamedTuple):
    """What a front-end daemon is given: the same in every life.

    `address` is where its bank dials; `rows` are its line's, shared with the bank's other fronts.
    """

    profile: "Profile"
    keys: dict[str, bytes]
    nodes: Sequence[str]
    rows: LineRows
    window: int = 400
    run: int = 2


class FrontProcess(Process):
    """The part that every front has; a subclass carries the bank's line."""

    core: Processor
    link: LinkEnd

    def __init__(
        self, kernel: Kernel, name: str, network: Network, disk: Disk, setup: Setup, mono_us: int = 0
    ) -> None:
        super().__init__(kernel, name, mono_us)
        self.network = network
        self.disk = disk
        self.setup = setup
        self.profile = setup.profile
        self.tear = disk.tear
        self.handlers = {
            Record: lambda effect: disk.append(name, effect.rows),
            Send: self._send,
            Close: lambda effect: self.close_source(effect.to, effect.reason),
            Pause: lambda effect: self.pause(effect.paused),
            Withheld: lambda effect: self.withhold(effect.send),
            Store: self._store,
            Load: lambda effect: self._rows.load(),
        }

    def begin(self) -> None:
        """Read the rows, build the core, dial the nodes, open the line."""
        setup, now = self.setup, self.now
        self._dice = self.kernel.dice(f"{self.name}/{self.life}")
        run = run_of(setup.run, self.profile.limits, len(setup.nodes))
        hop = Hop(HopLimits(window=setup.window, run=run), setup.nodes, count(now.wall_us))
        self.core = make_processor(self.profile, setup.keys, setup.rows.saved, hop, self.name, now)
        outward = (self.profile.outward.terms,) if self.profile.outward is not None else ()
        hello = Hello(
            self.name,
            "front",
            banks=(self.profile.name,),
            numbers=tuple(self.profile.numbers),
            outward=outward,
        )
        self.link = LinkEnd(self, self.network, lambda: hello, self._on_link)
        core = self.core
        told = Told(
            stored=lambda token: self.run(core.on_stored(token, self.now)),
            conflict=lambda token, saved: self.run(core.on_conflict(token, saved, self.now)),
            loaded=lambda saved: self.run(core.on_loaded(saved, self.now)),
            looked=lambda saved: self.run(core.on_looked(saved, self.now)),
            trouble=lambda why: self.run(core.on_store_trouble(why, self.now)),
        )
        self._rows = StoreLine(self, self.disk, setup.rows, told, looks=self.profile.shares_rows)
        Waker(self, "front time", lambda: core.deadline, lambda: self.run(core.on_time(self.now)))
        self._top_up()
        for node in setup.nodes:
            self.link.dial(node)
        self.open_line()

    def ended(self) -> None:
        """Drop its connections."""
        self._rows.died()
        self.network.died(self)

    def drain(self, draining: bool) -> None:
        """Take nothing new, or take it again."""
        if self.up and not self.frozen:
            self.run(self.core.drain(draining, self.now))

    def run(self, effects: Effects) -> None:
        """Carry out what the core wants done."""
        super().run(effects)
        if self.up:
            self.core.take_times()

    # -- what the line does; a subclass says

    def open_line(self) -> None:
        """Listen, or consume."""
        raise NotImplementedError

    def send_to_bank(self, items: list[tuple[Any, bytes]]) -> None:
        """Send answers."""
        raise NotImplementedError

    def finish(self, send: Send) -> None:
        """Carry out what is sent neither to the bank nor to a node."""
        raise NotImplementedError

    def withhold(self, send: Send) -> None:
        """What rests on a record that could not be written is not sent."""
        raise NotImplementedError

    def close_source(self, source: Hashable, reason: str) -> None:
        """Close a connection of the bank."""
        raise NotImplementedError

    def pause(self, paused: bool) -> None:
        """Stop or go on consuming."""

    # -- parts

    def _send(self, effect: Send) -> None:
        if isinstance(effect.to, tuple):
            self.link.send(str(effect.to[1]), effect.items)
        elif effect.to == TO_BANK:
            for observer in self.kernel.observers:
                for _, body in effect.items:
                    observer.on_frame_out(self.profile.name, self.name, body)
            self.send_to_bank(effect.items)
        else:
            self.finish(effect)

    def take(self, frames: list[Frame]) -> None:
        """Give the core frames of one wake-up."""
        for observer in self.kernel.observers:
            for one in frames:
                observer.on_frame_in(self.profile.name, self.name, one.body)
        self.run(self.core.on_frames(frames, self.now))

    def _store(self, effect: Store) -> None:
        self._rows.write(effect.token, effect.rows)
        self._top_up()

    def _top_up(self) -> None:
        wanted = self.core.random_wanted
        if wanted:
            self.core.add_random(self._dice.bytes(wanted))

    def _on_link(self, items: list[tuple[str, LinkEvent]]) -> None:
        self.run(deliver(self.core, items, self.now))

    def begin_fault(self, fault: Fault) -> None:
        """A front's own faults are the processes'."""

    def end_fault(self, fault: Fault) -> None:
        """A front's own faults are the processes'."""


class SocketFront(FrontProcess):
    """A front whose bank dials it."""

    def open_line(self) -> None:
        """Listen at `line/NAME`."""
        self._conns: dict[int, tuple[Wire, FrameReader]] = {}
        self._inbox: list[tuple[int, bytes]] = []
        self._short = self.profile.transport.connection == "short"
        self._proved = self.profile.mac is not None
        socket = self.profile.socket
        self._partial_us = int((socket.partial_seconds if socket else 10) * SECOND_US)
        self._measure = self.profile.codec.measure if self.profile.frame.kind == "message" else None
        self.network.listen(self, f"line/{self.name}", self)

    def on_open(self, wire: Wire) -> None:
        """The bank has connected."""
        self._conns[wire.number] = (wire, FrameReader(self.profile.frame, self._measure))
        if self._short:
            seconds = self.profile.limits.reply_seconds + ANSWER_SPARE_SECONDS
            self.later(int(seconds * SECOND_US), "short over", self._close, wire.number, "short")
        self.run(self.core.on_connected(wire.number, "127.0.0.1:1", self.now))

    def on_data(self, wire: Wire, data: bytes) -> None:
        """Keep what came for the wake-up that is to follow."""
        if not self._inbox:
            self.later(READ_US, "read", self._read)
        self._inbox.append((wire.number, data))

    def on_shut(self, wire: Wire | None, reason: str) -> None:
        """The bank's connection is gone."""
        if wire is not None and self._conns.pop(wire.number, None) is not None:
            self.run(self.core.on_closed(wire.number, reason, self.now))

    def _read(self) -> None:
        items, self._inbox = self._inbox, []
        frames: list[Frame] = []
        for number, data in items:
            known = self._conns.get(number)
            if known is None:
                continue
            reader = known[1]
            try:
                frames += [Frame(number, body) for body in reader.receive_data(data)]
            except RemoteProtocolError:
                self._close(number, "framing")
                continue
            if reader.fault is not None:
                self.later(CLOSE_US, "framing", self._close, number, "framing")
            elif reader.partial:
                self.later(self._partial_us, "partial", self._look_whole, number)
        if frames:
            self.take(frames)

    def _look_whole(self, number: int) -> None:
        """Close a connection whose frame is still not whole."""
        known = self._conns.get(number)
        if known is not None and known[1].partial:
            self._close(number, "partial")

    def send_to_bank(self, items: list[tuple[Any, bytes]]) -> None:
        """Send frames to their connections; one that is gone gets nothing."""
        for number, body in items:
            known = self._conns.get(number)
            if known is not None:
                known[0].say(frame(self.profile.frame, body), self._proved)
            if self._short:
                self._close(number, "answered")

    def finish(self, send: Send) -> None:
        """End the short connection of a frame without an answer."""
        if self._short and send.to == DONE:
            for number in send.items:
                self._close(number, "no_answer")

    def withhold(self, send: Send) -> None:
        """A bank that hears nothing asks again."""
        if self._short and send.to == TO_BANK:
            for number, _ in send.items:
                self._close(number, "withheld")

    def close_source(self, source: Hashable, reason: str) -> None:
        """Close a connection of the bank."""
        self._close(source, reason)

    def _close(self, number: Any, reason: str) -> None:
        known = self._conns.pop(number, None)
        if known is not None:
            known[0].close()
            self.later(CLOSE_US, "closed", self._closed, number, reason)

    def _closed(self, number: int, reason: str) -> None:
        self.run(self.core.on_closed(number, reason, self.now))
