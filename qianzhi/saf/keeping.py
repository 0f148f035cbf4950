"""What waits for a write, and the lease on which a node's ownership of its rows rests.  Pure.

Rows of one event are gathered and written as one list; what rests on them is handed back by `on_stored` and
by nothing else.  So nothing is sent that was not stored, and where nothing can be stored nothing is sent.
Where rows are leased, what comes back after the lease has run out waits until it is renewed.
"""

from collections.abc import Container, Iterable
from itertools import count
from typing import NamedTuple

from qianzhi.domain.requests import Request
from qianzhi.runtime.effects import Effects, Load, Store
from qianzhi.runtime.now import Now
from qianzhi.saf.rows import Renew, Row

MARGIN_PART = 4  # a lease is relied upon for all but so many parts of it
RENEWALS = 3  # in the time of a lease


class Errand(NamedTuple):
    """A request that may go out now, because what it rests on is stored.

    `ticket` comes back with its outcome; `to` is a destination's name; `deadline_us` is monotonic.
    """

    ticket: tuple[str, str, int]
    to: str
    request: Request
    deadline_us: int


class _Write(NamedTuple):
    asked_us: int
    waiting: list[tuple[str, str, int]]


class Keeping:
    """Writes of one node; a waiting thing is (whose, what, version), which its owner understands."""

    def __init__(self, lease_us: int) -> None:
        """Nothing is known, and nothing may be promised, before `on_loaded`."""
        self._lease_us = lease_us
        self._tokens = count(1)
        self._rows: list[Row] = []
        self._waiting: list[tuple[str, str, int]] = []
        self._writes: dict[int, _Write] = {}
        self._late: list[tuple[str, str, int]] = []  # stored, and the lease has run out since
        self._until_us = 0
        self._asked_us = 0  # when the last renewal was asked for
        self._loading_us: int | None = None
        self.known = False
        self.trouble = ""

    @property
    def deadline(self) -> int | None:
        """When the lease is to be renewed, and others' looked at."""
        if not self._lease_us or not self.known or self._loading_us is not None:
            return None
        return self._asked_us + self._lease_us // RENEWALS

    @property
    def idle(self) -> bool:
        """Whether nothing waits for a write."""
        return not (self._writes or self._rows or self._late)

    def holds(self, now: Now) -> bool:
        """Whether what is ours is certainly still ours."""
        return self.known and (not self._lease_us or now.mono_us < self._until_us)

    def add(self, rows: Iterable[Row], waiting: Iterable[tuple[str, str, int]] = ()) -> None:
        """Have rows written at the end of this event, and things wait for them."""
        self._rows += rows
        self._waiting += waiting

    def take(self, now: Now) -> Effects:
        """Return the write of all that was gathered."""
        if not self._rows:
            return []
        token = next(self._tokens)
        self._writes[token] = _Write(now.mono_us, self._waiting)
        rows, self._rows, self._waiting = self._rows, [], []
        return [Store(token, rows)]

    def load(self, now: Now) -> Effects:
        """Ask for what is stored: all of it at first, later what other nodes have left."""
        if self._loading_us is not None:
            return []
        self._loading_us = self._asked_us = now.mono_us
        return [Load()]

    def on_loaded(self, now: Now) -> list[tuple[str, str, int]]:
        """The rows are here; so is the lease, from when they were asked for."""
        asked_us, self._loading_us = self._loading_us, None
        self.known = True
        return self._renewed(asked_us or 0, now)

    def on_stored(
        self, token: int, now: Now, refused: Container[tuple[str, str]] = ()
    ) -> list[tuple[str, str, int]]:
        """Return what may happen now; what rests on a refused row (whose, what) never does."""
        write = self._writes.pop(token, None)
        if write is None:
            return []
        self._late += [one for one in write.waiting if one[:2] not in refused]
        return self._renewed(write.asked_us, now)

    def awaits(self, token: int) -> bool:
        """Whether something of our time waits for this write."""
        return token in self._writes

    def on_lost(self, token: int | None) -> bool:
        """Forget all writes when this one was of our time: another node, or a later life, has the rows.

        `token` is None for a load.
        """
        if token is not None and token not in self._writes:
            return False
        self._writes.clear()
        self._rows, self._waiting, self._late = [], [], []
        self._until_us, self._loading_us, self.known = 0, None, False
        return True

    def _renewed(self, asked_us: int, now: Now) -> list[tuple[str, str, int]]:
        self._until_us = max(self._until_us, asked_us + self._lease_us - self._lease_us // MARGIN_PART)
        if not self.holds(now):
            if self._late and not self._writes:
                self._rows.append(Renew())
            return []
        released, self._late = self._late, []
        return released
