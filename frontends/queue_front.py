"""A bank's queues as the front-end daemon sees them: deliveries in, replies and acknowledgements out.

Thin: a delivery is acknowledged once its reply is confirmed, or its silence stands in the event file, which
the core says by `done` (money rule 9).
"""

from collections.abc import Callable, Hashable
from typing import Any

from bankmq.queue import Delivery, QueueServer
from frontends.front import DONE, TO_BANK, Frame
from frontends.processor import Processor
from qianzhi.runtime import clock
from qianzhi.runtime.effects import Effects, Send


class QueueFront:
    """The queues of one bank; `run` carries out what the core wants done."""

    def __init__(
        self, queue: str, server: QueueServer, core: Processor, run: Callable[[Effects], None]
    ) -> None:
        """`queue` is the main queue's name; nothing is opened before `start`."""
        self._queue = queue
        self._server = server
        self._core = core
        self._run = run
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

    def withhold(self, send: Send) -> None:
        """Give back the deliveries whose answer, or whose silence, could not be recorded and is not told."""
        if not self._stopped and send.to in (TO_BANK, DONE):
            self._server.release([tag for tag, _ in send.items] if send.to == TO_BANK else send.items)

    def close(self, source: Hashable, reason: str) -> None:
        """A queue has no connection of the bank's to close; nothing of this delivery is answered."""
        self.done([source])

    def pause(self, paused: bool) -> None:
        """Stop or go on consuming the main queue."""
        if not self._stopped:
            self._server.pause(self._queue, paused)

    def stop_accepting(self) -> None:
        """The core pauses the main queue; the control queue is served to the end."""

    def stop(self) -> None:
        """Stop consuming."""
        if not self._stopped:
            self._stopped = True
            self._server.stop()

    def on_deliveries(self, items: list[Delivery]) -> None:
        """Messages of one wake-up, control messages first."""
        frames = [Frame(item.tag, item.body, item.expires_us) for item in items]
        self._run(self._core.on_frames(frames, clock.now()))

    def on_confirmed(self, tags: list[int]) -> None:
        """Replies have been taken by the engine: their deliveries are finished."""
        self._server.acknowledge(tags)

    def on_returned(self, tags: list[int]) -> None:
        """Replies cannot reach their asker."""
        self._run(self._core.on_returned(list(tags), clock.now()))
