"""Which answer belongs to which request of ours: match keys to tickets, forgotten as soon as nobody waits."""


class Pending:
    """A two-way table; a message that is sent again under the same match takes over from the one before."""

    def __init__(self) -> None:
        self._tickets: dict[tuple[str, ...], int] = {}
        self._matches: dict[int, tuple[str, ...]] = {}

    def __len__(self) -> int:
        return len(self._tickets)

    def add(self, match: tuple[str, ...], ticket: int) -> None:
        """Remember that the answer with this match belongs to this ticket."""
        before = self._tickets.get(match)
        if before is not None:
            self._matches.pop(before, None)
        self._tickets[match] = ticket
        self._matches[ticket] = match

    def take(self, match: tuple[str, ...]) -> int | None:
        """Return the ticket of an answer, once; None when nobody waits for it."""
        ticket = self._tickets.pop(match, None)
        if ticket is not None:
            self._matches.pop(ticket, None)
        return ticket

    def forget(self, tickets: list[int]) -> None:
        """Drop tickets that were settled in another way."""
        for ticket in tickets:
            match = self._matches.pop(ticket, None)
            if match is not None:
                self._tickets.pop(match, None)
