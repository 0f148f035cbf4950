"""A simulated bank on direct queues: the shell that carries a pure core's documents; it decides nothing.

Each message is kept by its sender until its answer, or until the bank has settled its request in another way,
and sent again with the same id; reversals and status queries go over the control endpoint.
"""

from typing import Any

from bankmq.kept import KeepLimits, Outcome
from bankmq.sender import ZmqSender
from qianzhi.runtime import clock
from qianzhi.runtime.effects import Effects, Send
from qianzhi.runtime.shell import Interpreter
from simulators.line import CONTROL, MAIN, SETTLED, Incoming
from simulators.message_ids import MessageIds
from simulators.simulated import SimulatedBank

LIMITS = KeepLimits(kept_max=20_000, attempts_max=5, answer_seconds=5)


class QueueBank:
    """One bank's two senders; without a control address everything takes the main one."""

    def __init__(self, core: SimulatedBank, main: str, control: str, reactor: Any) -> None:
        """Addresses are ZeroMQ endpoints such as tcp://127.0.0.1:17311.  Nothing is opened yet."""
        self._core = core
        self._interpreter = Interpreter(core, {Send: self._send}, reactor)
        self._ids = MessageIds(core.model.identity.bank, clock.now().wall_us)
        endpoints = {MAIN: main} | ({CONTROL: control} if control else {})
        self._senders = {
            name: ZmqSender(endpoint, LIMITS, self._on_outcomes, reactor)
            for name, endpoint in endpoints.items()
        }

    def start(self) -> None:
        """Connect; a queue stands from the start, whoever is at the other end."""
        for sender in self._senders.values():
            sender.start()
        self._interpreter.run(self._core.on_connected(clock.now()))

    def stop(self) -> None:
        """Close at once."""
        self._interpreter.stop()
        for sender in self._senders.values():
            sender.stop()

    def ask(self, effects: Effects) -> None:
        """Carry out what the core was asked for outside its schedule."""
        self._interpreter.run(effects)

    def wake(self) -> None:
        """Let the core do what is due, and set its timer anew (after `stop` or a change of rate)."""
        self._interpreter.run(self._core.on_time(clock.now()))

    def _on_outcomes(self, outcomes: list[Outcome]) -> None:
        items = [
            Incoming(outcome.body, self._ids.ticket(outcome.message_id))
            for outcome in outcomes
            if outcome.end == "answered"
        ]
        if items:
            self._interpreter.run(self._core.on_frames(items, clock.now()))

    def _send(self, effect: Send) -> None:
        if effect.to == SETTLED:
            message_ids = [self._ids.of(ticket) for ticket in effect.items]
            for sender in self._senders.values():
                sender.drop(message_ids)
            return
        sender = self._senders.get(str(effect.to)) or self._senders[MAIN]
        sender.submit([(self._ids.of(item.ticket), item.frame) for item in effect.items])
