"""Work that has to wait now and then, written straight through: a generator that yields what it waits for.

Pure.  Whoever drives it decides what waiting is.  A writer's thread sleeps through a `Pause` and calls the
database where it is about to be called; the simulator of the whole system plans both on its clock, so that
other bridges' transactions, and any fault, come in between.
"""

from collections.abc import Callable, Generator
from typing import NamedTuple, TypeVar

from crm_bridge.batch import Wanted

Returned = TypeVar("Returned")


class Pause(NamedTuple):
    """Nothing is to be done for so long."""

    seconds: float


class Loading(NamedTuple):
    """The transaction's `load` is called next: it waits for whoever holds what is wanted."""

    wanted: Wanted


class Saving(NamedTuple):
    """The transaction's `save` is called next."""


class Committing(NamedTuple):
    """The transaction's `commit` is called next."""


Step = Pause | Loading | Saving | Committing
Steps = Generator[Step, None, Returned]


def finish(steps: Steps[Returned], sleep: Callable[[float], None] | None = None) -> Returned:
    """Carry steps out to their end on this thread, and return what they came to; calls of the database wait
    by themselves.
    """
    while True:
        try:
            step = next(steps)
        except StopIteration as end:
            returned: Returned = end.value
            return returned
        if isinstance(step, Pause) and sleep is not None:
            sleep(step.seconds)
