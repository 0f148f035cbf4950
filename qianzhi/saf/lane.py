"""One destination's lane: whose turn it is, in the order of each account.  Pure."""

from bisect import insort
from collections import deque
from heapq import heapify, heappop, heappush
from typing import Any

from qianzhi.runtime.now import SECOND_US, Now
from qianzhi.saf.policies import Policy
from qianzhi.saf.rows import Entry

PAUSE_US = SECOND_US  # of a lane whose destination takes nothing, twice as long each time


class Item:
    """An entry in memory; `storing` while its try is written, `asked` while its answer is awaited."""

    __slots__ = ("asked", "due_us", "entry", "storing")

    def __init__(self, entry: Entry) -> None:
        self.entry = entry
        self.due_us = 0
        self.storing = False
        self.asked = False

    def __lt__(self, other: "Item") -> bool:
        return self.entry.number < other.entry.number


class Lane:
    """The open entries of one destination, which is not ready until somebody says so."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._accounts: dict[str, deque[Item]] = {}
        self._heap: list[tuple[int, int, str]] = []  # when, number, account; the first of its account
        self._pause_us = PAUSE_US
        self._until_us = 0  # nothing is tried before
        self._size = 0
        self._out: set[str] = set()  # accounts with an entry under way
        self.ready = False

    @property
    def under_way(self) -> int:
        """How many entries are being stored for their try, or await an answer."""
        return len(self._out)

    @property
    def due_us(self) -> int | None:
        """When something may be tried next (monotonic)."""
        if not self.ready or len(self._out) >= self._policy.window:
            return None
        while self._heap and self._first(self._heap[0]) is None:
            heappop(self._heap)
        return max(self._heap[0][0], self._until_us) if self._heap else None

    def status(self, now: Now) -> dict[str, Any]:
        """Return what operators see."""
        paused_us = max(0, self._until_us - now.mono_us)
        return {
            "ready": self.ready,
            "open": self._size,
            "under_way": len(self._out),
            "paused_ms": paused_us // 1_000,
        }

    def set_ready(self, ready: bool, now: Now) -> None:
        """Begin to try, at once, or stop."""
        if ready and not self.ready:
            self._until_us, self._pause_us = now.mono_us, PAUSE_US
        self.ready = ready

    def heard(self, answered: bool, taken: bool, now: Now) -> None:
        """Slow down while the destination takes nothing."""
        if not taken:
            if self._until_us <= now.mono_us:
                self._until_us = now.mono_us + self._pause_us
                self._pause_us = min(2 * self._pause_us, self._policy.slow_us)
        elif answered:
            self._pause_us = PAUSE_US

    def put(self, item: Item, due_us: int) -> None:
        """Take in an entry, at its place in its account."""
        items = self._accounts.setdefault(item.entry.account, deque())
        self._size += 1
        item.due_us = due_us
        if items and item < items[-1]:
            insort(items, item)
        else:
            items.append(item)
        self._offer(item.entry.account)

    def put_back(self, item: Item, due_us: int) -> None:
        """Let an entry that was under way wait again."""
        self._out.discard(item.entry.account)
        item.asked = item.storing = False
        item.due_us = due_us
        self._offer(item.entry.account)

    def hurry(self, item: Item, now: Now) -> None:
        """Let an entry that waits for its next try have it as soon as its account's order lets it."""
        if not (item.asked or item.storing) and item.due_us > now.mono_us:
            item.due_us = now.mono_us
            self._offer(item.entry.account)

    def remove(self, item: Item) -> None:
        """Let an entry go; the next one of its account may be tried."""
        account = item.entry.account
        items = self._accounts.get(account)
        if items is None or item not in items:
            return
        if item.asked or item.storing:
            self._out.discard(account)
        item.asked = item.storing = False
        items.remove(item)
        self._size -= 1
        if items:
            self._offer(account)
        else:
            del self._accounts[account]

    def next(self, now: Now, window: int) -> Item | None:
        """Return the entry to be tried now, if any; it is under way from then on."""
        if not self.ready or now.mono_us < self._until_us or len(self._out) >= window:
            return None
        while self._heap and (self._heap[0][0] <= now.mono_us or self._first(self._heap[0]) is None):
            item = self._first(heappop(self._heap))
            if item is not None:
                self._out.add(item.entry.account)
                item.storing = True
                return item
        return None

    def clear(self) -> None:
        """Forget all entries; whether the destination is ready stays."""
        self._accounts.clear()
        self._heap.clear()
        self._out.clear()
        self._size = 0

    def _offer(self, account: str) -> None:
        """Say when an account's first entry is due, unless one of it is under way."""
        if account not in self._out:
            first = self._accounts[account][0]
            heappush(self._heap, (first.due_us, first.entry.number, account))
            if len(self._heap) > 64 + 4 * self._size:
                self._heap = [row for row in self._heap if self._first(row) is not None]
                heapify(self._heap)

    def _first(self, row: tuple[int, int, str]) -> Item | None:
        """Return the entry that a row of the heap means, if it is still first of its account and waits."""
        due_us, number, account = row
        items = self._accounts.get(account)
        if items is None or account in self._out:
            return None
        first = items[0]
        return first if (first.due_us, first.entry.number) == (due_us, number) else None
