"""One thread with one connection to a queue manager: gets messages of one queue in units of work.

    get a unit ─▶ hand it to the reactor ─▶ put answers as they come ─▶ all have ended ─▶ commit, or roll back
        ▲                                                                                      │
        └──────────────── connect again, after a pause ◀── the connection is lost ◀────────────┘

An answer leaves at once and its message stays in the unit until the front is done with it: a crash between
the two brings the message again, and its repeat hears the same answer.
"""

import queue
import threading
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

from bankmq.ibmmq_client import Manager, MqConnection, MqGoneError, MqRefusedError
from bankmq.ibmmq_messages import Got, Unit, backout_descriptor, reply_descriptor
from bankmq.ibmmq_names import IbmmqNames
from qianzhi.runtime.log import get_logger

WAIT_MS = 500  # of one get, so that a pause and a stop are seen
RETRY_SECONDS = (0.2, 0.5, 1.0, 2.0, 5.0)
RELEASE_SECONDS = 2.0  # after a unit was rolled back: what kept us from answering would keep us again


class Order(NamedTuple):
    """What the front wants done with one message of a unit: reply, end, release, back_out; or stop."""

    what: str
    unit: int = 0
    at: int = 0
    body: bytes = b""
    reason: str = ""


class Owner(Protocol):
    """Hears from a worker, on the reactor's thread."""

    def on_unit(self, worker: "IbmmqWorker", unit: int, items: list[Got]) -> None:
        """Messages were got; orders name them by the unit's number and their places."""

    def on_put(self, worker: "IbmmqWorker", unit: int, at: int, taken: bool) -> None:
        """The answer to a message was taken by the queue manager, or cannot be put."""

    def on_worker(self, worker: "IbmmqWorker", state: str, void: bool) -> None:
        """The connection's state in plain words, empty when it serves; `void` says that its unit is gone."""

    def on_ended(self, worker: "IbmmqWorker") -> None:
        """The thread has ended."""


class IbmmqWorker:
    """Reads one queue of one bank."""

    def __init__(
        self,
        mq: Any,
        manager: Manager,
        names: IbmmqNames,
        source: str,
        messages_max: int,
        owner: Owner,
        on_reactor: Callable[..., Any],
    ) -> None:
        """`source` is the queue; `on_reactor` is the reactor's callFromThread.  Nothing begins before
        `start`."""
        self.source = source
        self._mq = mq
        self._manager = manager
        self._names = names
        self._messages_max = messages_max
        self._owner = owner
        self._on_reactor = on_reactor
        self._orders: queue.SimpleQueue[Order] = queue.SimpleQueue()
        self._number = 0
        self._said: str | None = None
        self._stopping = threading.Event()
        self._going = threading.Event()
        self._going.set()
        self._log = get_logger("bankmq")

    def start(self) -> None:
        """Begin, on a thread that does not keep the process alive."""
        threading.Thread(target=self._run, name=f"mq-{self.source}", daemon=True).start()

    def order(self, order: Order) -> None:
        """Ask for something; an order about a unit that is gone is ignored."""
        self._orders.put(order)

    def pause(self, paused: bool) -> None:
        """Get nothing new, or go on."""
        if paused:
            self._going.clear()
        else:
            self._going.set()

    def stop(self) -> None:
        """Roll back what is open and end."""
        self._stopping.set()
        self._going.set()
        self.order(Order("stop"))

    def _run(self) -> None:
        failures = 0
        while not self._stopping.is_set():
            try:
                connection = MqConnection(self._mq, self._manager)
            except MqGoneError as error:
                self._tell(str(error))
                self._rest(RETRY_SECONDS[min(failures, len(RETRY_SECONDS) - 1)])
                failures += 1
                continue
            try:
                while not self._stopping.is_set():
                    self._serve_one(connection)
                    failures = 0
            except MqGoneError as error:
                failures += 1
                self._tell(str(error))
            finally:
                connection.close()
            self._rest(RETRY_SECONDS[min(failures, len(RETRY_SECONDS) - 1)])
        self._on_reactor(self._owner.on_ended, self)

    def _serve_one(self, connection: MqConnection) -> None:
        """Get a unit, if there is one, and bring it to its end."""
        if not self._going.wait(WAIT_MS / 1_000) or self._stopping.is_set():
            return
        first = connection.get(self.source, WAIT_MS)
        self._tell("")
        if first is None:
            return
        unit = Unit(first, self._messages_max)
        while unit.wants_more and (more := connection.get(self.source, 0)) is not None:
            unit.add(more)
        self._number += 1
        self._on_reactor(self._owner.on_unit, self, self._number, list(unit.items))
        while not unit.settled:
            order = self._orders.get()
            if self._stopping.is_set():
                return
            if order.unit == self._number:
                self._carry_out(order, unit, connection)
        if unit.commits:
            connection.commit()
        else:
            connection.back_out()
            self._rest(RELEASE_SECONDS)

    def _carry_out(self, order: Order, unit: Unit, connection: MqConnection) -> None:
        asked = unit.items[order.at].descriptor
        if order.what == "reply":
            try:
                connection.put(
                    asked.reply_to_queue,
                    asked.reply_to_manager,
                    reply_descriptor(asked),
                    order.body,
                    in_unit=False,
                )
                taken = True
            except MqRefusedError as error:
                taken = False
                self._log.error("answer cannot be put", queue=asked.reply_to_queue, reason=str(error))
            self._on_reactor(self._owner.on_put, self, order.unit, order.at, taken)
        elif order.what == "back_out":
            unit.end(order.at, released=not self._put_aside(order, unit, connection))
        else:
            unit.end(order.at, released=order.what == "release")

    def _put_aside(self, order: Order, unit: Unit, connection: MqConnection) -> bool:
        """Put a message on the backout queue, in the unit that takes it from its own; say whether that was
        possible."""
        got = unit.items[order.at]
        fields = {"queue": self._names.backout, "reason": order.reason, "id": got.descriptor.message_id.hex()}
        try:
            descriptor = backout_descriptor(got.descriptor)
            connection.put(self._names.backout, "", descriptor, got.body, in_unit=True)
        except MqRefusedError as error:
            self._log.error("alarm", alarm="backout_failed", fields={**fields, "error": str(error)})
            return False
        self._log.error("alarm", alarm="message_backed_out", fields=fields)
        return True

    def _tell(self, state: str) -> None:
        """Tell the connection's state when it has changed; a lost connection takes its unit with it."""
        if state == self._said:
            return
        self._said = state
        if state:
            self._log.warning("no line to the queue manager", queue=self.source, reason=state)
        self._on_reactor(self._owner.on_worker, self, state, bool(state))

    def _rest(self, seconds: float) -> None:
        self._stopping.wait(seconds)
