"""What a front-end asks of a message queue, whichever engine stands beneath: ZeroMQ now, RabbitMQ by the same
shape.

A bank has a main queue and, where it can, a control queue `<queue>.ctl` for reversals and status queries,
which is never paused.  A message is acknowledged only after its reply is confirmed, or returned as unroutable
and so recorded, or its silence is in the event file; whoever handles deliveries decides that.  Pure: only
names and shapes.
"""

from typing import Any, NamedTuple, Protocol

CONTROL_SUFFIX = ".ctl"


class Delivery(NamedTuple):
    """One message as it came.

    `tag` is our number of this delivery, never used twice; `message_id` the sender's, the same when it sends
    again (empty when it has none); `reply_to` where the reply goes (engine's form, empty when the sender left
    it out); `expires_us` wall time after which it must not be forwarded, 0 for never; `failures` how often it
    was delivered before without being acknowledged; `fault` names what is wrong with the message around its
    body, so that it cannot be served (empty: nothing).
    """

    tag: int
    queue: str
    message_id: bytes
    body: bytes
    reply_to: bytes
    expires_us: int = 0
    failures: int = 0
    fault: str = ""


class QueueHandler(Protocol):
    """Hears what happens on a bank's queues; every call brings a list."""

    def on_deliveries(self, items: list[Delivery]) -> None:
        """Everything that one wake-up brought, control messages first."""

    def on_confirmed(self, tags: list[int]) -> None:
        """The engine has taken the replies to these deliveries."""

    def on_returned(self, tags: list[int]) -> None:
        """The replies to these deliveries cannot reach their asker."""


class QueueServer(Protocol):
    """A bank's queues, consumed."""

    def start(self, handler: QueueHandler) -> None:
        """Begin to consume; raises QueueError when the engine or address cannot be had."""

    def reply(self, items: list[tuple[int, bytes]]) -> None:
        """Send replies, as (tag, body); each is confirmed or returned later, never in this call."""

    def acknowledge(self, tags: list[int]) -> None:
        """Be done with these deliveries, which makes room under the bound of what is in flight."""

    def release(self, tags: list[int]) -> None:
        """Give deliveries back without a reply, which makes room as well: they come again."""

    def back_out(self, items: list[tuple[int, str]]) -> None:
        """Move deliveries, as (tag, reason), to the queue of what cannot be served, for the message's own
        fault; where the engine has none they are counted and dropped."""

    def pause(self, queue: str, paused: bool) -> None:
        """Stop or go on consuming the main queue; raises ValueError for a control queue."""

    def status(self) -> dict[str, Any]:
        """Return the engine's state for operators: at least `broker`, in plain words."""

    def stop(self) -> None:
        """Stop consuming; what is unacknowledged comes again or was never lost."""


class QueueError(Exception):
    """The queue engine or an address of it cannot be used; the text is for the operator."""
