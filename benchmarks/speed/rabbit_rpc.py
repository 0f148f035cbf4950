"""RabbitMQ's raw request and reply: pika on Twisted on both sides, persistent messages, nothing in between.

    python rabbit_rpc.py serve HOST PORT
    python rabbit_rpc.py ask HOST PORT BYTES IN_FLIGHT SECONDS

The server answers each message with itself.  The client prints: answers, seconds, CPU seconds of its own.
Both confirm nothing one by one: the server acknowledges many at once, replies go by direct reply-to.
"""

import sys
import time
from typing import Any

import pika
from pika.adapters.twisted_connection import TwistedProtocolConnection
from twisted.internet import defer, reactor
from twisted.internet.protocol import ClientFactory

QUEUE = "bench.raw"
PREFETCH = 512
ACK_EACH = 32
PERSISTENT = 2


class _Factory(ClientFactory):
    def __init__(self, work: Any) -> None:
        self._work = work

    def buildProtocol(self, address: object) -> TwistedProtocolConnection:
        found = TwistedProtocolConnection(pika.ConnectionParameters(credentials=CREDENTIALS))
        found.ready.addCallback(self._work).addErrback(_failed)
        return found


def _failed(failure: Any) -> None:
    failure.printTraceback()
    if reactor.running:
        reactor.stop()


@defer.inlineCallbacks
def serve(connection: Any) -> Any:
    """Answer every message with itself."""
    channel = yield connection.channel()
    yield channel.basic_qos(prefetch_count=PREFETCH)
    yield channel.queue_declare(queue=QUEUE, durable=True, arguments={"x-queue-type": "quorum"})
    queue, _ = yield channel.basic_consume(queue=QUEUE, auto_ack=False)
    print("ready", flush=True)
    unacknowledged = 0
    while True:
        _, method, properties, body = yield queue.get()
        channel.basic_publish(
            exchange="",
            routing_key=properties.reply_to,
            body=body,
            properties=pika.BasicProperties(correlation_id=properties.correlation_id),
        )
        unacknowledged += 1
        if unacknowledged >= ACK_EACH or not queue.pending:
            channel.basic_ack(method.delivery_tag, multiple=True)
            unacknowledged = 0


@defer.inlineCallbacks
def ask(connection: Any, size: int, in_flight: int, seconds: float) -> Any:
    """Keep so many messages under way for so long."""
    channel = yield connection.channel()
    replies, _ = yield channel.basic_consume(queue="amq.rabbitmq.reply-to", auto_ack=True)
    body, answered = b"0" * size, 0
    properties = pika.BasicProperties(delivery_mode=PERSISTENT, reply_to="amq.rabbitmq.reply-to")

    def send() -> None:
        channel.basic_publish(exchange="", routing_key=QUEUE, body=body, properties=properties)

    began = time.perf_counter()
    own = time.process_time()
    for _ in range(in_flight):
        send()
    while time.perf_counter() - began < seconds:
        yield replies.get()
        answered += 1
        send()
    took = time.perf_counter() - began
    print(answered, took, time.process_time() - own, flush=True)
    reactor.stop()


CREDENTIALS = pika.PlainCredentials("guest", "guest")

if __name__ == "__main__":
    if sys.argv[1] == "serve":
        work = serve
    else:
        given = (int(sys.argv[4]), int(sys.argv[5]), float(sys.argv[6]))

        def work(connection: Any) -> Any:
            """Ask as the arguments say."""
            return ask(connection, *given)

    reactor.connectTCP(sys.argv[2], int(sys.argv[3]), _Factory(work))
    reactor.run()
