"""What is wrong with a broker is said in plain words, harms nothing, and is over when its cause is."""

import os
from collections.abc import Iterator
from typing import Any

import pytest

from qianzhi.runtime import metrics
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


def test_a_queue_that_differs_from_ours_is_used_as_it_stands_with_an_alarm(rabbit: Any) -> None:
    before = value("qianzhi_alarms_total", "queue_differs")
    bank = rabbit.bank()
    bank.channel.queue_declare(rabbit.main, durable=True)
    front = rabbit.serve(answering=True)
    assert value("qianzhi_alarms_total", "queue_differs") == before + 1
    assert f"not as declared: {rabbit.main}" in front.call("status")["broker"]
    bank.send(b"x", b"1")
    assert bank.answer() == (b"1", b"re:x")
