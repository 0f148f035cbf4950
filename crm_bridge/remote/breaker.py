"""When to stop asking a core that does not answer, and when to try it again.  Pure.

    closed ──failures in a row──▶ open ──pause──▶ probing ──answer──▶ closed
                                   ▲                 │
                                   └────no answer────┘

Only a probe that moves no money is tried on an open breaker: a customer's recharge is no test of a wire.
"""

from enum import Enum


class State(Enum):
    """What is done with a call now."""

    CLOSED = "closed"
    OPEN = "open"
    PROBING = "probing"


class Breaker:
    """One core's breaker.  It starts as one whose probe is under way; the pause is its owner's to keep."""

    def __init__(self, failures_max: int) -> None:
        self._failures_max = failures_max
        self._failures = 0
        self.state = State.PROBING
        self.reason = ""

    def on_success(self) -> None:
        """A call or a probe was answered as the contract says."""
        self._failures = 0
        if self.state is State.PROBING:
            self.state = State.CLOSED
            self.reason = ""

    def on_failure(self, reason: str) -> bool:
        """A call or a probe was not; say whether this has opened the breaker."""
        self._failures += 1
        opens = self.state is State.PROBING or (
            self.state is State.CLOSED and self._failures >= self._failures_max
        )
        if opens:
            self.state = State.OPEN
            self.reason = reason
        return opens

    def on_probe(self) -> None:
        """A probe is sent: calls wait for what comes of it, unless they go anyway."""
        if self.state is State.OPEN:
            self.state = State.PROBING
