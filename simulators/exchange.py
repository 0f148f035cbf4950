"""What a simulated bank keeps of a message: one on its way, and one that is still to be sent.  Pure."""

from dataclasses import dataclass
from typing import NamedTuple

from simulators.record import Record
from simulators.scenario import Step


@dataclass(slots=True)
class Exchange:
    """One message on its way: sent, and not yet answered or given up."""

    record: Record
    step: Step  # what the message is
    due_us: int  # when its step was meant to start, on the monotonic clock
    overdue: bool = False
    slept: bool = False  # whether its time was over while this process did not run
    settling: bool = False  # whether it asks again about what got no answer


class Later(NamedTuple):
    """A message to be sent when its time, or the line, comes; `round` tells whether it is still wanted."""

    record: Record
    step: Step
    due_us: int
    round: int
