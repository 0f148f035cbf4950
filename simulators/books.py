"""A bank's own sums by business date between runs, in its state file: known for whole days, or not at all.

A day is whole when the file was there before the day's first message, every run that wrote under it has come
to its end with all its serials settled, and every request by hand has a certain outcome.  A run that was
killed leaves its days open for good, so nothing false is ever compared.
"""

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from typing import Any

from simulators.sums import Day, Sums

State = dict[str, Any]


class Books:
    """The books of one bank; `locked` gives the state file's content to be changed."""

    def __init__(self, locked: Callable[[], AbstractContextManager[State]]) -> None:
        self._locked = locked

    def open(self, date: int) -> None:
        """Say that messages are about to be sent under a date."""
        with self._locked() as state:
            _begin(state, date)
            _count(state, date, 1)

    def begin(self, date: int) -> None:
        """Say that a new file begins with this date; an older one without books begins with the next."""
        with self._locked() as state:
            _begin(state, date)

    def close(self, dates: Iterable[int], sums: dict[Day, Sums] | None) -> None:
        """Say that a run which opened these dates has ended; its sums are None when they are not known."""
        with self._locked() as state:
            for date in dates:
                _count(state, date, -1)
                if sums is None:
                    _spoil(state, date)
            for day, own in (sums or {}).items():
                kept = state.setdefault("sums", {})
                kept[day.text] = list(Sums(*kept.get(day.text, Sums())).plus(own))

    def note_by_hand(self, day: Day, serial: str, amount_fen: int, *, reversed_now: bool) -> None:
        """Count one approved request by hand; a serial that is not ours by hand spoils its day."""
        with self._locked() as state:
            by_hand = state.setdefault("by_hand", {}).setdefault(day.text, {})
            if reversed_now and serial not in by_hand:
                _spoil(state, day.date)
            elif reversed_now:
                by_hand[serial][1] = True
            else:
                by_hand.setdefault(serial, [amount_fen, False])

    def spoil(self, date: int) -> None:
        """Say that a day's sums can no longer be known."""
        with self._locked() as state:
            _spoil(state, date)

    def sums(self, day: Day) -> Sums | None:
        """Return what the bank counts of a whole day, None when it does not know."""
        with self._locked() as state:
            since, date = state.get("books_since"), str(day.date)
            if since is None or day.date < since or state.get("open", {}).get(date):
                return None
            if date in state.get("spoilt", []):
                return None
            total = Sums(*state.get("sums", {}).get(day.text, Sums()))
            for amount_fen, is_reversed in state.get("by_hand", {}).get(day.text, {}).values():
                total = total.plus(Sums(1, amount_fen, *((1, amount_fen) if is_reversed else (0, 0))))
        return total


def _begin(state: State, date: int) -> None:
    state.setdefault("books_since", date + 1 if state.get("next_serial") else date)


def _count(state: State, date: int, change: int) -> None:
    runs = state.setdefault("open", {})
    runs[str(date)] = max(0, int(runs.get(str(date), 0)) + change)


def _spoil(state: State, date: int) -> None:
    spoilt = state.setdefault("spoilt", [])
    if str(date) not in spoilt:
        spoilt.append(str(date))
