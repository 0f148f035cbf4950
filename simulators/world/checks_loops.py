"""Fronts and their peers do not answer each other for ever.  Pure.

r7   one frame that comes is answered a few times at most, and the same frame does not come again and again
     as fast as the line carries it: that is two sides that answer each other's answers

Both are counted by the second, so that what is repeated in earnest, seconds apart, stays far below.
"""

from collections import Counter

from simulators.world.observe import Violation

SAME_MAX = 40  # times that one frame may come to one front in a second: a burst of damaged and doubled copies
PER_FRAME = 2  # frames that one may bring out: an answer, and a key with it
BEGUN_PER_SECOND = 60  # that a front begins itself: charges and what undoes them, echoes, keys
BEGUN_AT_ONCE = 600  # what a front that stood still has to catch up with


class Loops:
    """Counts the frames of each front's line; fronts of queues are left to the broker's own bounds."""

    def __init__(self) -> None:
        self._same: dict[str, Counter[bytes]] = {}
        self._in: Counter[str] = Counter()
        self._out: Counter[str] = Counter()
        self._seconds = 0

    def came(self, front: str, frame: bytes) -> None:
        """Take a frame that this front has read; one without a body is a sign of life."""
        if not frame:
            return
        self._in[front] += 1
        same = self._same.setdefault(front, Counter())
        same[frame] += 1
        if same[frame] > SAME_MAX:
            says = f"the same frame of {len(frame)} bytes came {same[frame]} times in a second"
            raise Violation("loop", front, says, came=self._in[front], went=self._out[front])

    def went(self, front: str) -> None:
        """Take a frame that this front has sent."""
        self._out[front] += 1

    def tick(self) -> None:
        """Hold what went out to what came in; a second has passed."""
        self._seconds += 1
        self._same.clear()
        begun = BEGUN_AT_ONCE + BEGUN_PER_SECOND * self._seconds
        for front, went in self._out.items():
            if went > PER_FRAME * self._in[front] + begun:
                says = f"{went} frames went out, and {self._in[front]} came"
                raise Violation("loop", front, says)
