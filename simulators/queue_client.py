"""A simulated bank on queues: the shell that carries a pure core's documents; it decides nothing.

Each message is kept by its sender until its answer, or until the bank has settled its request in another
way; reversals and status queries go to the control queue.
"""

from collections.abc import Callable
from typing import Any

from bankmq.kept import KeepLimits
from qianzhi.runtime import clock
from qianzhi.runtime.effects import Effects, Send
from qianzhi.runtime.shell import Interpreter
from simulators.line import SETTLED, Incoming
from simulators.queue_senders import QueueSenders, Take
from simulators.simulated import SimulatedBank

LIMITS = KeepLimits(kept_max=20_000, attempts_max=5, answer_seconds=5)


class QueueBank:
    """One bank's queues, behind what `senders` makes of a function that takes answers."""

    def __init__(self, core: SimulatedBank, senders: Callable[[Take], QueueSenders], reactor: Any) -> None:
        """Nothing is opened yet."""
        self._core = core
        self._interpreter = Interpreter(core, {Send: self._send}, reactor)
        self._senders = senders(self._on_answers)

    def start(self) -> None:
        """Connect; a queue stands from the start, whoever is at the other end."""
        self._senders.start()
        self._interpreter.run(self._core.on_connected(clock.now()))

    def stop(self) -> None:
        """Close at once."""
        self._interpreter.stop()
        self._senders.stop()

    def ask(self, effects: Effects) -> None:
        """Carry out what the core was asked for outside its schedule."""
        self._interpreter.run(effects)

    def wake(self) -> None:
        """Let the core do what is due, and set its timer anew (after `stop` or a change of rate)."""
        self._interpreter.run(self._core.on_time(clock.now()))

    def _on_answers(self, items: list[Incoming]) -> None:
        self._interpreter.run(self._core.on_frames(items, clock.now()))

    def _send(self, effect: Send) -> None:
        if effect.to == SETTLED:
            self._senders.settled(effect.items)
        else:
            self._senders.submit(effect.items)
