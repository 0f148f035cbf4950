"""A process of the simulated world: it lives, dies, stands still and begins anew, and has clocks of its own.

Pure.  Effects are carried out one by one, in their order, and before each of them the process may be killed
or stopped: whatever a core decided, half of it may have happened.  What a process had in memory dies with it;
what it had on a disk, in a database or at a broker belongs to those models.
"""

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from qianzhi.runtime.effects import Effect, Effects, Event, Record, Send, Withheld
from qianzhi.runtime.now import SECOND_US, Now
from simulators.world.kernel import Kernel, Timer
from simulators.world.observe import Violation

Handler = Callable[[Any], None]

SPINS_MAX = 50


class DiskFullError(Exception):
    """A record could not be written; what rests on it must not be told."""


class Process:
    """One process; a subclass says in `begin` how a life starts and in `ended` what goes with it.

    `handlers` maps kinds of effects to what does them; kinds without a handler are ignored (counts, alarms).
    """

    def __init__(self, kernel: Kernel, name: str, mono_us: int = 0) -> None:
        """`mono_us` is what the monotonic clock of its machine shows when the run begins."""
        self.kernel = kernel
        self.name = name
        self.life = 0
        self.up = False
        self.frozen = False
        self.stopped_us = self.thawed_us = -SECOND_US  # the last standstill, on its monotonic clock
        self.offset_us = 0  # of its wall clock, against the true time
        self.kills = 0
        self.handlers: dict[type, Handler] = {}
        self.wakers: list[Waker] = []
        self.tear: Callable[[str, Sequence[Event]], None] | None = None  # its disk's, where it has one
        self._mono_us = mono_us
        self._held: deque[Timer] = deque()
        self._lists: deque[Iterator[Effect]] = deque()
        self._running = False
        self._unwritten = False
        self._fuse = 0
        self._blow: Callable[[], None] = self.kill
        self._begun: Effect | None = None  # over which an armed fault happens

    # -- what a subclass says

    def begin(self) -> None:
        """Start a life: read what is stored, build the cores, listen, dial."""

    def ended(self) -> None:
        """The process is gone: drop its connections.  Nothing may be written here."""

    # -- life and death

    def start(self) -> None:
        """Begin a life, unless it lives."""
        if self.up:
            return
        self.life += 1
        self.up, self.frozen = True, False
        self.begin()

    def kill(self) -> None:
        """End at once, with nothing carried out that was still to be."""
        if not self.up:
            return
        self.kills += 1
        self.life += 1
        self.up = self.frozen = False
        self._fuse = 0
        self._held.clear()
        self._lists.clear()
        self.wakers.clear()
        if isinstance(self._begun, Record) and self.tear is not None:
            self.tear(self.name, self._begun.rows)
        self.kernel.tell(self.name, "killed")
        for observer in self.kernel.observers:
            observer.on_death(self.name)
        self.ended()

    def freeze(self) -> None:
        """Stand still: nothing is read, done or noticed until `thaw`."""
        if self.up and not self.frozen:
            self.frozen, self.stopped_us = True, self.mono_us
            self._fuse = 0
            self.kernel.tell(self.name, "stopped")

    def thaw(self) -> None:
        """Go on where it stopped; all that came due meanwhile comes at once, in its order."""
        if not self.frozen:
            return
        self.frozen, self.thawed_us = False, self.mono_us
        self.kernel.tell(self.name, "goes on")
        life = self.life
        self._carry()
        while self._held and not self.frozen and self.life == life:
            timer = self._held.popleft()
            if timer.call is not None:
                timer.call(*timer.args)

    def arm(self, effects: int, blow: Callable[[], None]) -> None:
        """Let `blow` (kill, freeze) happen before the so many-th effect from now, counted from 1."""
        self._fuse, self._blow = effects, blow

    @property
    def armed(self) -> bool:
        """Whether an armed fault has not happened yet."""
        return self._fuse > 0

    def disarm(self) -> None:
        """Let an armed fault not happen."""
        self._fuse = 0

    def drain(self, draining: bool) -> None:
        """Take nothing new, or take it again; for the processes that can be drained."""

    # -- time

    @property
    def now(self) -> Now:
        """What its clocks show."""
        kernel = self.kernel
        return Now(self._mono_us + kernel.now_us, kernel.epoch_us + kernel.now_us + self.offset_us)

    @property
    def mono_us(self) -> int:
        """What its monotonic clock shows."""
        return self._mono_us + self.kernel.now_us

    def later(self, delay_us: int, label: str, call: Callable[..., None], *args: Any) -> Timer:
        """Call in so many microseconds, in this life only; while it stands still, that waits."""
        kernel = self.kernel
        return kernel.at(kernel.now_us + (delay_us if delay_us > 0 else 0), label, call, args, self)

    def admits(self, timer: Timer) -> bool:
        """Whether a timer may fire now; the kernel asks.  What comes due while it stands still is kept."""
        if timer.life != self.life:
            return False
        if self.frozen:
            self._held.append(timer)
            return False
        return True

    # -- effects

    def run(self, effects: Effects) -> None:
        """Carry effects out in their order, after what is still to be carried out; then look at deadlines."""
        if not self.up:
            return
        if effects:
            self._lists.append(iter(effects))
        if not self._running and not self.frozen:
            self._carry()

    def _carry(self) -> None:
        handlers, lists = self.handlers, self._lists
        life = self.life
        self._running = True
        try:
            while lists:
                for effect in lists[0]:
                    if self._fuse:
                        self._fuse -= 1
                        if not self._fuse:
                            lists[0] = _before(effect, lists[0])
                            self._begun = effect
                            self._blow()
                            self._begun = None
                            break
                    self._do(effect, handlers)
                    if self.life != life:
                        return
                else:
                    lists.popleft()
                    self._unwritten = False
                    continue
                if self.life != life or self.frozen:
                    return
        finally:
            self._running = False
        for waker in self.wakers:
            waker.look()

    def _do(self, effect: Effect, handlers: Mapping[type, Handler]) -> None:
        kind = type(effect)
        if self._unwritten and isinstance(effect, Send) and effect.rests_on_records:
            effect, kind = Withheld(effect), Withheld  # type: ignore[assignment]
        handler = handlers.get(kind)
        if handler is None:
            return
        if kind is not Record:
            handler(effect)
            return
        try:
            handler(effect)
        except DiskFullError:
            self._unwritten = True


def _before(effect: Effect, rest: Iterator[Effect]) -> Iterator[Effect]:
    yield effect
    yield from rest


class Waker:
    """Calls `ring` when the deadline of a core has come, with one timer."""

    def __init__(
        self, process: Process, label: str, deadline: Callable[[], int | None], ring: Callable[[], None]
    ) -> None:
        """`deadline` is on the process's monotonic clock.  The process looks at it after every run."""
        self._process = process
        self._label = label
        self._deadline = deadline
        self._ring = ring
        self._at_us: int | None = None  # when the timer fires, None without one
        self._timer: Timer | None = None
        self._spins = 0
        process.wakers.append(self)

    def look(self) -> None:
        """Have a timer that fires no later than the deadline."""
        due_us = self._deadline()
        if due_us is None or (self._at_us is not None and self._at_us <= due_us):
            return
        process = self._process
        process.kernel.cancel(self._timer)
        self._at_us = due_us
        self._timer = process.later(due_us - process.mono_us, self._label, self._fire)

    def _fire(self) -> None:
        self._timer = self._at_us = None
        due_us = self._deadline()
        if due_us is not None and due_us <= self._process.mono_us:
            self._ring()
            if self._at_us is None:  # else the process has looked
                self.look()
            self._count_spins()
        elif due_us is not None:
            self.look()

    def _count_spins(self) -> None:
        """A deadline that stays in the past keeps a daemon busy for nothing."""
        at_us = self._at_us
        self._spins = self._spins + 1 if at_us is not None and at_us <= self._process.mono_us else 0
        if self._spins > SPINS_MAX:
            raise Violation("I10", self._process.name, f"its {self._label} does not move on")
