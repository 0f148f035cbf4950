"""A bank's queues on IBM MQ; fits `bankmq.queue.QueueServer`.

    <BANK>, <BANK>.CTL ──▶ workers, each with a connection and a unit of work ──▶ deliveries ──▶ the front
    answers ──▶ ReplyToQ, at once          at fault ──▶ <BANK>.BO, in the unit that took the message

`ibmmq` is IBM's module and needs IBM's client library; it is imported at `start`.
"""

import itertools
from typing import Annotated, Any, NamedTuple

from annotated_types import Interval
from twisted.internet.defer import Deferred

from bankmq.ibmmq_client import Manager, load_client
from bankmq.ibmmq_messages import Got, delivery_of
from bankmq.ibmmq_names import IbmmqNames
from bankmq.ibmmq_worker import IbmmqWorker, Order
from bankmq.queue import Delivery, QueueHandler
from qianzhi.runtime import clock, metrics
from qianzhi.runtime.table import table

UNIT_MESSAGES_MAX = 50


@table
class IbmmqLimits:
    """`prefetch` bounds the deliveries in flight on each queue, shared by its `workers`."""

    prefetch: Annotated[int, Interval(ge=1, le=65_535)] = 500
    message_bytes_max: Annotated[int, Interval(ge=64, le=16_000_000)] = 65_536
    workers: Annotated[int, Interval(ge=1, le=64)] = 2


class _Place(NamedTuple):
    """Where a delivery stands: whose unit, and where in it."""

    worker: IbmmqWorker
    unit: int
    at: int


class IbmmqQueueServer:
    """The queues of one bank, consumed."""

    def __init__(
        self,
        names: IbmmqNames,
        manager: Manager,
        limits: IbmmqLimits,
        reactor: Any,
        *,
        one_queue: bool = False,
        module: Any = None,
    ) -> None:
        """`module` stands in for `ibmmq` in tests.  Nothing is imported before `start`."""
        self._names = names
        self._manager = manager
        self._limits = limits
        self._reactor = reactor
        self._module = module
        self._sources = (names.main,) if one_queue else (names.main, names.control)
        self._handler: QueueHandler | None = None
        self._workers: list[IbmmqWorker] = []
        self._states: dict[IbmmqWorker, str] = {}
        self._tags = itertools.count(1)
        self._places: dict[int, _Place] = {}
        self._by_place: dict[_Place, int] = {}
        self._waiting: list[Delivery] = []
        self._gathering: Any = None
        self._paused = False
        self._stopping: Deferred[None] | None = None

    def start(self, handler: QueueHandler) -> None:
        """Connect, whether the queue manager is there or not; raises QueueError without IBM's client."""
        self._handler = handler
        module = self._module or load_client()
        workers = min(self._limits.workers, self._limits.prefetch)
        messages_max = min(UNIT_MESSAGES_MAX, self._limits.prefetch // workers)
        for source in self._sources:
            for _ in range(workers):
                on_reactor = self._reactor.callFromThread
                worker = IbmmqWorker(
                    module, self._manager, self._names, source, messages_max, self, on_reactor
                )
                self._workers.append(worker)
                self._states[worker] = "connecting"
                worker.pause(self._paused and source == self._names.main)
        for worker in self._workers:
            worker.start()

    def reply(self, items: list[tuple[int, bytes]]) -> None:
        """Put answers; each is confirmed or returned later.  An answer to a void delivery is dropped."""
        for tag, body in items:
            self._order(tag, "reply", body=body)

    def acknowledge(self, tags: list[int]) -> None:
        """Be done with deliveries; unknown tags are ignored, as an acknowledgement may come twice."""
        for tag in tags:
            self._order(tag, "end")
            self._forget(tag)

    def release(self, tags: list[int]) -> None:
        """Give deliveries back: their units are rolled back, and whatever was in them comes again."""
        for tag in tags:
            self._order(tag, "release")
            self._forget(tag)

    def back_out(self, items: list[tuple[int, str]]) -> None:
        """Move deliveries to the backout queue, as (tag, reason)."""
        for tag, reason in items:
            self._order(tag, "back_out", reason=reason)
            self._forget(tag)
        metrics.count("qianzhi_alarms_total", ("message_backed_out",), len(items))

    def pause(self, queue: str, paused: bool) -> None:
        """Stop or go on getting from the main queue, of which one get that has begun may still bring a unit;
        raises ValueError for any other."""
        if queue != self._names.main:
            raise ValueError(f"only {self._names.main} can be paused, not {queue}")
        self._paused = paused
        for worker in self._workers:
            if worker.source == queue:
                worker.pause(paused)

    def status(self) -> dict[str, Any]:
        """Return the state of the connections in plain words."""
        troubles = sorted({state for state in self._states.values() if state})
        text = "; ".join(troubles) if troubles else f"serving from {self._manager.name}"
        return {
            "broker": text,
            "broker_state": "unreachable" if troubles else "ready",
            "unanswered": len(self._places),
        }

    def stop(self) -> Any:
        """Roll back what is open; the result fires when every thread has ended."""
        if self._stopping is None:
            self._stopping = Deferred()
            for worker in self._workers:
                worker.stop()
            if not self._workers:
                self._stopping.callback(None)
        return self._stopping

    # From the workers, on the reactor's thread

    def on_unit(self, worker: IbmmqWorker, unit: int, items: list[Got]) -> None:
        """Number what was got, and hand it over with what other workers got in the same turn."""
        now_us = clock.now().wall_us
        for at, got in enumerate(items):
            tag, place = next(self._tags), _Place(worker, unit, at)
            self._places[tag], self._by_place[place] = place, tag
            bytes_max = self._limits.message_bytes_max
            self._waiting.append(delivery_of(got, tag, self._names, bytes_max, now_us))
        self._count("read", len(items))
        if self._gathering is None:
            self._gathering = self._reactor.callLater(0, self._hand_over)

    def on_put(self, worker: IbmmqWorker, unit: int, at: int, taken: bool) -> None:
        """Tell what became of an answer."""
        tag = self._by_place.get(_Place(worker, unit, at))
        if tag is None or self._handler is None:
            return
        self._count("answered" if taken else "returned")
        if taken:
            self._handler.on_confirmed([tag])
            return
        metrics.count("qianzhi_alarms_total", ("reply_returned",))
        self._handler.on_returned([tag])

    def on_worker(self, worker: IbmmqWorker, state: str, void: bool) -> None:
        """Keep a connection's state; forget the deliveries of one that is lost."""
        self._states[worker] = state
        for tag in [tag for tag, place in self._places.items() if void and place.worker is worker]:
            self._forget(tag)

    def on_ended(self, worker: IbmmqWorker) -> None:
        """Note that a thread has ended."""
        self._workers.remove(worker)
        if not self._workers and self._stopping is not None:
            self._stopping.callback(None)

    def _hand_over(self) -> None:
        self._gathering = None
        deliveries = [one for one in self._waiting if one.tag in self._places]
        self._waiting.clear()
        deliveries.sort(key=lambda delivery: delivery.queue != self._names.control)
        if self._handler is not None and deliveries:
            self._handler.on_deliveries(deliveries)

    def _order(self, tag: int, what: str, *, body: bytes = b"", reason: str = "") -> None:
        place = self._places.get(tag)
        if place is not None:
            place.worker.order(Order(what, place.unit, place.at, body, reason))

    def _forget(self, tag: int) -> None:
        place = self._places.pop(tag, None)
        if place is not None:
            del self._by_place[place]

    def _count(self, what: str, n: int = 1) -> None:
        metrics.count("qianzhi_queue_messages_total", (self._names.main, what), n)
