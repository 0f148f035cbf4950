"""The order of what we send, and the chain of what operators did.  Pure.

I11  the audit chain is unbroken: its hash is worked out here again, from the entries' words
I14  what concerns one account goes out in the order in which it was stored, one after the other is settled
"""

import hashlib
import json
from collections import deque
from collections.abc import Hashable, Iterable
from typing import Any

from simulators.world.observe import Violation

GENESIS = bytes(32)


class Order:
    """The entries of each account on each lane, oldest first, until they are settled."""

    def __init__(self) -> None:
        self._waiting: dict[tuple[str, str], deque[Hashable]] = {}

    def stored(self, lane: str, account: str, entry: Hashable) -> None:
        """Take an entry that was stored; one that is known is only written anew."""
        waiting = self._waiting.setdefault((lane, account), deque())
        if entry not in waiting:
            waiting.append(entry)

    def sent(self, lane: str, account: str, entry: Hashable) -> None:
        """Hold an entry that goes out to be the oldest of its account."""
        waiting = self._waiting.get((lane, account), deque())
        if entry not in waiting:
            raise Violation("I14", str(entry), f"sent on {lane} before it was stored")
        if waiting[0] != entry:
            says = f"sent on {lane} before {waiting[0]}, which is older and of the same account"
            raise Violation("I14", str(entry), says)

    def settled(self, lane: str, account: str, entry: Hashable) -> None:
        """Forget an entry that has come to its end, or was put aside."""
        waiting = self._waiting.get((lane, account))
        if waiting is not None and entry in waiting:
            waiting.remove(entry)

    @property
    def left(self) -> int:
        """How many entries have not come to their end."""
        return sum(map(len, self._waiting.values()))


def chain(entries: Iterable[Any]) -> None:
    """Hold an audit chain to its own words, from the first entry on.

    hash = SHA-256(hash before ‖ canonical JSON of [number, at_us, who, what, act, detail, note])
    """
    before, expected = GENESIS, 1
    for entry in entries:
        if entry.number != expected:
            raise Violation("I11", f"entry {entry.number}", f"entry {expected} should stand there")
        said = [entry.number, entry.at_us, entry.who, entry.what, entry.act, entry.detail, entry.note]
        text = json.dumps(said, ensure_ascii=True, sort_keys=True, separators=(",", ":"))
        if entry.previous != before:
            raise Violation("I11", f"entry {entry.number}", "it does not hold the hash of the one before it")
        before = hashlib.sha256(before + text.encode("ascii")).digest()
        if entry.hash != before:
            raise Violation("I11", f"entry {entry.number}", "its hash is not that of what it says")
        expected += 1
