"""Which of the interleavings of `sequences` happened in a run, told from facts alone.  Pure."""

from typing import Any

from simulators.world.observe import Observer


class Coverage(Observer):
    """Counts in `world.kernel.coverage`; made as `Coverage(world)` before the first event."""

    def __init__(self, world: Any) -> None:
        self._world = world
