"""What banks put into queues, held to what comes of it: nothing is done with that was not answered.  Pure.

r9   a delivery is acknowledged only after its reply lies in the bank's queue, came back as unroutable, or was
     put aside (.bo), or its silence stands in the event file
I7   at the end every message that a bank put in has come to one of these, or lies counted among dead letters

What is watched is the broker: the front's own books are not asked.  A queue that somebody deletes takes with
it what lies in it; its banks ask again.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from simulators.world.broker import REPLIES
from simulators.world.observe import Violation

if TYPE_CHECKING:
    from bankmq.amqp_messages import Properties, Publication
    from qianzhi.runtime.effects import Event
    from simulators.world.broker import ModelBroker
    from simulators.world.broker_parts import Consumer, Kept

BACKOUT = ".bo"
Name = tuple[str, str]  # the queue that a bank hears replies from, and its message's id


class Queues:
    """Watches one broker from the first event on."""

    def __init__(self, broker: "ModelBroker") -> None:
        self._broker = broker
        self._put: Counter[Name] = Counter()
        self._ended: Counter[Name] = Counter()  # replies and put aside, as the broker has taken them
        self._done: Counter[Name] = Counter()  # acknowledged for that
        self._lost: set[Name] = set()  # with a queue that was deleted
        self._silent: set[tuple[str, str]] = set()  # the front, and the delivery
        for name in ("put", "take_publication", "acknowledge", "begin_fault"):
            setattr(broker, name, getattr(self, f"_on_{name}")(getattr(broker, name)))

    def rows(self, front: str, rows: "Iterable[Event]") -> None:
        """Take what a front says in its event file that nobody is told."""
        for row in rows:
            if row.name == "silent":
                self._silent.add((front, str(row.data.get("conn", ""))))

    def compare(self) -> None:
        """Hold the end: what a bank put in was answered, put aside, passed over in silence, or is dead."""
        dead = {_name(kept.properties) for _, kept in self._broker.dead}
        for name, times in self._put.items():
            if not self._ended[name] and name not in dead and name not in self._lost:
                says = f"put into a queue {times} times, and never answered, put aside or counted as dead"
                raise Violation("I7", " ".join(name), says)

    # -- what the broker does

    def _on_put(self, put: Callable[..., None]) -> Callable[..., None]:
        def watched(queue: str, kept: "Kept") -> None:
            put(queue, kept)
            if queue in self._broker.queues and not queue.startswith(REPLIES):
                self._put[_name(kept.properties)] += 1

        return watched

    def _on_take_publication(self, take: Callable[..., Any]) -> Callable[..., Any]:
        def watched(item: "Publication") -> Any:
            own = item.properties
            if item.routing_key.endswith(BACKOUT):
                self._ended[_name(own)] += 1
            else:
                self._ended[item.routing_key, _text(own.correlation_id)] += 1
            return take(item)

        return watched

    def _on_acknowledge(self, acknowledge: Callable[..., None]) -> Callable[..., None]:
        def watched(consumer: "Consumer", tag: int) -> None:
            kept = consumer.unacknowledged.get(tag)
            if kept is not None and not consumer.queue.startswith(REPLIES):
                self._finished(consumer.process.name, tag, _name(kept.properties))
            acknowledge(consumer, tag)

        return watched

    def _on_begin_fault(self, begin: Callable[..., None]) -> Callable[..., None]:
        def watched(fault: Any) -> None:
            if fault.kind == "queue_gone":
                self._lost |= {name for name, times in self._put.items() if times > self._ended[name]}
            begin(fault)

        return watched

    def _finished(self, front: str, tag: int, name: Name) -> None:
        if (front, str(tag)) in self._silent:
            self._silent.discard((front, str(tag)))
            self._ended[name] += 1
        self._done[name] += 1
        if self._done[name] > self._ended[name]:
            says = f"acknowledged by {front}, and neither answered nor put aside, nor is its silence recorded"
            raise Violation("rule 9", " ".join(name), says)


def _name(properties: "Properties") -> Name:
    return properties.reply_to or "", _text(properties.message_id)


def _text(name: str | bytes | None) -> str:
    return name.decode("latin-1") if isinstance(name, bytes) else name or ""
