"""The invariants of money, watched while a run goes on and at its end; written from the rules alone.  Pure."""

from typing import Any

from simulators.world.observe import Observer


class Checks(Observer):
    """Raises `Violation`; made as `Checks(world)` before the first event."""

    def __init__(self, world: Any) -> None:
        self._world = world
