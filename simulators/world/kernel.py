"""The clock, the chance and the trace of a simulated world: a heap of what is due, and nothing else.

Pure.  One kernel is one run.  Everything that happens is an event on the heap; what happens at the same
microsecond happens in the order in which it was asked for, so that a run is its seed and nothing besides.
Every part draws from a stream of its own, so that a fault less leaves the others' draws as they were.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from heapq import heappop, heappush
from itertools import count
from typing import TYPE_CHECKING, Any, Protocol, TypeVar
from zlib import crc32

from qianzhi.runtime.now import SECOND_US

if TYPE_CHECKING:
    from simulators.world.observe import Observer
    from simulators.world.process import Process

T = TypeVar("T")
TRACE_ITEMS_MAX = 8_192  # gathered before they are hashed


class Stream(Protocol):
    """Where numbers come from; `random.Random` fits."""

    def random(self) -> float:
        """Return a number from 0 up to, not including, 1."""


class Dice:
    """One part's own chance; every draw is one number of its stream."""

    def __init__(self, stream: Stream) -> None:
        self._random = stream.random

    def below(self, stop: int) -> int:
        """Return a number from 0 up to, not including, `stop`."""
        return int(self._random() * stop)

    def randrange(self, start: int, stop: int) -> int:
        """Return a number from `start` up to, not including, `stop`; for models that draw so."""
        return start + int(self._random() * (stop - start))

    def hit(self, per_mille: int) -> bool:
        """Tell whether something happens that does so many times in a thousand; 0 draws nothing."""
        return per_mille > 0 and self._random() * 1_000 < per_mille

    def pick(self, choices: Sequence[T]) -> T:
        """Return one of them."""
        return choices[int(self._random() * len(choices))]

    def bytes(self, size: int) -> bytes:
        """Return so many bytes."""
        return bytes(int(self._random() * 256) for _ in range(size))


class Timer:
    """Something that is due; of a process, only in the life that asked for it."""

    __slots__ = ("args", "call", "label", "life", "owner")

    def __init__(
        self, label: str, call: Callable[..., None], args: tuple[Any, ...], owner: "Process | None", life: int
    ) -> None:
        self.label = label
        self.call: Callable[..., None] | None = call
        self.args = args
        self.owner = owner
        self.life = life


class Kernel:
    """The time, and what is due; `stream(name)` returns the seeded numbers of one part."""

    def __init__(self, stream: Callable[[str], Stream], epoch_us: int) -> None:
        """`epoch_us` is the wall time at which the run begins."""
        self.now_us = 0  # of the run itself; processes have clocks of their own
        self.epoch_us = epoch_us
        self.trace = Trace()
        self.coverage: Counter[str] = Counter()
        self.observers: list[Observer] = []
        self.telling: list[tuple[int, str, str, Any]] | None = None  # a list where a timeline is wanted
        self.steps = 0
        self._stream = stream
        self._order = count()
        self._heap: list[tuple[int, int, Timer]] = []

    def dice(self, name: str) -> Dice:
        """Return the chance of the part `name`; each call begins that part's stream anew."""
        return Dice(self._stream(name))

    def later(
        self,
        delay_us: int,
        label: str,
        call: Callable[..., None],
        *args: Any,
        owner: "Process | None" = None,
    ) -> Timer:
        """Call `call(*args)` in so many microseconds; `owner` must be alive in the same life then."""
        return self.at(self.now_us + (delay_us if delay_us > 0 else 0), label, call, args, owner)

    def at(
        self,
        at_us: int,
        label: str,
        call: Callable[..., None],
        args: tuple[Any, ...],
        owner: "Process | None",
    ) -> Timer:
        """Call at a moment that is not over; `later` in other words."""
        timer = Timer(label, call, args, owner, owner.life if owner is not None else 0)
        heappush(self._heap, (at_us, next(self._order), timer))
        return timer

    def cancel(self, timer: Timer | None) -> None:
        """Let it not happen."""
        if timer is not None:
            timer.call = None

    def saw(self, sequence: str) -> None:
        """Count that an interleaving of `sequences.NAMES` has happened."""
        self.coverage[sequence] += 1

    def tell(self, who: str, what: str, data: Any = "") -> None:
        """Add a line to the timeline, where one is wanted."""
        if self.telling is not None:
            self.telling.append((self.now_us, who, what, data))

    def run(self, until_us: int, stop: Callable[[], bool] | None = None) -> bool:
        """Let time pass up to `until_us`; `stop` is asked after each event, and True says that it stopped."""
        heap, trace, items = self._heap, self.trace, self.trace.items
        while heap and heap[0][0] <= until_us:
            at_us, _, timer = heappop(heap)
            call = timer.call
            if call is None:
                continue
            self.now_us = at_us
            owner = timer.owner
            if owner is not None and (owner.frozen or timer.life != owner.life) and not owner.admits(timer):
                continue
            self.steps += 1
            items += (at_us, timer.label)
            if len(items) >= TRACE_ITEMS_MAX:
                trace.flush()
            call(*timer.args)
            if stop is not None and stop():
                return True
        self.now_us = max(self.now_us, until_us)
        return False

    @property
    def wall_us(self) -> int:
        """The true wall time; a process asks its own clock."""
        return self.epoch_us + self.now_us

    @property
    def seconds(self) -> float:
        """How long the run has lasted, for people."""
        return self.now_us / SECOND_US


class Trace:
    """All that happened, as one hash: equal for equal runs, whatever process they ran in."""

    def __init__(self) -> None:
        self._hash = hashlib.blake2b(digest_size=16)
        self.items: list[int | str] = []  # when, and what; the kernel adds to it, and calls `flush` in time

    def add_bytes(self, data: bytes) -> None:
        """Add what was said."""
        self.items.append(crc32(data))

    def hexdigest(self) -> str:
        """Return the hash up to now."""
        self.flush()
        return self._hash.hexdigest()

    def flush(self) -> None:
        """Hash what was gathered."""
        self._hash.update(repr(self.items).encode())
        self.items.clear()
