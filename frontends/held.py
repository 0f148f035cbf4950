"""Frames that this instance alone would refuse, kept back until the shared rows have been read again.  Pure.

    frame ─▶ not signed on, or wrong MAC ─▶ kept ─▶ rows read ─▶ judged again: served, or refused for good
                                              └──no reading in time──▶ refused as not available now

The other instance of the bank may just have signed it on, or agreed another key with it.  A frame waits for a
reading that began after it came, for a bounded time, and no more than so many wait.
"""

from collections import deque
from enum import Enum

from frontends.front import Frame, Outbox
from qianzhi.domain.results import Result
from qianzhi.runtime.now import Now

FRAMES_MAX = 256
WAIT_US = 500_000


class Look(Enum):
    """On what a frame is judged."""

    FIRST = 1  # on the rows as they were read last
    AGAIN = 2  # on rows that were read after it came
    BLIND = 3  # on old rows, since no others can be had


class Held:
    """The frames that wait; with `shared` false none ever does, since nobody else changes the rows."""

    def __init__(self, *, shared: bool) -> None:
        self._shared = shared
        self._waiting: deque[tuple[int, Frame]] = deque()  # for the reading that is under way
        self._next: deque[tuple[int, Frame]] = deque()  # came after it had begun
        self._reading = False
        self.blind = False  # whether the store cannot be read

    def __len__(self) -> int:
        return len(self._waiting) + len(self._next)

    @property
    def deadline(self) -> int | None:
        """When the oldest frame has waited long enough (monotonic)."""
        oldest = self._waiting or self._next
        return oldest[0][0] if oldest else None

    def judge(self, frame: Frame, why: Result, look: Look, now: Now, out: Outbox) -> Result | None:
        """Return with what to refuse a frame that `why` speaks against; None when it is kept back first."""
        if not self._shared or look is Look.AGAIN:
            return why
        if look is Look.FIRST and self._keep(frame, now, out):
            return None
        return Result.UNAVAILABLE

    def on_loaded(self, out: Outbox) -> list[Frame]:
        """Return the frames that may be judged on what was just read, as it was asked for."""
        due, self._waiting, self._next = self._waiting, self._next, deque()
        self._reading = bool(self._waiting)
        if self._reading:
            out.load()
        return [frame for _, frame in due]

    def take_late(self, now: Now) -> list[Frame]:
        """Return the frames that have waited long enough, all of them when the store cannot be read."""
        late: list[Frame] = []
        for queue in (self._waiting, self._next):
            while queue and (self.blind or queue[0][0] <= now.mono_us):
                late.append(queue.popleft()[1])
        return late

    def _keep(self, frame: Frame, now: Now, out: Outbox) -> bool:
        """Keep a frame until the rows have been read; False when it cannot wait."""
        if self.blind or len(self) >= FRAMES_MAX:
            return False
        queue = self._next if self._reading else self._waiting
        queue.append((now.mono_us + WAIT_US, frame))
        if not self._reading:
            self._reading = True
            out.load()
        return True
