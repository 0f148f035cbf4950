"""What may be watched in a simulated world: facts as they happen, for checks, coverage and timelines.

Pure.  The models tell of facts, never of opinions: rows that a process wrote to its event file, what a
database committed, frames on a bank's line.  An observer keeps what it needs and changes nothing; it raises
`Violation` where a rule of money is broken.
"""

from traceback import format_exception
from types import TracebackType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qianzhi.runtime.effects import Event


class Violation(Exception):  # noqa: N818 - it is what was found, and not that something went wrong here
    """A rule is broken: which invariant, of which key, and how both sides see it."""

    def __init__(self, invariant: str, key: str, says: str, **views: Any) -> None:
        """`views` are the sides' views, for the report: bank, journal, books, front."""
        super().__init__(f"{invariant} {key}: {says}")
        self.invariant = invariant
        self.key = key
        self.says = says
        self.views = views

    def __reduce__(self) -> tuple[Any, ...]:
        """Travel between processes as words."""
        return _violation, (self.invariant, self.key, self.says, {k: str(v) for k, v in self.views.items()})


def _violation(invariant: str, key: str, says: str, views: dict[str, str]) -> Violation:
    return Violation(invariant, key, says, **views)


class Falls:
    """A block in which whatever falls over is a rule broken too, named after what was raised.

    A run that ends so is told, made smaller and counted like any other that fails.
    """

    def __enter__(self) -> None:
        """Begin."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Raise a Violation for what is none yet; whoever interrupts a run is let through."""
        if isinstance(error, Exception) and not isinstance(error, Violation):
            where = "".join(format_exception(error))
            raise Violation(type(error).__name__, "", f"something fell over: {error}", where=where) from error


class Observer:
    """Hears of facts; every method may be left as it is."""

    def on_rows(self, process: str, rows: "Sequence[Event]") -> None:
        """Rows stand in the event file of a front, node or bridge."""

    def on_frame_in(self, bank: str, front: str, frame: bytes) -> None:
        """A frame of the bank was read by this front, before it is judged."""

    def on_frame_out(self, bank: str, front: str, frame: bytes) -> None:
        """This front has sent a frame to the bank; whether it arrives is another matter."""

    def on_commit(self, bridge: str, changes: Any) -> None:
        """The database has committed `crm_bridge.batch.Changes`, whatever the bridge hears of it."""

    def on_executed(self, bridge: str, requests: "Sequence[Any]", replies: "Sequence[Any]") -> None:
        """A writer knows the replies to a list of requests."""

    def on_kept(self, node: str, rows: "Sequence[Any]") -> None:
        """A node has written rows of store-and-forward (`qianzhi.saf.rows`)."""

    def on_loaded(self, node: str, entries: "Sequence[Any]") -> None:
        """A node has read entries that are its own, or has taken them over."""

    def on_death(self, process: str) -> None:
        """A process was killed."""

    def on_fault(self, fault: Any, begins: bool) -> None:
        """A fault of the plan begins or ends."""

    def on_tick(self) -> None:
        """A second of the run has passed: look at what must hold at any time."""

    def on_end(self) -> None:
        """All is healed, and all that will happen has happened: look at what must hold at the end."""
