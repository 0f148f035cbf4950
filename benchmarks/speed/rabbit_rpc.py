"""RabbitMQ's raw request and reply: pika on Twisted on both sides, persistent messages, nothing in between.

    python rabbit_rpc.py ask < PLACE     asks with the frames of a file; the product's queue too
    python rabbit_rpc.py serve < PLACE   answers each message with so many bytes, and nothing else

PLACE is JSON: host, port, vhost, user, password, exchange, key (the queue), prefetch; of `ask` further
frames, answers, times, in_flight, reply (a queue of its own, empty for direct reply-to) and wait_seconds; of
`serve` reply_bytes.  Both sides use pika's bare channel, whose callbacks cost no Deferred, and acknowledge
many at once: the fastest that pika knows.  `ask` writes what `loadgen.c` writes, and prints as it does.
"""

import json
import sys
import time
from array import array
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pika
from pika.adapters.twisted_connection import TwistedProtocolConnection
from twisted.internet import reactor
from twisted.internet.protocol import ClientFactory

DIRECT = "amq.rabbitmq.reply-to"
ACK_EACH = 32
PERSISTENT = 2
LENGTH_DIGITS = 4
EXPIRES_MS = 600_000  # a queue of replies that nobody reads any more removes itself


class Side:
    """What both have: one connection with one channel, and acknowledgements of many at once."""

    def __init__(self, place: dict[str, Any]) -> None:
        self.place = place
        self.channel: Any = None
        self._tag = self._unacknowledged = 0
        self._due = False

    def open(self, channel: Any) -> None:
        """Take the channel; declare and consume."""
        raise NotImplementedError

    def take(self, tag: int) -> None:
        """A message was handled: acknowledge it with its neighbours."""
        self._tag = tag
        self._unacknowledged += 1
        if self._unacknowledged >= ACK_EACH:
            self._acknowledge()
        elif not self._due:
            self._due = True
            reactor.callLater(0, self._acknowledge)

    def _acknowledge(self) -> None:
        self._due = False
        if self._unacknowledged:
            self.channel.basic_ack(self._tag, multiple=True)
            self._unacknowledged = 0


class Server(Side):
    """Answers every message."""

    def open(self, channel: Any) -> None:
        """Declare the queue and serve it."""
        self.channel, self._reply = channel, b"0" * int(self.place["reply_bytes"])
        arguments = {"x-queue-type": "quorum"}
        channel.basic_qos(prefetch_count=self.place["prefetch"])
        channel.queue_declare(self.place["key"], durable=True, arguments=arguments, callback=self._consume)

    def _consume(self, _: Any) -> None:
        consuming = lambda _: print("ready", flush=True)  # noqa: E731
        self.channel.basic_consume(self.place["key"], self._on_message, callback=consuming)

    def _on_message(self, channel: Any, method: Any, asked: Any, _: bytes) -> None:
        answer = pika.BasicProperties(correlation_id=asked.message_id, delivery_mode=PERSISTENT)
        channel.basic_publish("", asked.reply_to, self._reply, answer)
        self.take(method.delivery_tag)


class Asker(Side):
    """Keeps so many of a file's frames under way until all are answered."""

    def open(self, channel: Any) -> None:
        """Make ready to hear answers, then ask."""
        place = self.place
        self.channel, self._bodies = channel, bodies_of(Path(place["frames"]))
        self._written = array("q", [-1]) * len(self._bodies)
        self._answered = array("q", [-1]) * len(self._bodies)
        self._next = self._count = self._strange = self._other = 0
        self._run = f"{time.time_ns():x}"
        self._answers = Path(place["answers"]).open("wb")  # noqa: SIM115  closed by `_end`
        self._direct = not place["reply"]
        self._reply = DIRECT if self._direct else place["reply"]
        if self._direct:
            self._consume(None)
            return
        channel.basic_qos(prefetch_count=place["prefetch"])
        arguments = {"x-queue-type": "quorum", "x-expires": EXPIRES_MS}
        channel.queue_declare(self._reply, durable=True, arguments=arguments, callback=self._consume)

    def _consume(self, _: Any) -> None:
        begin = lambda _: self._begin()  # noqa: E731
        self.channel.basic_consume(self._reply, self._on_answer, auto_ack=self._direct, callback=begin)

    def _begin(self) -> None:
        self._began, self._own = time.perf_counter_ns(), time.process_time()
        for _ in range(min(self.place["in_flight"], len(self._bodies))):
            self._ask()
        reactor.callLater(self.place["wait_seconds"], self._look, 0)

    def _ask(self) -> None:
        number, place = self._next, self.place
        self._next += 1
        asked = pika.BasicProperties(
            message_id=f"{self._run}-{number}",
            reply_to=self._reply,
            delivery_mode=PERSISTENT,
            timestamp=int(time.time()),
        )
        self._written[number] = time.perf_counter_ns() - self._began
        self.channel.basic_publish(place["exchange"], place["key"], self._bodies[number], asked)

    def _on_answer(self, _: Any, method: Any, answer: Any, body: bytes) -> None:
        if not self._direct:
            self.take(method.delivery_tag)
        run, _, text = str(answer.correlation_id).partition("-")
        if run != self._run:
            self._other += 1  # given again from an earlier run, whose last acknowledgement was lost
            return
        number = int(text)
        if not 0 <= number < len(self._bodies) or self._answered[number] >= 0:
            self._strange += 1
            return
        self._answered[number] = time.perf_counter_ns() - self._began
        self._answers.write(b"%04d" % len(body) + body)
        self._count += 1
        if self._next < len(self._bodies):
            self._ask()
        elif self._count == len(self._bodies):
            self._end()

    def _look(self, count: int) -> None:
        """End when nothing was answered for so long."""
        if self._count == count:
            self._end()
        else:
            reactor.callLater(self.place["wait_seconds"], self._look, self._count)

    def _end(self) -> None:
        own = time.process_time() - self._own
        self._answers.close()
        times = array("q", [at for pair in zip(self._written, self._answered, strict=True) for at in pair])
        Path(self.place["times"]).write_bytes(times.tobytes())
        open_ = len(self._bodies) - self._count
        last = max(self._answered, default=0)
        print(self._count, open_, self._other, last, self._strange, 0, own, flush=True)
        self._acknowledge()
        reactor.callLater(0.1, reactor.stop)


def bodies_of(path: Path) -> list[bytes]:
    """Return the bodies of a file of frames, each behind four digits of its length."""
    data, found, at = path.read_bytes(), [], 0
    while at < len(data):
        end = at + LENGTH_DIGITS + int(data[at : at + LENGTH_DIGITS])
        found.append(data[at + LENGTH_DIGITS : end])
        at = end
    return found


class _Factory(ClientFactory):
    def __init__(self, side: Side) -> None:
        self._side = side

    def buildProtocol(self, address: object) -> TwistedProtocolConnection:
        place = self._side.place
        login = pika.PlainCredentials(place["user"], place["password"])
        given = pika.ConnectionParameters(virtual_host=place["vhost"], credentials=login, heartbeat=0)
        found = TwistedProtocolConnection(given)
        found.ready.addCallback(lambda _: found._impl.channel(None, self._side.open))
        found.ready.addErrback(_failed)
        return found

    def clientConnectionLost(self, connector: Any, reason: Any) -> None:
        _failed(reason)

    clientConnectionFailed = clientConnectionLost


def _failed(failure: Any) -> None:
    if reactor.running:
        print(failure.getErrorMessage(), file=sys.stderr)
        reactor.stop()


SIDES: dict[str, Callable[[dict[str, Any]], Side]] = {"serve": Server, "ask": Asker}

if __name__ == "__main__":
    settings = json.load(sys.stdin)
    reactor.connectTCP(settings["host"], settings["port"], _Factory(SIDES[sys.argv[1]](settings)))
    reactor.run()
