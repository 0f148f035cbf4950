"""A front that remembers, a bank on pika's blocking connection, and queue servers of each engine."""

import itertools
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pika
import pytest
import zmq

from bankmq.amqp import Broker
from bankmq.amqp_names import BankNames, bank_names
from bankmq.queue import Delivery
from bankmq.rabbit import RabbitLimits, RabbitQueueServer
from bankmq.zeromq import ZmqLimits, ZmqQueueServer

WAIT_SECONDS = 20.0
PREFIX = "qz."


class Front:
    """A handler that remembers what it hears, and answers at once when told to."""

    def __init__(self, run: Callable[[Callable[[], Any]], Any], answering: bool = False) -> None:
        self.run = run
        self.server: Any = None
        self.answering = answering
        self.lists: list[list[Delivery]] = []
        self.confirmed: list[int] = []
        self.returned: list[int] = []
        self._changed = threading.Condition()

    @property
    def deliveries(self) -> list[Delivery]:
        return [delivery for items in self.lists for delivery in items]

    def on_deliveries(self, items: list[Delivery]) -> None:
        self._note(lambda: self.lists.append(items))
        if self.answering:
            faulty = [(item.tag, item.fault) for item in items if item.fault]
            self.server.back_out(faulty)
            self.server.reply([(item.tag, b"re:" + item.body) for item in items if not item.fault])

    def on_confirmed(self, tags: list[int]) -> None:
        self.server.acknowledge(tags)
        self._note(lambda: self.confirmed.extend(tags))

    def on_returned(self, tags: list[int]) -> None:
        self.server.acknowledge(tags)
        self._note(lambda: self.returned.extend(tags))

    def wait(self, condition: Callable[[], Any]) -> None:
        """Wait for something that this handler hears of."""
        with self._changed:
            assert self._changed.wait_for(condition, timeout=WAIT_SECONDS), self.lists

    def wait_for_deliveries(self, n: int) -> list[Delivery]:
        self.wait(lambda: len(self.deliveries) >= n)
        return self.deliveries

    def call(self, name: str, *arguments: Any) -> Any:
        """Call the server on the reactor's thread."""
        return self.run(lambda: getattr(self.server, name)(*arguments))

    def reply(self, delivery: Delivery, body: bytes) -> None:
        self.call("reply", [(delivery.tag, body)])

    def acknowledge(self, *deliveries: Delivery) -> None:
        self.call("acknowledge", [delivery.tag for delivery in deliveries])

    def _note(self, note: Callable[[], None]) -> None:
        with self._changed:
            note()
            self._changed.notify_all()


class RabbitBank:
    """A bank at RabbitMQ: one blocking connection, one reply queue."""

    def __init__(self, node: Any, vhost: str, names: BankNames, login: tuple[str, str] | None = None) -> None:
        user, password = login or (node.admin_user, node.admin_password)
        credentials = pika.PlainCredentials(user, password)
        self.names = names
        parameters = pika.ConnectionParameters(
            node.host, node.port, vhost, credentials, heartbeat=0, blocked_connection_timeout=WAIT_SECONDS
        )
        self.connection = pika.BlockingConnection(parameters)
        self.channel = self.connection.channel()
        self._read: dict[str, Any] = {}
        self.reply_to = f"{names.reply}.1"
        self.channel.queue_declare(self.reply_to, durable=True, arguments={"x-queue-type": "quorum"})

    def send(
        self, body: bytes, message_id: bytes | None = None, *, control: bool = False, **more: Any
    ) -> None:
        """Publish to the bank's own exchange, persistent, and wait for no confirm."""
        properties = {"reply_to": self.reply_to, "message_id": message_id, "delivery_mode": 2, **more}
        key = self.names.control if control else self.names.main
        self.channel.basic_publish(self.names.exchange, key, body, pika.BasicProperties(**properties))

    def receive(self, queue: str = "") -> tuple[bytes, Any]:
        """Wait for the next message of a queue, the reply queue by default."""
        name = queue or self.reply_to
        if name not in self._read:
            self._read[name] = self.connection.channel().consume(
                name, auto_ack=True, inactivity_timeout=WAIT_SECONDS
            )
        method, properties, body = next(self._read[name])
        assert method is not None, f"nothing in {name}"
        return body, properties

    def answer(self) -> tuple[bytes, bytes]:
        """Wait for the next answer, as (correlation id, body)."""
        body, properties = self.receive()
        return properties.correlation_id.encode(), body

    def hang_up(self) -> None:
        """Go away, with the reply queue."""
        self.channel.queue_delete(self.reply_to)
        self.close()

    def close(self) -> None:
        if self.connection.is_open:
            self.connection.close()


class ZmqBank:
    """A bank on two DEALER sockets."""

    def __init__(self, addresses: dict[str, str]) -> None:
        self._context = zmq.Context()
        self._sockets = {}
        for name, address in addresses.items():
            socket = self._sockets["main" if "." not in name else "control"] = self._context.socket(
                zmq.DEALER
            )
            socket.setsockopt(zmq.RCVTIMEO, int(WAIT_SECONDS * 1000))
            socket.setsockopt(zmq.LINGER, 0)
            socket.connect(address)

    def send(self, body: bytes, message_id: bytes, *, control: bool = False) -> None:
        self._sockets["control" if control else "main"].send_multipart([message_id, body])

    def answer(self) -> tuple[bytes, bytes]:
        poller = zmq.Poller()
        for socket in self._sockets.values():
            poller.register(socket, zmq.POLLIN)
        socket, _ = poller.poll(int(WAIT_SECONDS * 1000))[0]
        message_id, body = socket.recv_multipart()
        return message_id, body

    def hang_up(self) -> None:
        self.close()

    def close(self) -> None:
        self._context.destroy(linger=0)


class RabbitBench:
    """A virtual host of its own with one bank's server, its front, and banks."""

    engine = "rabbitmq"

    def __init__(self, node: Any, reactor_thread: Any) -> None:
        self.node = node
        self.vhost = node.new_vhost()
        self.names = bank_names(PREFIX, "icbc")
        self.main = self.names.main
        self._thread = reactor_thread
        self._banks: list[RabbitBank] = []
        self._fronts: list[Front] = []

    def settings(self, **changes: Any) -> Broker:
        node = self.node
        settings = Broker(((node.host, node.port),), self.vhost, node.admin_user, node.admin_password)
        return settings._replace(retry_seconds=0.05, retry_seconds_max=0.2, **changes)

    def serve(self, answering: bool = False, broker: Broker | None = None, **limits: Any) -> Front:
        """Start a server and wait until the broker serves it, unless a broker was given."""
        front = Front(self._thread.run, answering)
        front.server = RabbitQueueServer(
            self.names, broker or self.settings(), RabbitLimits(**limits), self._thread.reactor
        )
        self._fronts.append(front)
        front.call("start", front)
        if broker is None:
            self.wait_state(front, "ready")
        return front

    def wait_state(self, front: Front, name: str) -> str:
        """Wait until the session is in this state; return its words."""
        session = front.server._session
        reached = threading.Event()
        shown = session._show

        def show(state: str, text: str) -> None:
            shown(state, text)
            if state == name:
                reached.set()

        def watch() -> None:
            session._show = show
            if session.state.name == name:
                reached.set()

        self._thread.run(watch)
        assert reached.wait(WAIT_SECONDS), session.state
        return str(front.call("status")["broker"])

    def bank(self, login: tuple[str, str] | None = None) -> RabbitBank:
        self._banks.append(RabbitBank(self.node, self.vhost, self.names, login))
        return self._banks[-1]

    def stop(self, front: Front) -> None:
        """Stop in order."""
        front.call("stop")

    def depth(self, queue: str) -> int:
        """How many messages wait in a queue, by a declaration that changes nothing."""
        bank = self._banks[0] if self._banks else self.bank()
        return int(bank.channel.queue_declare(queue, passive=True).method.message_count)

    def close(self) -> None:
        for front in self._fronts:
            self.stop(front)
        for bank in self._banks:
            bank.close()
        self.node.delete_vhost(self.vhost)


class ZmqBench:
    """One bank's server on two free ports, its front, and banks."""

    engine = "zeromq"
    main = "icbc"

    def __init__(self, reactor_thread: Any) -> None:
        self._thread = reactor_thread
        self._banks: list[ZmqBank] = []
        self._fronts: list[Front] = []
        self._addresses = dict.fromkeys((self.main, f"{self.main}.ctl"), "tcp://127.0.0.1:*")

    def serve(self, answering: bool = False, **limits: Any) -> Front:
        front = Front(self._thread.run, answering)
        main, control = self._addresses.values()
        front.server = ZmqQueueServer(self.main, main, control, ZmqLimits(**limits), self._thread.reactor)
        self._fronts.append(front)
        front.call("start", front)
        self._addresses = front.server.addresses()
        return front

    def bank(self) -> ZmqBank:
        self._banks.append(ZmqBank(self._addresses))
        return self._banks[-1]

    def stop(self, front: Front) -> None:
        front.call("stop")

    def close(self) -> None:
        for bank in self._banks:
            bank.close()
        for front in self._fronts:
            front.call("stop")


@pytest.fixture
def rabbit(broker: Any, reactor_thread: Any) -> Iterator[RabbitBench]:
    bench = RabbitBench(broker, reactor_thread)
    yield bench
    bench.close()


@pytest.fixture(params=["zeromq", "rabbitmq"])
def bench(request: pytest.FixtureRequest, reactor_thread: Any) -> Iterator[Any]:
    """Whatever the engine: what a front may rely on."""
    if request.param == "zeromq":
        made: Any = ZmqBench(reactor_thread)
    else:
        made = RabbitBench(request.getfixturevalue("broker"), reactor_thread)
    yield made
    made.close()


@pytest.fixture
def ids() -> Iterator[int]:
    return itertools.count(1)
