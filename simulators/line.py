"""What a line of a simulated bank is to the model and the shell: requests to frames, frames to answers.

A line knows one dialect and its session (sign-on, keys, echo); it is pure, like all that it is made of.
"""

from typing import NamedTuple, Protocol

from qianzhi.runtime.now import Now
from simulators.record import Ask, Heard

MAIN = "main"
CONTROL = "control"  # for reversals and status queries, where the bank has a second queue


SETTLED = "settled"  # where a bank's core sends the tickets whose frames need not be sent again


class Outgoing(NamedTuple):
    """One whole frame to send, without the transport's own length; `endpoint` is MAIN or CONTROL.

    `ticket` is that of the request in it, 0 for the session's own messages.
    """

    endpoint: str
    frame: bytes
    ticket: int = 0


class Incoming(NamedTuple):
    """One whole frame that came; `ticket` is the request that it answers, where the transport says so."""

    frame: bytes
    ticket: int | None = None


class Line(Protocol):
    """One connection's dialect and session."""

    @property
    def ready(self) -> bool:
        """Whether requests can be carried now."""

    @property
    def deadline(self) -> int | None:
        """Return when `on_time` is wanted next, on the monotonic clock."""

    @property
    def bad(self) -> int:
        """Return how many frames could not be read or had a wrong MAC."""

    @property
    def unmatched(self) -> int:
        """Return how many answers fitted no request of ours."""

    @property
    def serials_max(self) -> int:
        """Return how many serials there are for one business date, 0 for more than anybody needs."""

    def serial_text(self, number: int, date: int) -> str:
        """Write a serial number as the dialect does; the same serial does not come again on one date."""

    def on_connected(self, now: Now) -> list[Outgoing]:
        """The transport is there: begin the session."""

    def on_closed(self) -> None:
        """The transport is gone."""

    def carry(self, asks: list[Ask], now: Now) -> list[Outgoing]:
        """Turn requests into frames and remember which answer belongs to which."""

    def on_frames(self, items: list[Incoming], now: Now) -> tuple[list[Heard], list[Outgoing]]:
        """Read frames: answers to requests, and what the session says in return."""

    def on_time(self, now: Now) -> list[Outgoing]:
        """Do what is due in the session."""

    def forget(self, tickets: list[int]) -> None:
        """Want no answer for these any more."""
