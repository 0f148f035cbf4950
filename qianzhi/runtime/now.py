"""The two times that a pure core is given; never read here.

A core gets `Now` as an argument: the monotonic half for deadlines, the wall half for stamps and
business dates.  Both are integers, so that a trace of a run is the same on every machine.
"""

from typing import NamedTuple

SECOND_US = 1_000_000


class Now(NamedTuple):
    """One instant: `mono_us` monotonic microseconds, `wall_us` microseconds since 1970 UTC."""

    mono_us: int
    wall_us: int

    def after(self, us: int) -> "Now":
        """Return the instant `us` microseconds later on both clocks."""
        return Now(self.mono_us + us, self.wall_us + us)
