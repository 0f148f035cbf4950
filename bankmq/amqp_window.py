"""Which publications the broker has taken: a window of confirms with our own account of returned ones.  Pure.

AMQP says nothing about which publication a returned message was, so it is known again by its message id.  A
return always comes before the confirm of the same publication; the confirm alone then tells nothing.  So a
publication is settled by its confirm, as returned where a message of its id came back before, and by nothing
else but the loss of the channel.
"""

from collections import deque
from collections.abc import Hashable

from bankmq.amqp_messages import Settled

Outcome = tuple[Hashable, Settled]


class ConfirmWindow:
    """The publications of one channel that are not settled; the channel counts them from 1, as the broker
    does."""

    def __init__(self, confirms_max: int) -> None:
        self._max = confirms_max
        self._next = 1
        self._pending: dict[int, _Pending] = {}  # in the order of publishing
        self._by_id: dict[bytes, deque[_Pending]] = {}

    def __len__(self) -> int:
        return len(self._pending)

    @property
    def room(self) -> int:
        """How many more may be published."""
        return self._max - len(self._pending)

    @property
    def oldest_us(self) -> int | None:
        """When the oldest unsettled publication was made (monotonic), or None."""
        return next(iter(self._pending.values())).at_us if self._pending else None

    def publish(self, ticket: Hashable, message_id: str | bytes, at_us: int) -> None:
        """Take note of the next publication of the channel."""
        pending = _Pending(self._next, ticket, _plain(message_id), at_us)
        self._pending[self._next] = pending
        self._by_id.setdefault(pending.message_id, deque()).append(pending)
        self._next += 1

    def on_returned(self, message_id: str | bytes | None) -> bool:
        """A message came back: the oldest of its id that has not yet.  Say whether there was one."""
        for pending in self._by_id.get(_plain(message_id), ()):
            if not pending.returned:
                pending.returned = True
                return True
        return False

    def on_confirm(self, number: int, multiple: bool, taken: bool = True) -> list[Outcome]:
        """The broker confirms one publication, or all up to it; one that it did not take is lost.  A number
        that is not pending settles nothing."""
        numbers = [number]
        if multiple:
            numbers = []
            for pending in self._pending:
                if pending > number:
                    break
                numbers.append(pending)
        settled = (self._settle(each, taken) for each in numbers)
        return [outcome for outcome in settled if outcome is not None]

    def lose(self) -> list[Outcome]:
        """The channel has gone: nothing more will be said about what is pending."""
        lost: list[Outcome] = [(pending.ticket, "lost") for pending in self._pending.values()]
        self._pending.clear()
        self._by_id.clear()
        return lost

    def _settle(self, number: int, taken: bool) -> Outcome | None:
        pending = self._pending.pop(number, None)
        if pending is None:
            return None
        same = self._by_id[pending.message_id]
        same.remove(pending)
        if not same:
            del self._by_id[pending.message_id]
        if pending.returned:
            return pending.ticket, "returned"
        return pending.ticket, "confirmed" if taken else "lost"


class _Pending:
    """One publication under way."""

    __slots__ = ("at_us", "message_id", "number", "returned", "ticket")

    def __init__(self, number: int, ticket: Hashable, message_id: bytes, at_us: int) -> None:
        self.number = number
        self.ticket = ticket
        self.message_id = message_id
        self.at_us = at_us
        self.returned = False


def _plain(message_id: str | bytes | None) -> bytes:
    """Return an id as it goes over the wire: what was sent as bytes comes back as text where it can."""
    return message_id.encode() if isinstance(message_id, str) else message_id or b""
