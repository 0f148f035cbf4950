"""The model database: the core's tables in memory behind locks, statements that take time, and COMMITs of
which nobody may hear.  Pure.

Two bridges' transactions stand side by side as on PostgreSQL (READ COMMITTED): each locks what it names
before it looks (fences, serials, then accounts, each in an order of its own), so that what was loaded stays
as it is until the transaction ends.  With `whole` a transaction has the whole database to itself, as on
SQLite.

What was confirmed is kept, whatever happens.  What was not may be there or not: a COMMIT whose answer is lost
is carried out at once, seconds later or never, and until then the session lives and holds its locks.
"""

from collections import Counter
from collections.abc import Hashable
from functools import partial
from typing import Any
from zlib import crc32

from crm_bridge.batch import Changes, Wanted
from crm_bridge.gateway_errors import (
    CommitUnknownError,
    OutOfSpaceError,
    RetryableError,
    Trouble,
)
from crm_bridge.journal import State
from crm_bridge.memory import Memory, MemoryTransaction
from qianzhi.domain.requests import Key
from qianzhi.runtime.now import SECOND_US
from simulators.world.database_books import ModelBooks, ModelTransaction
from simulators.world.database_locks import Locks, Taker, Wish
from simulators.world.faults import Fault
from simulators.world.kernel import Kernel
from simulators.world.process import Process

STATEMENT_US = 400  # what a statement takes at most, where nothing is wrong
COMMIT_US = 2_500
CONNECT_US = 3 * SECOND_US  # until a client gives up to connect
LOCK_WAIT_US = 4 * SECOND_US
WHOLE_WAIT_US = 2 * SECOND_US
IDLE_US = 5 * SECOND_US  # in mid-transaction, after which the server ends the session
SILENT_US = 6 * SECOND_US  # until a client gives up a connection that says nothing
GHOST_US = 8 * SECOND_US  # a session whose client is gone may live on so long
CLOCK_US_MAX = 60 * SECOND_US
# Faults that happen to so many operations in a thousand; the others are states.
CHANCES = (
    *("deadlock", "serialization", "commit_unknown_written", "commit_unknown_lost"),
    *("bad_request", "bad_row"),
)


class ModelDatabase:
    """One core's database, as all bridges share it; `memory` is what is committed, another one
    after the promotion of a standby that was behind."""

    def __init__(self, kernel: Kernel, memory: Memory, *, whole: bool = False) -> None:
        self.kernel = kernel
        self.memory = memory
        self.dice = kernel.dice("database")
        self._whole = whole
        self._locks = Locks()
        self._open: dict[ModelTransaction, None] = {}
        self._strength: Counter[str] = Counter()
        self._active: Counter[str] = Counter()
        self._copy: Memory | None = None  # what the standby has, while it is cut off

    def books(self, process: Process) -> ModelBooks:
        """Return the books of one writer, for one life of its process."""
        return ModelBooks(self, process)

    def died(self, process: Process) -> None:
        """A process is gone: its sessions end, but for a COMMIT that is on its way already."""
        for transaction in [one for one in self._open if one.process is process]:
            transaction.client_gone = True
            if not transaction.committing:
                self.end(transaction)

    # -- looks at it, as `crm_bridge.keeper` takes them

    def look(self, process: Process) -> None:
        """Look whether it answers, and whether its clock is ours; raises RetryableError."""
        self._require_up()
        self._compare_clocks(process)

    def prove(self, process: Process) -> None:
        """Write something that changes nothing; raises RetryableError, CommitUnknownError."""
        self.look(process)
        self._require_writes()
        if self._copy is not None:
            raise CommitUnknownError("COMMIT was not confirmed by the standby", Trouble.NO_STANDBY)

    def prove_room(self) -> None:
        """Let files grow; raises OutOfSpaceError."""
        self._require_up()
        if self._active["database_full"]:
            raise OutOfSpaceError("the database's disk is full", Trouble.DISK_FULL)

    # -- what a transaction asks

    def load(self, transaction: ModelTransaction, wanted: Wanted) -> None:
        """Lock what is wanted, however long that takes, then load it."""
        try:
            self._require_up()
            self._require_writes()
            if wanted.closes or wanted.due_through:
                self._compare_clocks(transaction.process)
        except RetryableError as error:
            down = error.trouble is Trouble.DOWN
            transaction.answer(self.dice.pick((1_000, CONNECT_US)) if down else 1_000, error)
            return
        self._open[transaction] = None
        transaction.wanted = wanted
        go_on = partial(self._load, transaction)
        self._locks.take(Taker(transaction, self._wishes(wanted), go_on, partial(self._waits, transaction)))

    def save(self, transaction: ModelTransaction) -> None:
        """Take what is to be written."""
        error: Exception | None = None
        if transaction.lost:
            error = RetryableError("the connection was lost", Trouble.DOWN)
        elif self._active["database_full"]:
            error = OutOfSpaceError("the database's disk is full", Trouble.DISK_FULL)
        elif self.dice.hit(self._strength["serialization"]):
            error = RetryableError("could not serialize access")
        if error is not None:
            self.end(transaction)
        transaction.answer(self._statement_us(), error)

    def commit(self, transaction: ModelTransaction) -> None:
        """Carry a COMMIT out, and say so: or not, or not in time."""
        dice = self.dice
        if transaction.lost:
            self._unknown(transaction, 3_000)
            self.end(transaction)
            return
        if dice.hit(self._strength["commit_unknown_lost"]):
            self._unknown(transaction, dice.pick((2_000, SILENT_US)))
            transaction.client_gone = True
            self.kernel.later(dice.pick((1_000, IDLE_US)), "session ends", self.end, transaction)
            return
        transaction.committing = True
        delay_us = 300 + dice.below(COMMIT_US) + self._slow_us()
        if dice.hit(self._strength["commit_unknown_written"]):
            self._unknown(transaction, dice.pick((2_000, SILENT_US)))
            transaction.client_gone = True
            delay_us = dice.pick((delay_us, dice.below(GHOST_US)))
        self.kernel.later(delay_us, "commit", self._commit, transaction)

    def bad(self, changes: Changes) -> bool:
        """Say whether a list has a request in it that breaks it: the same one every time."""
        strength = self._strength["bad_request"]
        if not strength:
            return False
        rows = changes.journal.inserts
        return any(row.state is State.APPROVED and _lot(row.key) < strength for row in rows)

    def spoils(self, space: str, serial: str) -> bool:
        """Say whether what a request for money loads is not what was written: the same one every time."""
        strength = self._strength["bad_row"]
        return bool(strength) and crc32(f"spoiled {space} {serial}".encode()) % 1_000 < strength

    def end(self, transaction: ModelTransaction) -> None:
        """Roll back what was not committed, and let others have what was locked."""
        if transaction in self._open:
            del self._open[transaction]
            self._locks.give_back(transaction)
        transaction.lost = True
        self._fate(transaction, written=False)

    # -- faults

    def begin_fault(self, fault: Fault) -> None:
        """Let a fault begin (`faults.DATABASE_FAULTS`)."""
        self._strength[fault.kind] += fault.strength
        self._active[fault.kind] += 1
        if fault.kind in ("database_restart", "failover"):
            self._crash(promoted=fault.kind == "failover")
        elif fault.kind == "standby_cut" and self._copy is None:
            self._copy = copied(self.memory)

    def end_fault(self, fault: Fault) -> None:
        """Let it be over."""
        self._strength[fault.kind] -= fault.strength
        self._active[fault.kind] -= 1
        if fault.kind == "standby_cut" and not self._active["standby_cut"]:
            self._copy = None
            for transaction in [one for one in self._open if one.flushed]:
                self._confirm(transaction)

    def _crash(self, *, promoted: bool) -> None:
        """All sessions break.  Of the COMMITs under way those stay that were on the disk, on the standby's
        where it is promoted.
        """
        behind = promoted and self._copy is not None
        if self._copy is not None and promoted:
            self.memory, self._copy = self._copy, None  # others than before: what nobody heard of is gone
        sessions = list(self._open)
        self._open.clear()
        self._locks.clear()
        for transaction in sessions:
            if transaction.committing and not behind and (transaction.flushed or self.dice.below(2)):
                self._apply(transaction)
            transaction.lost = True
            if transaction.waits and transaction.committing:
                self._unknown(transaction, 3_000)
            elif transaction.waits:
                transaction.answer(3_000, RetryableError("the connection was lost", Trouble.DOWN))
            self._fate(transaction, written=transaction.written)

    # -- a transaction's way

    def _load(self, transaction: ModelTransaction) -> None:
        """All that was named is locked: look, then lock the accounts that were found."""
        transaction.inner = MemoryTransaction(self.memory)
        transaction.batch = batch = transaction.inner.load(transaction.wanted, self.kernel.wall_us)
        transaction.waited, transaction.since = False, transaction.since + 1
        if self._whole:
            self._loaded(transaction)
            return
        wishes: list[Wish] = [(("account", account.id), True) for account in batch.accounts]
        go_on = partial(self._loaded, transaction)
        self._locks.take(Taker(transaction, wishes, go_on, partial(self._waits, transaction)))

    def _loaded(self, transaction: ModelTransaction) -> None:
        """Answer with what was found; where an account had to be waited for, with what is there now."""
        transaction.since += 1
        if transaction.waited:
            self._load(transaction)
            return
        if self.dice.hit(self._strength["deadlock"]):
            self.end(transaction)
            transaction.answer(self._statement_us(), RetryableError("deadlock detected"))
            return
        transaction.answer(self._statement_us())

    def _commit(self, transaction: ModelTransaction) -> None:
        """The COMMIT has reached the disk; where there is a standby, it has to be there as well."""
        if transaction not in self._open:
            return  # the server died meanwhile
        if self._copy is not None:
            transaction.flushed = True
            self.kernel.later(IDLE_US, "no standby", self._give_up_standby, transaction)
            return
        self._confirm(transaction)

    def _confirm(self, transaction: ModelTransaction) -> None:
        self._apply(transaction)
        self._close(transaction)
        if transaction.waits:
            transaction.answer(100 + self.dice.below(STATEMENT_US))

    def _give_up_standby(self, transaction: ModelTransaction) -> None:
        """The server has waited for its standby long enough: it is committed here, and says so with a
        warning."""
        if transaction in self._open:
            self._apply(transaction)
            self._close(transaction)
            if transaction.waits:
                said = "COMMIT was not confirmed by the standby"
                transaction.answer(1_000, CommitUnknownError(said, Trouble.NO_STANDBY))

    def _apply(self, transaction: ModelTransaction) -> None:
        if transaction.inner is not None:
            transaction.inner.commit()
        transaction.written = True
        for observer in self.kernel.observers:
            for changes in transaction.saved:
                observer.on_commit(transaction.process.name, changes)

    def _close(self, transaction: ModelTransaction) -> None:
        del self._open[transaction]
        self._locks.give_back(transaction)
        self._fate(transaction, written=True)

    def _unknown(self, transaction: ModelTransaction, after_us: int) -> None:
        """The client will not hear what became of its COMMIT."""
        transaction.told_unknown = True
        transaction.answer(after_us, CommitUnknownError("the outcome of COMMIT is not known"))

    def _fate(self, transaction: ModelTransaction, *, written: bool) -> None:
        """What a client was not told has been decided."""
        if transaction.told_unknown and transaction.saved:
            transaction.told_unknown = False
            self.kernel.saw("commit-unknown-written" if written else "commit-unknown-lost")

    # -- locks

    def _wishes(self, wanted: Wanted) -> list[Wish]:
        if self._whole:
            return [("all", True)]
        closing = {space for space, _ in wanted.closes}
        wishes: list[Wish] = [(("fence", space), space in closing) for space in wanted.spaces]
        return wishes + [(("serial", *serial), True) for serial in wanted.serials]

    def _waits(self, transaction: ModelTransaction, name: Hashable, holders: list[Any]) -> None:
        """Somebody stands in the way: wait so long, and end who stands still in mid-transaction."""
        kernel = self.kernel
        transaction.waited = True
        transaction.since = since = transaction.since + 1
        wait_us = WHOLE_WAIT_US if self._whole else LOCK_WAIT_US
        kernel.later(wait_us, "lock timeout", self._lock_timeout, transaction, since)
        for holder in holders:
            idle_us = holder.idle_us
            if idle_us is not None and not holder.committing:
                delay_us = max(0, idle_us + IDLE_US - kernel.now_us)
                kernel.later(delay_us, "idle session", self._end_idle, holder, idle_us)
            both = name in transaction.originals and name in holder.originals
            if both and holder.process is not transaction.process:
                kernel.saw("same-serial-twice-at-once")

    def _lock_timeout(self, transaction: ModelTransaction, since: int) -> None:
        if transaction in self._open and transaction.since == since:
            self.end(transaction)
            transaction.answer(200, RetryableError("canceling statement due to lock timeout"))

    def _end_idle(self, transaction: ModelTransaction, idle_us: int) -> None:
        if transaction in self._open and transaction.idle_us == idle_us:
            self.end(transaction)

    # -- what it is like now

    def _compare_clocks(self, process: Process) -> None:
        ahead_us = process.now.wall_us - self.kernel.wall_us
        if abs(ahead_us) > CLOCK_US_MAX:
            raise RetryableError(f"it is {ahead_us // SECOND_US} s ahead of the database's", Trouble.CLOCK)

    def _require_up(self) -> None:
        if self._active["database_restart"] or self._active["failover"]:
            raise RetryableError("the database is not reachable", Trouble.DOWN)

    def _require_writes(self) -> None:
        if self._active["read_only"]:
            raise RetryableError("the database takes no writes", Trouble.READ_ONLY)

    def _statement_us(self) -> int:
        return 150 + self.dice.below(STATEMENT_US) + self._slow_us()

    def _slow_us(self) -> int:
        slow_ms = self._strength["slow_database"]
        return self.dice.below(1_000 * slow_ms) if slow_ms else 0


def copied(memory: Memory) -> Memory:
    """Return these tables as they stand now; rows are never changed in place."""
    copy = Memory()
    for name, value in vars(memory).items():
        setattr(copy, name, value.copy() if isinstance(value, dict | list | set) else value)
    return copy


def _lot(key: Key) -> int:
    return crc32(f"bad {key.text}".encode()) % 1_000
