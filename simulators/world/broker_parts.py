"""What stands in a queue of the model broker, and who reads it.  Pure."""

from collections.abc import Callable
from typing import NamedTuple

from bankmq.amqp_messages import Properties
from simulators.world.process import Process


class Kept(NamedTuple):
    """One message in a queue: `failures` is how often it was given out in vain, `until_us` its expiry (of the
    run), 0 for never.
    """

    body: bytes
    properties: Properties
    failures: int
    until_us: int
    paused: bool = False  # it came while its queue was not read


class Consumer:
    """Somebody who reads a queue, on one connection."""

    def __init__(
        self, process: Process, queue: str, prefetch: int, take: Callable[[list[tuple[int, Kept]]], None]
    ) -> None:
        self.process = process
        self.life = process.life
        self.queue = queue
        self.prefetch = prefetch
        self.take = take
        self.unacknowledged: dict[int, Kept] = {}
        self.inbox: list[tuple[int, Kept]] = []
        self.open = True  # takes more
