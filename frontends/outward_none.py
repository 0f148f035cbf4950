"""The outward direction of a bank that is asked for nothing: the face of `outward.Outward`, and no work."""

from collections.abc import Hashable
from typing import Any

from frontends.front import Frame, Outbox
from frontends.mapping_rows import Message
from frontends.outward import Outward
from qianzhi.link.messages import Answer, Envelope, Status
from qianzhi.runtime.effects import Send
from qianzhi.runtime.now import Now


class NoOutward:
    """Nothing is asked of this bank; see `Outward` for what each method is for."""

    idle = True
    deadline: int | None = None

    def status(self, now: Now) -> dict[str, Any]:
        """Show nothing."""
        return {}

    def on_connected(self, source: Hashable, now: Now, out: Outbox) -> None:
        """Do nothing."""

    def on_closed(self, source: Hashable, now: Now, out: Outbox) -> None:
        """Do nothing."""

    def drain(self, draining: bool) -> None:
        """Do nothing."""

    def on_peer_up(self, peer: str, now: Now) -> None:
        """Do nothing."""

    def on_peer_down(self, peer: str) -> None:
        """Do nothing."""

    def tell(self, now: Now, out: Outbox) -> None:
        """Say nothing."""

    def on_answers(self, peer: str, items: list[Answer], now: Now, out: Outbox) -> list[Answer]:
        """Leave all answers to others."""
        return items

    def on_requests(self, peer: str, items: list[Envelope], now: Now, out: Outbox) -> None:
        """Refuse what the house asks: this bank has no such transaction."""
        out.extend([Send(("peer", peer), [Answer(item.id, Status.NO_ROUTE) for item in items])])

    def is_ours(self, message: Message) -> bool:
        """Know no message of ours."""
        return False

    def on_answer(self, frame: Frame, message: Message, now: Now, out: Outbox) -> bool:
        """Leave the answer to the session."""
        return False

    def on_time(self, now: Now, out: Outbox) -> None:
        """Do nothing."""


Way = Outward | NoOutward
