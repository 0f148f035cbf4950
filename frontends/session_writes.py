"""What of a session is on its way to its store, and how the session goes on when it is there.  Pure.

Every write says on which one it rests (`Basis`), and is planned as if those before it had succeeded.  When
one was refused, because another instance of the bank has written meanwhile, those behind it are refused too:
the session takes up the rows as they are and decides all of them anew.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from frontends.front import Outbox
from frontends.session_rows import Basis, SessionRow
from qianzhi.runtime.now import SECOND_US, Now

LATE = "it does not confirm what is written"
LATE_US = 2 * SECOND_US  # after which a write that is not confirmed counts as trouble

Step = Callable[[Now, Outbox], None]


class Written(NamedTuple):
    """One write: what follows once it is stored, what decides it anew on other rows, and when it is late."""

    then: Step
    anew: Step
    late_us: int = 0


class Writes:
    """The writes of one line by one process; `author` is a name that no other process ever has."""

    def __init__(self, line: str, author: str, stamp: str) -> None:
        self._line = line
        self._author = author
        self._stamp = stamp
        self._tokens = 0
        self._written: dict[int, Written] = {}
        self._why = ""
        self._late = False

    def __len__(self) -> int:
        return len(self._written)

    def is_current(self, stamp: str) -> bool:
        """Tell whether this write left the rows as they are known here."""
        return stamp == self._stamp

    @property
    def deadline(self) -> int | None:
        """When the oldest write should have been confirmed (monotonic), None when that is known already."""
        return None if self._late else next((one.late_us for one in self._written.values()), None)

    @property
    def trouble(self) -> str:
        """What is wrong with the store, empty while it serves."""
        return self._why or (LATE if self._late else "")

    def on_trouble(self, why: str, out: Outbox) -> None:
        """Note that the store cannot be used (`why`), or can again (empty)."""
        self._why = why
        if why:
            out.alarm("store_unwritable", why=why)

    def on_time(self, now: Now, out: Outbox) -> None:
        """Note a write that is not confirmed in time: the store hangs, and says nothing itself."""
        due_us = self.deadline
        if due_us is not None and due_us <= now.mono_us:
            self._late = True
            out.alarm("store_unwritable", why=LATE)

    def store(self, rows: Sequence[SessionRow], steps: Written, now: Now, out: Outbox) -> None:
        """Have rows written; one of the two steps follows."""
        self._tokens += 1
        basis = Basis(self._line, self._stamp, f"{self._author}-{self._tokens:x}")
        self._stamp = basis.stamp
        self._written[self._tokens] = steps._replace(late_us=now.mono_us + LATE_US)
        out.store(self._tokens, [basis, *rows])

    def on_stored(self, token: int) -> Step | None:
        """Return what follows a write."""
        written = self._written.pop(token, None)
        self._late = self._late and bool(self._written)
        return written.then if written is not None else None

    def on_conflict(self, token: int) -> list[Step] | None:
        """Give up a refused write and all behind it; return what decides them anew, oldest first.

        None for one that was given up with another before.
        """
        if token not in self._written:
            return None
        written, self._written, self._late = self._written, {}, False
        return [one.anew for one in written.values()]

    def adopt(self, stamp: str) -> None:
        """Rest on the rows as this write left them."""
        self._stamp = stamp
