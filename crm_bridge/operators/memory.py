"""Operators, acts and chain in memory: what the database must do, as plainly as it can be said.

Pure.  For models and whole-system simulation; what a constraint refuses there an invariant refuses here.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from crm_bridge.operators.acts import OPEN, Act, ActState
from crm_bridge.operators.chain import Entry, Head
from crm_bridge.operators.desk import Book, Changes
from crm_bridge.operators.people import Operator
from qianzhi.ledger.invariant import invariant

_AFTER = {
    None: {ActState.PENDING},
    ActState.PENDING: {ActState.APPROVED, ActState.REFUSED, ActState.WITHDRAWN, ActState.EXPIRED},
    ActState.APPROVED: {ActState.DONE},
}


class Memory:
    """All tables of the operators."""

    def __init__(self) -> None:
        self.operators: dict[str, Operator] = {}
        self.acts: dict[int, Act] = {}
        self.entries: list[Entry] = []

    @contextmanager
    def transaction(self) -> Iterator["MemoryTransaction"]:
        """Open the one transaction; what it saved is forgotten unless it was committed."""
        yield MemoryTransaction(self)

    def book(self) -> Book:
        """Return the book as it is."""
        return self.load()

    def load(self, act: int = 0, note: str = "") -> Book:
        """Return the book with that act, and whether that note is in the chain."""
        found = {each.id: each for each in self.acts.values() if each.state in OPEN or each.id == act}
        head = self.entries[-1].head if self.entries else Head()
        noted = bool(note) and any(entry.note == note for entry in self.entries)
        return Book(dict(self.operators), found, head, max(self.acts, default=0), noted)


class MemoryTransaction:
    """Keeps what is saved, and applies it when it is committed."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self._saved: list[Changes] = []

    def load(self, act: int = 0, note: str = "") -> Book:
        """Load the book, with that act whatever its state, and whether that note is in the chain."""
        return self._memory.load(act, note)

    def save(self, changes: Changes) -> None:
        """Keep what changed for the commit."""
        self._saved.append(changes)

    def commit(self) -> None:
        """Apply what was saved; raises InvariantError for what a database would refuse."""
        memory = self._memory
        for changes in self._saved:
            for act in changes.acts.values():
                before = memory.acts.get(act.id)
                # One transaction may take an act through two states.
                steps = _AFTER[before.state if before else None]
                steps = steps.union(*(_AFTER.get(step, set()) for step in steps))
                invariant(act.state in steps, "an act goes forward only")
                invariant(act.checker != act.maker, "whoever proposed an act does not approve it")
            memory.operators.update(changes.operators)
            memory.acts.update(changes.acts)
            memory.entries += changes.entries
        self._saved = []
