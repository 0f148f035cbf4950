"""Which answer belongs to which request of ours, and how surely; forgotten as soon as nobody waits.

A queue says itself which message an answer is to, by the message's id.  A socket does not: there an answer is
told by the fields that it echoes, and copies of one message have the same, so that a late answer to an
earlier copy passes for one to the copy after it.
"""

from typing import NamedTuple

Match = tuple[str, ...]

COPIES_MAX = 20_000  # matches whose copies are counted; beyond them the oldest count as answered


class Taken(NamedTuple):
    """Whose answer it is; `sure` is False while an earlier copy of the message may still be answered."""

    ticket: int
    sure: bool


class Pending:
    """What waits for an answer; by match alone the copy that was sent last takes the answer."""

    def __init__(self) -> None:
        self._newest: dict[Match, int] = {}
        self._matches: dict[int, Match] = {}
        self._copies: dict[Match, int] = {}  # sent and not answered, whether somebody waits or not

    def __len__(self) -> int:
        return len(self._matches)

    def add(self, match: Match, ticket: int) -> None:
        """Remember that the answer with this match belongs to this ticket."""
        self._newest[match] = ticket
        self._matches[ticket] = match
        self._copies[match] = self._copies.pop(match, 0) + 1
        if len(self._copies) > COPIES_MAX:
            del self._copies[next(iter(self._copies))]

    def take(self, match: Match, ticket: int | None = None) -> Taken | None:
        """Return whose answer this is, once; None when nobody waits for it.

        `ticket` is what the transport says; then the match must be its request's.
        """
        sure = ticket is not None or self._copies.get(match, 0) <= 1
        found = self._newest.get(match) if ticket is None else ticket
        if ticket is None or self._matches.get(ticket) == match:
            self._count_answer(match)
        if found is None or self._matches.get(found) != match:
            return None
        self._remove(found)
        return Taken(found, sure)

    def forget(self, tickets: list[int]) -> None:
        """Drop tickets that were settled in another way; their answers may come all the same."""
        for ticket in tickets:
            self._remove(ticket)

    def lose(self) -> None:
        """The connection is gone, and with it every answer that was on its way."""
        self._copies.clear()

    def _count_answer(self, match: Match) -> None:
        left = self._copies.get(match, 0) - 1
        if left > 0:
            self._copies[match] = left
        else:
            self._copies.pop(match, None)

    def _remove(self, ticket: int) -> None:
        match = self._matches.pop(ticket, None)
        if match is not None and self._newest.get(match) == ticket:
            del self._newest[match]
