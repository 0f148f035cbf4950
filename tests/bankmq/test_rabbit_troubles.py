"""What is wrong with a broker is said in plain words, harms nothing, and is over when its cause is."""

import os
from collections.abc import Iterator
from typing import Any

import pytest
from pika.exceptions import AMQPError
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.protocol import Factory, Protocol, connectionDone

from qianzhi.runtime import metrics
from simulators.servers.processes import wait_until
from simulators.servers.rabbitmq import Broker


@pytest.fixture(scope="module")
def broker(broker: Broker) -> Iterator[Broker]:
    """A node that these tests may stop and starve: one that lasts over test runs is not."""
    if "QIANZHI_TEST_SERVERS" not in os.environ:
        yield broker
        return
    node = Broker.create()
    try:
        node.start()
        yield node
    finally:
        node.close()


def value(name: str, *labels: str) -> float:
    return metrics.value(name, labels)


def test_a_broker_that_is_down_at_the_start_or_restarts_is_waited_for(rabbit: Any) -> None:
    served = rabbit.serve(prefetch=1)
    bank = rabbit.bank()
    for number in range(3):
        bank.send(b"x", b"%d" % number)
    served.wait_for_deliveries(1)
    bank.close()
    rabbit.node.stop()
    assert "trying again" in rabbit.wait_state(served, "unreachable")
    assert value("qianzhi_broker_ready") == 0
    late = rabbit.serve(answering=True, broker=rabbit.settings())
    assert "Connection refused" in rabbit.wait_state(late, "unreachable")
    assert late.call("status")["broker_state"] == "unreachable"
    rabbit.node.start()
    rabbit.wait_state(late, "ready")
    rabbit.wait_state(served, "ready")
    assert value("qianzhi_broker_ready") == 1
    rabbit.stop(served)
    rabbit._banks.clear()
    again = rabbit.bank()
    assert {again.answer()[0] for _ in range(3)} == {b"0", b"1", b"2"}


def test_a_broker_whose_disk_is_full_stops_the_main_queue_and_nothing_is_lost(rabbit: Any) -> None:
    front = rabbit.serve(broker=rabbit.settings(blocked_seconds=600))
    rabbit.wait_state(front, "ready")
    bank = rabbit.bank()
    bank.send(b"x", b"1")
    (first,) = front.wait_for_deliveries(1)
    rabbit.node.rabbitmqctl("set_disk_free_limit", "1000000GB")
    try:
        front.reply(first, b"answer")  # a broker tells who publishes
        text = rabbit.wait_state(front, "blocked")
        assert "disk" in text
        assert front.run(lambda: dict(front.server._session._channel._consumers)).keys() == {
            rabbit.names.control
        }
        assert front.call("status")["broker_state"] == "blocked"
    finally:
        rabbit.node.rabbitmqctl("set_disk_free_limit", "50MB")
    rabbit.wait_state(front, "ready")
    assert bank.answer() == (b"1", b"answer")
    bank.send(b"x", b"2")
    assert front.wait_for_deliveries(2)[1].message_id == b"2"


def test_a_broker_that_stays_blocked_is_given_up_and_dialled_anew(rabbit: Any) -> None:
    front = rabbit.serve(broker=rabbit.settings(blocked_seconds=1))
    rabbit.wait_state(front, "ready")
    bank = rabbit.bank()
    bank.send(b"x", b"1")
    (first,) = front.wait_for_deliveries(1)
    rabbit.node.rabbitmqctl("set_vm_memory_high_watermark", "absolute", "1")
    try:
        front.reply(first, b"answer")
        rabbit.wait_state(front, "blocked")
        assert "locked" in rabbit.wait_state(front, "unreachable")
    finally:
        rabbit.node.rabbitmqctl("set_vm_memory_high_watermark", "absolute", "1GB")
    rabbit.wait_state(front, "ready")
    again = front.wait_for_deliveries(2)[1]
    front.reply(again, b"answer")
    assert (again.failures, bank.answer()) == (1, (b"1", b"answer"))


def test_a_queue_that_was_deleted_is_declared_again_with_an_alarm(
    rabbit: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    front = rabbit.serve(answering=True)
    bank = rabbit.bank()
    before = value("qianzhi_alarms_total", "queue_deleted")
    bank.channel.queue_delete(rabbit.main)
    rabbit.wait_state(front, "opening")
    rabbit.wait_state(front, "ready")
    assert value("qianzhi_alarms_total", "queue_deleted") == before + 1
    said = capfd.readouterr().err
    assert (said.count('"queue_deleted"'), said.count('"ready"')) == (1, 2)
    bank.send(b"x", b"1")
    assert bank.answer() == (b"1", b"re:x")


def test_an_exchange_and_queues_that_nobody_reads_are_declared_again_at_the_next_count(rabbit: Any) -> None:
    front = rabbit.serve(answering=True)
    bank = rabbit.bank()
    bank.channel.exchange_delete(rabbit.names.exchange)
    bank.channel.queue_delete(rabbit.names.backout)
    front.run(front.server._session._count)
    while front.run(lambda: bool(front.server._session._channel._steps)):
        pass
    bank.send(b"x", b"1", reply_to="elsewhere")
    assert bank.receive(rabbit.names.backout)[0] == b"x"


def test_a_user_who_may_not_do_his_work_is_refused_in_words_and_served_when_he_may(rabbit: Any) -> None:
    node = rabbit.node
    node.add_user("weak", "secret")
    node.permit(rabbit.vhost, "weak", "^$", ".*", ".*")
    front = rabbit.serve(answering=True, broker=rabbit.settings(user="weak", password="secret"))
    text = rabbit.wait_state(front, "refused")
    assert "ACCESS_REFUSED" in text
    assert rabbit.names.exchange in text
    assert "secret" not in text
    node.permit(rabbit.vhost, "weak", ".*", ".*", ".*")
    rabbit.wait_state(front, "ready")
    bank = rabbit.bank()
    bank.send(b"x", b"1")
    assert bank.answer() == (b"1", b"re:x")


def test_a_broker_of_another_cluster_than_the_first_is_refused_and_the_next_host_dialled(
    rabbit: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    """Two brokers that nobody joined would each hold half of a bank's queue, and both say ready."""
    node = rabbit.node
    own = node.manage("GET", "/cluster-name")["name"]
    hosts = ((node.host, node.port), ("localhost", node.port))
    front = rabbit.serve(answering=True, broker=rabbit.settings()._replace(hosts=hosts))
    rabbit.wait_state(front, "ready")
    node.manage("PUT", "/cluster-name", {"name": "strange"})
    try:
        session = front.server._session
        front.run(lambda: session._connection.give_up("cut"))
        tried = {front.call("status")["broker"]} if rabbit.wait_state(front, "refused") else set()
        while len(tried) < 2:
            text = front.call("status")["broker"]
            tried |= {text} if front.call("status")["broker_state"] == "refused" else set()
        assert all(f"belongs to another cluster, strange, and not to {own}" in text for text in tried)
        assert {text.split(":")[0] for text in tried} == {node.host, "localhost"}
    finally:
        node.manage("PUT", "/cluster-name", {"name": own})
    rabbit.wait_state(front, "ready")
    assert capfd.readouterr().err.count("another cluster") == 2, "one line for each host"
    bank = rabbit.bank()
    bank.send(b"x", b"1")
    assert bank.answer() == (b"1", b"re:x")


class Renamed(Protocol):
    """A way to the broker on which it gives its cluster another name of the same length."""

    def __init__(self, port: int, own: bytes) -> None:
        self._port, self._own, self._waiting = port, own, b""
        self._there: Any = None

    def connectionMade(self) -> None:
        there = Protocol()
        there.dataReceived = self._back
        there.connectionLost = lambda reason=connectionDone: self.transport.loseConnection()
        factory: Any = Factory.forProtocol(lambda: there)
        reactor: Any = self.transport.reactor
        TCP4ClientEndpoint(reactor, "127.0.0.1", self._port).connect(factory).addCallback(self._joined)

    def dataReceived(self, data: bytes) -> None:
        if self._there is None:
            self._waiting += data
        else:
            self._there.transport.write(data)

    def connectionLost(self, reason: Any = connectionDone) -> None:
        if self._there is not None:
            self._there.transport.loseConnection()

    def _joined(self, there: Protocol) -> None:
        self._there = there
        self.dataReceived(self._waiting)

    def _back(self, data: bytes) -> None:
        self.transport.write(data.replace(self._own, self._own.swapcase()))


def test_the_hosts_that_are_of_the_sites_cluster_are_used_and_no_other(
    rabbit: Any, reactor_thread: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    node = rabbit.node
    own = node.manage("GET", "/cluster-name")["name"]
    factory: Any = Factory.forProtocol(lambda: Renamed(node.port, own.encode()))
    relay = reactor_thread.run(lambda: reactor_thread.reactor.listenTCP(0, factory, interface="127.0.0.1"))
    try:
        hosts = (("127.0.0.1", relay.getHost().port), (node.host, node.port))
        broker = rabbit.settings(cluster=own)._replace(hosts=hosts)
        front = rabbit.serve(answering=True, broker=broker)
        assert rabbit.wait_state(front, "ready") == f"connected to {node.host}:{node.port}"
        bank = rabbit.bank()
        bank.send(b"x", b"1")
        assert bank.answer() == (b"1", b"re:x")
        said = capfd.readouterr().err
        assert said.count("belongs to another cluster") == 1
        assert f"{own.swapcase()}, and not to {own}" in said
    finally:
        reactor_thread.run(relay.stopListening)


def test_a_queue_that_differs_from_ours_is_used_as_it_stands_with_an_alarm(rabbit: Any) -> None:
    before = value("qianzhi_alarms_total", "queue_differs")
    bank = rabbit.bank()
    bank.channel.queue_declare(rabbit.main, durable=True)
    front = rabbit.serve(answering=True)
    assert value("qianzhi_alarms_total", "queue_differs") == before + 1
    status = front.call("status")
    assert f"not as declared: {rabbit.main}" in status["broker"]
    assert (status["broker_state"], status["broker_differs"]) == ("ready", [rabbit.main])
    bank.send(b"x", b"1")
    assert bank.answer() == (b"1", b"re:x")


def test_a_channel_of_the_broker_that_dies_writes_no_message_into_its_log(rabbit: Any) -> None:
    rabbit.serve()
    bank = rabbit.bank()
    bank.channel.tx_select()  # the channel keeps what is sent until it is committed
    card = b"6222000000001234567"
    for body in (card, b"<card>%b</card>" % card, b"0200703800010081800119%b0000" % card):
        bank.send(body)
    log = rabbit.node.folder / "node.log"
    before = log.stat().st_size
    kept = f'[{{vhost, <<"{rabbit.vhost}">>}}, {{messages_uncommitted, 3}}]'
    dies = f"""[exit(Channel, boom) || Channel <- rabbit_channel:list(),
        rabbit_channel:info(Channel, [vhost, messages_uncommitted]) == {kept}]."""
    assert rabbit.node.rabbitmqctl("eval", dies).strip() == "[true]"
    with pytest.raises(AMQPError):
        bank.channel.tx_commit()
    written = b""

    def told() -> bool:
        nonlocal written
        written = log.read_bytes()[before:]
        return b"Non-AMQP exit reason" in written

    wait_until(told, 30, "the broker tells nothing of a channel that died")
    assert b"When Server state" in written, "all that it knew is told"
    assert b"622200000" not in written
