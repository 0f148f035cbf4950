"""A bank's queues on a live RabbitMQ: what a message may look like, and what each queue is for."""

import struct
from typing import Any

import pika
import pytest

from bankmq.amqp_names import bank_names, bank_user
from qianzhi.runtime import metrics


def value(name: str, *labels: str) -> float:
    return metrics.value(name, labels)


def test_a_request_without_message_id_gets_its_reply_with_an_empty_correlation_id(rabbit: Any) -> None:
    rabbit.serve(answering=True)
    bank = rabbit.bank()
    bank.send(b"x")
    body, properties = bank.receive()
    assert (body, properties.correlation_id) == (b"re:x", "")


def test_a_binary_message_id_comes_back_as_it_was(rabbit: Any) -> None:
    """What a gateway from IBM MQ sends: 24 raw bytes, which are no text."""
    rabbit.serve(answering=True)
    bank = rabbit.bank()
    bank.send(b"x", bytes(range(232, 256)))
    assert bank.receive()[1].correlation_id == bytes(range(232, 256))


def test_a_reply_lives_as_long_as_its_request_would_and_is_read_no_more_after_a_day(rabbit: Any) -> None:
    rabbit.serve(answering=True)
    bank = rabbit.bank()
    bank.send(b"x", b"1", delivery_mode=2)
    bank.send(b"x", b"2", delivery_mode=1)
    modes = {properties.correlation_id: properties for _, properties in (bank.receive(), bank.receive())}
    assert {name: properties.delivery_mode for name, properties in modes.items()} == {"1": 2, "2": 1}
    assert modes["1"].expiration == "86400000"
    assert modes["1"].message_id != modes["2"].message_id


def test_an_inquiry_may_ask_for_its_reply_on_its_own_connection(rabbit: Any) -> None:
    rabbit.serve(answering=True)
    bank = rabbit.bank()
    replies = bank.channel.consume("amq.rabbitmq.reply-to", auto_ack=True, inactivity_timeout=20)
    bank.connection.call_later(0, lambda: bank.send(b"x", b"1", reply_to="amq.rabbitmq.reply-to"))
    _, properties, body = next(replies)
    assert (body, properties.correlation_id) == (b"re:x", "1")


@pytest.mark.parametrize(
    ("reason", "body", "properties"),
    [
        ("no_reply_to", b"x", {"reply_to": None}),
        ("foreign_reply_to", b"x", {"reply_to": "qz.abc"}),
        ("foreign_reply_to", b"x", {"reply_to": "qz.icbc"}),
        ("empty", b"", {}),
        ("too_long", bytes(3_000_000), {}),
    ],
)
def test_a_message_at_fault_itself_goes_to_the_backout_queue_with_its_reason(
    rabbit: Any, reason: str, body: bytes, properties: dict[str, Any]
) -> None:
    rabbit.serve(answering=True, message_bytes_max=2_000_000)
    bank = rabbit.bank()
    bank.send(body, b"1", priority=7, **properties)
    bank.send(b"good", b"2")
    kept, found = bank.receive(rabbit.names.backout)
    assert (kept, found.message_id, found.delivery_mode) == (body, "1", 2)
    assert found.headers["qianzhi-reason"] == reason
    assert found.headers["qianzhi-queue"] == rabbit.main
    assert bank.answer() == (b"2", b"re:good")
    assert rabbit.depth(rabbit.main) == 0


def test_headers_that_python_cannot_hold_are_skipped_and_the_message_is_served(
    rabbit: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Read as they stand they would end the connection, again and again, with all that is beside them."""
    rabbit.serve(answering=True)
    bank = rabbit.bank()
    far = struct.pack(">cQ", b"T", 2**63)
    monkeypatch.setattr("pika.data.encode_value", lambda pieces, _value: pieces.append(far) or len(far))
    bank.send(b"x", b"1", headers={"when": "x"})
    monkeypatch.undo()
    assert bank.answer() == (b"1", b"re:x")


def test_what_expires_in_the_queue_goes_to_the_dead_letters_which_are_counted(rabbit: Any) -> None:
    front = rabbit.serve()
    before = value("qianzhi_alarms_total", "dead_letters")
    front.call("pause", rabbit.main, True)
    bank = rabbit.bank()
    bank.send(b"late", b"1", expiration="1")
    bank.send(b"good", b"2", expiration="60000")
    dead = rabbit.names.dead
    while rabbit.depth(dead) == 0:
        bank.connection.process_data_events(0.01)
    front.call("pause", rabbit.main, False)
    (good,) = front.wait_for_deliveries(1)
    assert good.body == b"good"
    front.run(front.server._session._count)
    while not value("qianzhi_queue_depth", dead):
        bank.connection.process_data_events(0.01)
    assert front.call("status")["queues"][dead] == 1
    assert value("qianzhi_alarms_total", "dead_letters") == before + 1
    body, properties = bank.receive(dead)
    assert (body, properties.headers["x-death"][0]["reason"]) == (b"late", "expired")


def test_a_message_is_past_its_expiry_by_the_senders_own_time(rabbit: Any) -> None:
    front = rabbit.serve()
    bank = rabbit.bank()
    bank.send(b"x", b"1", expiration="10000", timestamp=1_700_000_000)
    bank.send(b"x", b"2", expiration="10000")
    bank.send(b"x", b"3")
    first, second, third = front.wait_for_deliveries(3)
    assert first.expires_us == 1_700_000_010_000_000
    assert second.expires_us > first.expires_us
    assert third.expires_us == 0


def test_thirty_deaths_of_its_consumer_lose_nothing(rabbit: Any) -> None:
    front = rabbit.serve()
    bank = rabbit.bank()
    bank.send(b"x", b"1")
    session = front.server._session
    for death in range(30):
        seen = front.wait_for_deliveries(death + 1)
        assert seen[-1].failures == death
        front.run(lambda: session._connection.give_up("killed"))
    last = front.wait_for_deliveries(31)[-1]
    assert (last.failures, last.fault) == (30, "")
    front.reply(last, b"answer")
    assert bank.answer() == (b"1", b"answer")
    assert (rabbit.depth(rabbit.names.dead), rabbit.depth(rabbit.names.backout)) == (0, 0)


def test_a_reply_to_a_delivery_of_a_lost_connection_is_dropped_for_its_next_one(rabbit: Any) -> None:
    front = rabbit.serve()
    bank = rabbit.bank()
    bank.send(b"x", b"1")
    (void,) = front.wait_for_deliveries(1)
    front.run(lambda: front.server._session._connection.give_up("cut"))
    again = front.wait_for_deliveries(2)[1]
    front.reply(void, b"of the former")
    front.reply(again, b"of the next")
    assert bank.answer() == (b"1", b"of the next")
    front.wait(lambda: front.confirmed == [again.tag])
    assert rabbit.depth(bank.reply_to) == 0


def test_a_reply_that_the_broker_does_not_take_is_given_again_later(rabbit: Any) -> None:
    """A bank's reply queue may be full and refuse; the request is then answered again, until it is read."""
    front = rabbit.serve(answering=True)
    bank = rabbit.bank()
    narrow = f"{rabbit.names.reply}.narrow"
    arguments = {"x-max-length": 1, "x-overflow": "reject-publish"}
    bank.channel.queue_declare(narrow, durable=True, arguments=arguments)
    for number in range(3):
        bank.send(b"x", b"%d" % number, reply_to=narrow)
    while front.run(lambda: len(front.server._core._released)) < 2:
        bank.connection.process_data_events(0.01)
    answers = {bank.receive(narrow)[1].correlation_id for _ in range(3)}
    assert answers == {"0", "1", "2"}


def test_two_servers_share_a_queue_and_one_takes_over_what_the_other_held(rabbit: Any) -> None:
    holding = rabbit.serve(prefetch=10)
    bank = rabbit.bank()
    for number in range(10):
        bank.send(b"x", b"%d" % number)
    holding.wait_for_deliveries(10)
    rabbit.serve(answering=True, prefetch=10)
    for number in range(10, 20):
        bank.send(b"x", b"%d" % number)
    assert {bank.answer()[0] for _ in range(10)} == {b"%d" % number for number in range(10, 20)}
    rabbit.stop(holding)
    assert {bank.answer()[0] for _ in range(10)} == {b"%d" % number for number in range(10)}


def test_a_banks_user_reaches_its_own_exchange_and_reply_queues_and_nothing_else(rabbit: Any) -> None:
    rabbit.serve(answering=True)
    node, user = rabbit.node, bank_user(rabbit.names)
    node.add_user(user.name, "secret")
    node.permit(rabbit.vhost, user.name, user.configure, user.write, user.read)
    admin = rabbit.bank()
    other = bank_names("qz.", "abc")
    admin.channel.exchange_declare(other.exchange, durable=True)
    bank = rabbit.bank((user.name, "secret"))
    bank.send(b"x", b"1")
    assert bank.answer() == (b"1", b"re:x")
    forbidden = [
        lambda channel: channel.basic_publish("", rabbit.main, b"x", mandatory=True),
        lambda channel: channel.basic_publish("", other.main, b"x", mandatory=True),
        lambda channel: channel.basic_publish(other.exchange, other.main, b"x"),
        lambda channel: channel.basic_get(rabbit.main),
        lambda channel: channel.basic_get(rabbit.names.backout),
        lambda channel: channel.basic_get(f"{other.reply}.1"),
        lambda channel: channel.queue_declare(other.main, durable=True),
        lambda channel: channel.queue_declare(f"{rabbit.main}x", durable=True),
        lambda channel: channel.queue_bind(bank.reply_to, other.exchange, other.main),
    ]
    for attempt in forbidden:
        channel = bank.connection.channel()
        channel.confirm_delivery()
        with pytest.raises(pika.exceptions.ChannelClosedByBroker, match="ACCESS_REFUSED"):
            attempt(channel)
