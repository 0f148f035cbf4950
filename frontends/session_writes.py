"""What of a session is on its way to its store, and how the session goes on when it is there.  Pure.

Every write says on which one it rests (`Basis`), and is planned as if those before it had succeeded.  When
one was refused, because another instance of the bank has written meanwhile, those behind it are refused too:
the session takes up the rows as they are and decides all of them anew.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from frontends.front import Outbox
from frontends.session_rows import Basis, SessionRow
from qianzhi.runtime.now import Now

Step = Callable[[Now, Outbox], None]


class Written(NamedTuple):
    """One write: what follows once it is stored, and what decides it anew on other rows."""

    then: Step
    anew: Step


class Writes:
    """The writes of one line by one process; `author` is a name that no other process ever has."""

    def __init__(self, line: str, author: str, stamp: str) -> None:
        self._line = line
        self._author = author
        self._stamp = stamp
        self._tokens = 0
        self._written: dict[int, Written] = {}

    def __len__(self) -> int:
        return len(self._written)

    def is_current(self, stamp: str) -> bool:
        """Tell whether this write left the rows as they are known here."""
        return stamp == self._stamp

    def store(self, rows: Sequence[SessionRow], then: Step, anew: Step, out: Outbox) -> None:
        """Have rows written; one of the two steps follows."""
        self._tokens += 1
        basis = Basis(self._line, self._stamp, f"{self._author}-{self._tokens:x}")
        self._stamp = basis.stamp
        self._written[self._tokens] = Written(then, anew)
        out.store(self._tokens, [basis, *rows])

    def on_stored(self, token: int) -> Step | None:
        """Return what follows a write."""
        written = self._written.pop(token, None)
        return written.then if written is not None else None

    def on_conflict(self, token: int) -> list[Step] | None:
        """Give up a refused write and all behind it; return what decides them anew, oldest first.

        None for one that was given up with another before.
        """
        if token not in self._written:
            return None
        written, self._written = self._written, {}
        return [one.anew for one in written.values()]

    def adopt(self, stamp: str) -> None:
        """Rest on the rows as this write left them."""
        self._stamp = stamp
