"""The locks of the model database: who holds what, who waits for it, in the order of asking.  Pure.

A name is anything; a lock is held by several that only read under it, or by one that changes.
"""

from collections import deque
from collections.abc import Callable, Hashable, Sequence
from typing import Any, NamedTuple

Wish = tuple[Hashable, bool]  # a name, and whether it is wanted alone


class Taker(NamedTuple):
    """Somebody who takes locks one after the other; `go_on` is called once all are theirs.

    `waits` hears of each that must be waited for, and of who holds it.
    """

    who: Any
    wishes: Sequence[Wish]
    go_on: Callable[[], None]
    waits: Callable[[Hashable, list[Any]], None]


class Locks:
    """All locks; a name that nobody holds is not kept."""

    def __init__(self) -> None:
        self._held: dict[Hashable, dict[Any, bool]] = {}
        self._waiting: dict[Hashable, deque[tuple[Taker, int]]] = {}
        self._of: dict[Any, list[Hashable]] = {}

    def take(self, taker: Taker) -> None:
        """Take all that is wished for; `go_on` is called now, or within the call of whoever gives back the
        last one that was missing.
        """
        self._next(taker, 0)

    def give_back(self, who: Any) -> None:
        """Give back all that somebody holds, and let them wait no more."""
        for name, queue in list(self._waiting.items()):
            kept = deque(one for one in queue if one[0].who is not who)
            if kept:
                self._waiting[name] = kept
            else:
                del self._waiting[name]
        for name in self._of.pop(who, ()):
            holders = self._held[name]
            del holders[who]
            if not holders:
                del self._held[name]
        for name in list(self._waiting):
            self._serve(name)

    def clear(self) -> None:
        """Nobody holds or waits for anything any more."""
        self._held.clear()
        self._waiting.clear()
        self._of.clear()

    def _next(self, taker: Taker, at: int) -> None:
        who, wishes = taker.who, taker.wishes
        for number in range(at, len(wishes)):
            name, alone = wishes[number]
            holders = self._held.get(name)
            if holders is None:
                self._hold(who, name, alone)
            elif who in holders:
                continue
            elif alone or name in self._waiting or any(holders.values()):
                self._waiting.setdefault(name, deque()).append((taker, number))
                taker.waits(name, list(holders))
                return
            else:
                self._hold(who, name, alone)
        taker.go_on()

    def _hold(self, who: Any, name: Hashable, alone: bool) -> None:
        self._held.setdefault(name, {})[who] = alone
        self._of.setdefault(who, []).append(name)

    def _serve(self, name: Hashable) -> None:
        """Let those go on who wait for nothing more, in the order of their asking."""
        while queue := self._waiting.get(name):
            taker, number = queue[0]
            alone = taker.wishes[number][1]
            holders = self._held.get(name, {})
            if holders and (alone or any(holders.values())):
                return
            queue.popleft()
            if not queue:
                del self._waiting[name]
            self._hold(taker.who, name, alone)
            self._next(taker, number + 1)
