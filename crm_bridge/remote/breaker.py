"""When to stop asking a core that does not answer, and when to try it again.  Pure.

    closed ──failures in a row──▶ open ──pause──▶ probing ──answer──▶ closed
                                   ▲                 │
                                   └────no answer────┘

Only a probe that moves no money is tried on an open breaker: a customer's recharge is no test of a wire.
"""

from enum import Enum

from qianzhi.runtime.now import SECOND_US


class State(Enum):
    """What is done with a call now."""

    CLOSED = "closed"
    OPEN = "open"
    PROBING = "probing"


class Breaker:
    """One core's breaker; times are monotonic microseconds.  It starts as one whose probe is under way."""

    def __init__(self, failures_max: int, pause_seconds: int) -> None:
        self._failures_max = failures_max
        self._pause_us = pause_seconds * SECOND_US
        self._failures = 0
        self._probe_us = 0
        self.state = State.PROBING
        self.reason = ""

    def on_success(self) -> None:
        """A call or a probe was answered as the contract says."""
        self._failures = 0
        if self.state is State.PROBING:
            self.state = State.CLOSED
            self.reason = ""

    def on_failure(self, reason: str, now_us: int) -> bool:
        """A call or a probe was not; say whether this has opened the breaker."""
        self._failures += 1
        opens = self.state is State.PROBING or (
            self.state is State.CLOSED and self._failures >= self._failures_max
        )
        if opens:
            self.state = State.OPEN
            self.reason = reason
            self._probe_us = now_us + self._pause_us
        return opens

    @property
    def probe_us(self) -> int | None:
        """When an open breaker is to be probed, None for another one."""
        return self._probe_us if self.state is State.OPEN else None

    def on_time(self, now_us: int) -> bool:
        """Say whether a probe is to be sent now; it is under way from here on."""
        if self.state is not State.OPEN or now_us < self._probe_us:
            return False
        self.state = State.PROBING
        return True
