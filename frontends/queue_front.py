"""A bank's queues as the front-end daemon sees them: deliveries in, replies and acknowledgements out.

Pure, and thin: a delivery is acknowledged once its reply is confirmed, or its silence stands in the event
file, which the core says by `done` (money rule 9).  The engine beneath, the file of who is handled alone and
the clock are given.
"""

from collections.abc import Callable, Hashable
from typing import Any, Protocol

from bankmq.queue import Delivery, QueueServer
from frontends.front import BACKOUT, DONE, TO_BANK, Frame
from frontends.processor import Processor
from qianzhi.runtime.effects import Effects, Send
from qianzhi.runtime.now import Now


class Aside(Protocol):
    """Who takes the deliveries that were given out before (`alone.Alone`)."""

    def put_aside(self, items: list[Delivery], handle: Callable[[list[Delivery]], None]) -> list[Delivery]:
        """Return those that come for the first time; hand over the others one by one, later."""

    def stop(self) -> None:
        """Hand over nothing more."""


class QueueFront:
    """The queues of one bank; `run` carries out what the core wants done."""

    def __init__(
        self,
        queue: str,
        server: QueueServer,
        core: Processor,
        run: Callable[[Effects], None],
        now: Callable[[], Now],
        alone: Aside | None = None,
    ) -> None:
        """`queue` is the main queue's name; `alone` takes what was given out before.

        Nothing is opened before `start`.
        """
        self._alone = alone
        self._queue = queue
        self._server = server
        self._core = core
        self._run = run
        self._now = now
        self._stopped = False

    def start(self) -> str:
        """Begin to consume; return the queue's name.  Raises QueueError."""
        self._server.start(self)
        return self._queue

    def send(self, items: list[tuple[Any, bytes]]) -> None:
        """Reply to deliveries."""
        if not self._stopped:
            self._server.reply(items)

    def done(self, sources: list[Any]) -> None:
        """Acknowledge what gets no reply."""
        if not self._stopped:
            self._server.acknowledge(sources)

    def finish(self, send: Send) -> None:
        """Acknowledge what gets no reply, or put aside what cannot be served."""
        if send.to == BACKOUT and not self._stopped:
            self._server.back_out(send.items)
        elif send.to == DONE:
            self.done(send.items)

    def withhold(self, send: Send) -> None:
        """Give back the deliveries whose answer, or whose silence, could not be recorded and is not told."""
        if not self._stopped and send.to in (TO_BANK, BACKOUT, DONE):
            self._server.release(send.items if send.to == DONE else [tag for tag, _ in send.items])

    def close(self, source: Hashable, reason: str) -> None:
        """A queue has no connection of the bank's to close; nothing of this delivery is answered."""
        self.done([source])

    def pause(self, paused: bool) -> None:
        """Stop or go on consuming the main queue."""
        if not self._stopped:
            self._server.pause(self._queue, paused)

    def stop_accepting(self) -> None:
        """The core pauses the main queue; the control queue is served to the end."""

    def stand_by(self, standing_by: bool) -> None:
        """The core pauses the main queue; what waits there is the other instance's to take."""

    def status(self) -> dict[str, Any]:
        """Return the engine's state."""
        return self._server.status()

    @property
    def idle(self) -> bool:
        """Whether every delivery is acknowledged."""
        return not self._server.status()["unanswered"]

    def stop(self) -> Any:
        """Stop consuming; return a Deferred, or None."""
        if not self._stopped:
            self._stopped = True
            if self._alone is not None:
                self._alone.stop()
            return self._server.stop()
        return None

    def on_deliveries(self, items: list[Delivery]) -> None:
        """Messages of one wake-up, control messages first."""
        if self._alone is not None:
            items = self._alone.put_aside(items, self._handle)
        if items:
            self._handle(items)

    def _handle(self, items: list[Delivery]) -> None:
        frames = [Frame(item.tag, item.body, item.expires_us, item.fault) for item in items]
        self._run(self._core.on_frames(frames, self._now()))

    def on_confirmed(self, tags: list[int]) -> None:
        """Replies have been taken by the engine: their deliveries are finished."""
        self._server.acknowledge(tags)

    def on_returned(self, tags: list[int]) -> None:
        """Replies cannot reach their asker."""
        self._run(self._core.on_returned(list(tags), self._now()))
