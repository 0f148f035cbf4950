"""A front-end whose bank asks over a queue, in the simulated world: the daemon's own `QueueFront` between the
real core and the model broker.  Pure.

The small file of who is handled alone lies on the model disk: what stands in it when the process dies is what
the next one reads, and that may be a part of it.
"""

from collections.abc import Callable, Hashable
from typing import Any

from bankmq.queue import Delivery
from frontends.alone_core import AloneCore
from frontends.flights import rooms
from frontends.front import Frame
from frontends.limits import share
from frontends.queue_front import QueueFront
from qianzhi.runtime.effects import Effects, Send
from qianzhi.runtime.now import Now
from simulators.world.broker import ModelBroker
from simulators.world.disk import Disk
from simulators.world.front import FrontProcess, Setup
from simulators.world.kernel import Kernel
from simulators.world.network import Network

TURN_US = 20
RESTART_US = 700_000  # until a front that ended over a message is started again


class QueueFrontProcess(FrontProcess):
    """A front on the model broker."""

    def __init__(
        self,
        kernel: Kernel,
        name: str,
        network: Network,
        disk: Disk,
        setup: Setup,
        broker: ModelBroker,
        mono_us: int = 0,
    ) -> None:
        super().__init__(kernel, name, network, disk, setup, mono_us)
        self._broker = broker
        self.alone_file = ""

    def open_line(self) -> None:
        """Consume."""
        ordinary, _ = rooms(share(self.profile.limits.in_flight, self.profile.instances))
        self._server = self._broker.server(self, self.profile.name, max(1, ordinary - 1))
        self._alone = ModelAlone(self)
        core: Any = _Core(self)
        queue = self.profile.name
        self._front = QueueFront(queue, self._server, core, self.run, lambda: self.now, self._alone)
        self._front.start()

    def ended(self) -> None:
        """Drop its connections; what it had of the broker's is given out again."""
        super().ended()
        self.alone_file = self.disk.torn_text(self.alone_file)
        self._server.died()

    def read(self, frames: list[Frame]) -> bool:
        """Frames of one wake-up are read; a poisoned one ends the process over it, and False says so."""
        for one in frames:
            if not one.fault and self._broker.poisoned(one.body):
                self.kill()
                self.kernel.later(RESTART_US, "start again", self.start)
                return False
        for observer in self.kernel.observers:
            for one in frames:
                observer.on_frame_in(self.profile.name, self.name, one.body)
        return True

    def send_to_bank(self, items: list[tuple[Any, bytes]]) -> None:
        """Reply."""
        self._front.send(items)

    def finish(self, send: Send) -> None:
        """Acknowledge, or put aside."""
        self._front.finish(send)

    def withhold(self, send: Send) -> None:
        """Give back."""
        self._front.withhold(send)

    def close_source(self, source: Hashable, reason: str) -> None:
        """A queue has no connection of the bank's."""
        self._front.close(source, reason)

    def pause(self, paused: bool) -> None:
        """Stop or go on consuming the main queue."""
        self._front.pause(paused)


class _Core:
    """The core as the line reaches it: what is read is told to observers, and may be poison."""

    def __init__(self, process: QueueFrontProcess) -> None:
        self._process = process

    def on_frames(self, frames: list[Frame], now: Now) -> Effects:
        return self._process.core.on_frames(frames, now) if self._process.read(frames) else []

    def on_returned(self, sources: list[Hashable], now: Now) -> Effects:
        return self._process.core.on_returned(sources, now)


class ModelAlone:
    """Who is handled alone, one in each turn; stands where `frontends.alone.Alone` stands in a daemon."""

    def __init__(self, process: QueueFrontProcess) -> None:
        self._process = process
        self._life = process.life
        self._core = AloneCore(process.alone_file)
        self._planned = False

    def put_aside(self, items: list[Delivery], handle: Callable[[list[Delivery]], None]) -> list[Delivery]:
        """Return what comes for the first time; the rest is handled alone, from the next turn on."""
        first = self._core.put_aside(items)
        self._plan(handle)
        return first

    def stop(self) -> None:
        """Hand over nothing more."""
        self._core.clear()

    def _plan(self, handle: Callable[[list[Delivery]], None]) -> None:
        if self._core.waiting and not self._planned:
            self._planned = True
            self._process.later(TURN_US, "alone", self._next, handle)

    def _next(self, handle: Callable[[list[Delivery]], None]) -> None:
        self._planned = False
        if not self._core.waiting:
            return
        turn = self._core.take()
        self._plan(handle)
        if turn.suspect:
            self._write()
        handle([turn.delivery])
        if self._process.life == self._life:
            self._core.handled(turn)
            self._write()

    def _write(self) -> None:
        if not self._process.disk.full:
            self._process.alone_file = self._core.written
