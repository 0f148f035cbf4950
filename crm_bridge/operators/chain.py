"""The audit chain: entries that can only be added, each holding the hash of the one before it.

Pure.  Whoever changes, removes or inserts an entry breaks every hash after it; whoever cuts off the end, or
writes the whole chain anew, is found by a head that was noted elsewhere.

    hash = SHA-256(previous hash ‖ canonical JSON of [number, at_us, who, what, act, detail, note])
"""

import hashlib
import json
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

GENESIS = bytes(32)


class Head(NamedTuple):
    """Where a chain ends: the last entry's number (0 of an empty one) and its hash."""

    number: int = 0
    hash: bytes = GENESIS

    @property
    def text(self) -> str:
        """The head as an operator notes it: `number:hash`."""
        return f"{self.number}:{self.hash.hex()}"


class Entry(NamedTuple):
    """One thing that somebody did.

    `who` is an operator's name, or os:USER@HOST of whoever was no more than let in by the machine; `act` is
    the act that it belongs to, 0 for none; `detail` is canonical JSON; `note` makes what was recorded
    elsewhere first come in once, empty for the rest.
    """

    number: int
    at_us: int
    who: str
    what: str
    act: int
    detail: str
    note: str
    previous: bytes
    hash: bytes

    @property
    def head(self) -> Head:
        """The chain's end while this is its last entry."""
        return Head(self.number, self.hash)

    @property
    def facts(self) -> dict[str, Any]:
        """What `detail` says."""
        found = json.loads(self.detail)
        return found if isinstance(found, dict) else {}


class Fault(NamedTuple):
    """What is wrong with a chain, and at which entry; 0 stands for the chain as a whole."""

    number: int
    what: str


def canonical(value: Any) -> str:
    """Write plain data as JSON in the one form that is hashed."""
    return json.dumps(value, ensure_ascii=True, sort_keys=True, separators=(",", ":"))


def link(
    head: Head, at_us: int, who: str, what: str, detail: dict[str, Any], *, act: int = 0, note: str = ""
) -> Entry:
    """Return the entry that follows `head`."""
    number, text = head.number + 1, canonical(detail)
    entry = Entry(number, at_us, who, what, act, text, note, head.hash, b"")
    return entry._replace(hash=hash_of(entry))


def hash_of(entry: Entry) -> bytes:
    """Work an entry's hash out from what it says and from the hash that it holds of the one before."""
    said = [entry.number, entry.at_us, entry.who, entry.what, entry.act, entry.detail, entry.note]
    return hashlib.sha256(entry.previous + canonical(said).encode("ascii")).digest()


def verify(entries: Iterable[Entry], head: Head | None = None) -> list[Fault]:
    """Return what is wrong with a whole chain, oldest entry first; nothing of one that is unbroken.

    `head` is one that was noted before: the chain must still go through it.
    """
    return list(_faults(entries, head))


def _faults(entries: Iterable[Entry], head: Head | None) -> Iterator[Fault]:
    last = Head()
    met = head is None or head == last
    for entry in entries:
        if entry.number != last.number + 1:
            yield Fault(entry.number, f"it follows entry {last.number}: entries are missing, or in disorder")
        elif entry.previous != last.hash:
            yield Fault(entry.number, "it does not hold the hash of the entry before it")
        if hash_of(entry) != entry.hash:
            yield Fault(entry.number, "its hash is not that of what it says")
        last = entry.head
        met = met or last == head
    if not met and head is not None:
        yield Fault(head.number, f"the head {head.text[:24]}… that was noted is not in the chain")
