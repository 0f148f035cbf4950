"""A writer's end of the model database: its books, and one transaction after the other.  Pure.

Before each call of a transaction `before` lets happen what the call is to come back with; the call itself
takes no time.  What happens at the server is `database`'s.
"""

from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from crm_bridge.batch import Batch, Changes, Wanted
from crm_bridge.journal import Row
from crm_bridge.memory import MemoryTransaction
from crm_bridge.steps import Loading, Pause, Saving, Step
from qianzhi.domain.requests import Key
from qianzhi.runtime.now import SECOND_US
from simulators.world.process import Process

if TYPE_CHECKING:
    from simulators.world.database import ModelDatabase


class BadRequestError(Exception):
    """What a request makes of its row is more than the database can take; nobody foresaw it."""


NOTHING = Wanted([], frozenset(), frozenset(), frozenset(), [], 0, [])


NO_ROOM_FEN = 10**15  # more than any account has


class ModelBooks:
    """The database behind one writer (`crm_bridge.batch.Books`); `before` comes before each of its calls."""

    def __init__(self, database: "ModelDatabase", process: Process) -> None:
        self.database = database
        self.process = process
        self.originals: frozenset[Hashable] = frozenset()  # serials for which money is asked now
        self._transaction: ModelTransaction | None = None

    def before(self, step: Step, resume: Callable[[], None]) -> None:
        """Let happen what the next call will come back with, and call `resume` when it would come back."""
        if isinstance(step, Pause):
            self.process.later(int(step.seconds * SECOND_US), "pause", resume)
            return
        transaction = self._transaction
        assert transaction is not None  # noqa: S101 - a step names a call of the open transaction
        transaction.ask(resume)
        if isinstance(step, Loading):
            self.database.load(transaction, step.wanted)
        elif isinstance(step, Saving):
            self.database.save(transaction)
        else:
            self.database.commit(transaction)

    @contextmanager
    def transaction(self) -> Iterator["ModelTransaction"]:
        """Open a transaction; it is rolled back unless its COMMIT was sent."""
        transaction = self._transaction = ModelTransaction(self.database, self.process, self.originals)
        try:
            yield transaction
        finally:
            self._transaction = None
            if not (transaction.committing or transaction.client_gone):
                self.database.end(transaction)

    def rows(self, keys: Sequence[Key]) -> list[Row]:
        """Return the journal's rows of these keys, as far as they exist."""
        return self.database.memory.rows(keys)

    def close(self) -> None:
        """There is nothing to let go."""


class ModelTransaction:
    """One transaction, both ends of it: what the client asked and was answered, what the server holds."""

    def __init__(self, database: "ModelDatabase", process: Process, originals: frozenset[Hashable]) -> None:
        self.process = process
        self.originals = originals
        self.inner: MemoryTransaction | None = None
        self.wanted = NOTHING
        self.batch: Batch | None = None
        self.saved: list[Changes] = []
        self.waits = False  # the client, for an answer
        self.waited = False  # for somebody's lock
        self.since = 0
        self.idle_us: int | None = None  # since when the client has asked for nothing
        self.lost = False  # the session is gone
        self.client_gone = False
        self.committing = False
        self.flushed = False  # waits for the standby alone
        self.written = False
        self.told_unknown = False
        self._database = database
        self._error: Exception | None = None
        self._resume: Callable[[], None] = _nobody

    def ask(self, resume: Callable[[], None]) -> None:
        """The client asks for something, and waits."""
        self._resume = resume
        self.waits, self.idle_us = True, None

    def answer(self, after_us: int, error: Exception | None = None) -> None:
        """Let the client go on in so many microseconds, if it lives; it then gets this error or none."""
        self.waits = False
        self._error = error
        self.idle_us = self._database.kernel.now_us + after_us
        if not self.client_gone:
            self.process.later(after_us, "database", self._resume)

    def load(self, wanted: Wanted, now_us: int) -> Batch:
        """Return what was loaded."""
        self._raise()
        assert self.batch is not None  # noqa: S101 - without an error there is something
        asked = [one for one in wanted.serials if ("serial", *one) in self.originals]
        return _spoiled(self.batch) if any(self._database.spoils(*one) for one in asked) else self.batch

    def save(self, changes: Changes, part: str) -> bool:
        """Keep changes for the COMMIT; False says that a key is not as it was loaded."""
        self._raise()
        if self._database.bad(changes):
            raise BadRequestError
        self.saved.append(changes)
        assert self.inner is not None  # noqa: S101 - it was loaded before
        return self.inner.save(changes, part)

    def commit(self) -> None:
        """It was carried out before; raises what the client hears of it."""
        self._raise()

    def _raise(self) -> None:
        error, self._error = self._error, None
        if error is not None:
            raise error


def _spoiled(batch: Batch) -> Batch:
    """Return what was loaded with limits that no posting keeps, as it is where a row is damaged."""
    accounts = [account._replace(floor_fen=NO_ROOM_FEN) for account in batch.accounts]
    return replace(batch, accounts=accounts)


def _nobody() -> None:
    """Nothing was asked yet."""
