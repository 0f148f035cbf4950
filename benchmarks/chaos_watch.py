"""What the banks saw, second by second: their own counts as they grew, and what can be read from these.

Counts are those of `chaos_banks`; a bank that is *touched* by a fault is one whose requests need what it
strikes, from its beginning until it has healed and what was under way has been given up.
"""

import bisect
import itertools
import json
import threading
from collections.abc import Iterable, Sequence
from typing import IO, Any, NamedTuple

SENT, ANSWERED, APPROVED, UNANSWERED, EDGE = range(5)
GIVEN_UP_SECONDS = 6.0  # a bank waits five for an answer


class Span(NamedTuple):
    """A time in which some banks are touched."""

    begin: float
    end: float
    banks: tuple[str, ...]


class Watch:
    """Reads the banks' lines on a thread of its own; asked by others meanwhile."""

    def __init__(self) -> None:
        self.banks: list[str] = []
        self.times: list[float] = []
        self.rows: list[list[list[int]]] = []
        self.ready = threading.Event()
        self._more = threading.Condition()

    def follow(self, lines: "IO[str] | Iterable[str]", copy: "IO[str] | None" = None) -> None:
        """Take lines until there are no more."""
        for line in lines:
            if copy is not None:
                copy.write(line)
            self.take(json.loads(line))

    def take(self, found: list[Any]) -> None:
        """Take one line."""
        with self._more:
            if not self.banks:
                self.banks = found
            else:
                self.times.append(found[0])
                self.rows.append(found[1])
                self.ready.set()
            self._more.notify_all()

    def wait_more(self, seconds: float) -> bool:
        """Wait for the next line."""
        with self._more:
            return self._more.wait(seconds)

    def now(self, bank: str, what: int) -> int:
        """A bank's present count."""
        return self.rows[-1][self.banks.index(bank)][what] if self.rows else 0

    def at(self, moment: float, bank: str, what: int) -> int:
        """A bank's count at a moment, as of the last line before it."""
        found = bisect.bisect_right(self.times, moment) - 1
        return self.rows[found][self.banks.index(bank)][what] if found >= 0 else 0

    def growth(self, begin: float, end: float, bank: str, what: int) -> int:
        """By how much a bank's count grew between two moments."""
        return self.at(end, bank, what) - self.at(begin, bank, what)

    def served_again(self, moment: float, banks: Sequence[str]) -> float | None:
        """When every one of these banks had an approval again after a moment; None while some had none."""
        latest = moment
        for bank in banks:
            place = self.banks.index(bank)
            start = bisect.bisect_right(self.times, moment)
            before = self.rows[start - 1][place][APPROVED] if start else 0
            grown = (
                self.times[at]
                for at in range(start, len(self.times))
                if self.rows[at][place][APPROVED] > before
            )
            found = next(grown, None)
            if found is None:
                return None
            latest = max(latest, found)
        return latest

    def longest_gap(self, begin: float, end: float, bank: str) -> float:
        """The longest time without an approval of a bank between two moments."""
        place = self.banks.index(bank)
        start, stop = (bisect.bisect_right(self.times, each) for each in (begin, end))
        grown = [begin]
        grown += [
            self.times[at]
            for at in range(max(1, start), stop)
            if self.rows[at][place][APPROVED] > self.rows[at - 1][place][APPROVED]
        ]
        grown.append(max(end, grown[-1]))
        return max(later - earlier for earlier, later in itertools.pairwise(grown))

    def untouched(self, spans: Sequence[Span], begin: float, end: float) -> tuple[int, int]:
        """Count the requests of banks while no fault touched them, others being touched, and those of them
        that were not served: given up by the bank, or turned away at the edge."""
        requests = failed = 0
        for earlier, later in quiet_cuts(spans, begin, end):
            touched = {
                bank for span in spans if span.begin < later and span.end > earlier for bank in span.banks
            }
            if not touched:
                continue  # nothing goes on
            for bank in self.banks:
                if bank not in touched:
                    requests += self.growth(earlier, later, bank, ANSWERED)
                    failed += self.growth(earlier, later, bank, EDGE)
                    failed += self.growth(earlier, later, bank, UNANSWERED)
        return requests, failed


def quiet_cuts(spans: Sequence[Span], begin: float, end: float) -> list[tuple[float, float]]:
    """Cut a time into pieces in each of which the same spans hold."""
    edges = {begin, end}
    for span in spans:
        edges |= {each for each in (span.begin, span.end) if begin < each < end}
    ordered = sorted(edges)
    return list(itertools.pairwise(ordered))
