"""Simulated banks on a live RabbitMQ: what they ask is answered, whatever becomes of connections.

And what the interface document promises of the broker is so.
"""

import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pika
import pika.exceptions
import pytest

from bankmq.amqp import Broker as Address
from bankmq.amqp_messages import DIRECT_REPLY
from bankmq.amqp_names import bank_names, bank_user
from bankmq.kept import Outcome
from bankmq.queue import Delivery
from bankmq.rabbit import RabbitLimits, RabbitQueueServer
from bankmq.rabbit_sender import RabbitSender
from bankmq.rabbit_sender_kept import Message, PublishLimits
from frontends.profile import load_profile, resolve_keys
from qianzhi.cli.document.document import document
from qianzhi.cli.document.places import where_of
from qianzhi.link.site import load_site
from qianzhi.link.tables import BrokerTable
from qianzhi.runtime import clock
from simulators.lines import NoLineError
from simulators.model_front import ModelFront
from simulators.scenario_file import load_scenario
from simulators.send import Order, SendError, send
from simulators.tiny_core import TinyCore

CONFIG = Path(__file__).parents[2] / "config"
PHONE = "13800000002"
PASSWORD = "a word for trying"
NAMES = bank_names("t.", "boc")


class Front:
    """Answers deliveries on the reactor's thread with a model front-end, or holds them while told to."""

    def __init__(self, answer: Callable[[bytes], list[bytes]]) -> None:
        self.server: Any = None
        self.answer = answer
        self.holding = False
        self.seen: list[Delivery] = []
        self._changed = threading.Condition()

    def on_deliveries(self, items: list[Delivery]) -> None:
        with self._changed:
            self.seen += items
            self._changed.notify_all()
        if not self.holding:
            answers = [(item.tag, self.answer(item.body)) for item in items if not item.fault]
            self.server.reply([(tag, frames[0]) for tag, frames in answers if frames])
            self.server.back_out([(item.tag, item.fault) for item in items if item.fault])

    def on_confirmed(self, tags: list[int]) -> None:
        self.server.acknowledge(tags)

    on_returned = on_confirmed

    def wait(self, n: int) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.seen) >= n, timeout=20)


class Outcomes:
    """How messages ended, for a test that waits."""

    def __init__(self) -> None:
        self.all: list[Outcome] = []
        self._changed = threading.Condition()

    def take(self, items: list[Outcome]) -> None:
        with self._changed:
            self.all += items
            self._changed.notify_all()

    def wait(self, n: int) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.all) >= n, timeout=20), len(self.all)


class Bench:
    """One virtual host with the bank's own user, and whatever serves and asks there."""

    def __init__(self, broker: Any, reactor_thread: Any) -> None:
        self.broker = broker
        self.run = reactor_thread.run
        self.reactor = reactor_thread.reactor
        self.vhost = broker.new_vhost()
        user = bank_user(NAMES)
        self.user = f"bank-boc-{self.vhost}"  # users are shared by all virtual hosts
        broker.add_user(self.user, PASSWORD)
        broker.permit(self.vhost, self.user, user.configure, user.write, user.read)
        self.names = NAMES._replace(user=self.user)
        self._ends: list[Callable[[], Any]] = [lambda: None]

    def address(self, user: str, password: str) -> Address:
        return Address(((self.broker.host, self.broker.port),), self.vhost, user, password)

    def serve(self, answer: Callable[[bytes], list[bytes]]) -> Front:
        front = Front(answer)
        address = self.address(self.broker.admin_user, self.broker.admin_password)
        limits = RabbitLimits(prefetch=500, message_bytes_max=2_048)
        front.server = RabbitQueueServer(NAMES, address, limits, self.reactor)
        self.run(lambda: front.server.start(front))
        self._ends.append(front.server.stop)
        for _ in range(2_000):
            if self.run(front.server.status)["broker_state"] == "ready":
                return front
            threading.Event().wait(0.01)
        raise AssertionError(self.run(front.server.status))

    def sender(self) -> tuple[RabbitSender, Outcomes]:
        outcomes = Outcomes()
        address = self.address(self.user, PASSWORD)
        sender = RabbitSender(self.names, address, ".test", PublishLimits(), outcomes.take, self.reactor)
        self.run(sender.start)
        self._ends.append(sender.stop)
        return sender, outcomes

    def cut(self) -> None:
        """Close everybody's connections from the broker's side."""
        self.broker.rabbitmqctl("close_all_connections", "--vhost", self.vhost, "a test")

    def close(self) -> None:
        for end in reversed(self._ends):
            self.run(end)
        self.broker.delete_vhost(self.vhost)
        self.broker.manage("DELETE", f"/users/{self.user}")


@pytest.fixture
def bench(broker: Any, reactor_thread: Any) -> Iterator[Bench]:
    made = Bench(broker, reactor_thread)
    yield made
    made.close()


def echo(body: bytes) -> list[bytes]:
    return [b"re:" + body]


def test_every_message_is_answered_though_either_side_is_cut_off(bench: Bench) -> None:
    front = bench.serve(echo)
    front.holding = True
    sender, outcomes = bench.sender()
    messages = [Message(b"boc-%d" % n, b"body %d" % n, n % 10 == 0) for n in range(200)]
    bench.run(lambda: sender.submit(messages))
    front.wait(200)
    front.holding = False
    bench.cut()
    late = [Message(b"late-%d" % n, b"late %d" % n, False) for n in range(50)]
    bench.run(lambda: sender.submit(late))
    outcomes.wait(250)
    ended = {one.message_id: one.body for one in outcomes.all}
    assert ended == {one.message_id: b"re:" + one.body for one in (*messages, *late)}
    assert {one.end for one in outcomes.all} == {"answered"}
    assert len(outcomes.all) == 250


def test_what_is_asked_before_the_queue_exists_is_answered_once_it_does(bench: Bench) -> None:
    sender, outcomes = bench.sender()
    bench.run(lambda: sender.submit([Message(b"boc-1", b"early", False)]))
    bench.serve(echo)
    outcomes.wait(1)
    assert (outcomes.all[0].end, outcomes.all[0].body) == ("answered", b"re:early")


def site_on(bench: Bench, data: Path, password: str = f"test:{PASSWORD}") -> Any:
    site, problems = load_site(CONFIG)
    assert site is not None, problems
    place = replace(site.banks["boc"], engine="rabbitmq", listen="", control="", password=password)
    at = f"{bench.broker.host}:{bench.broker.port}"
    table = BrokerTable(hosts=[at], vhost=bench.vhost, password="test:unused", prefix="t.")
    return replace(site, data=str(data), banks={**site.banks, "boc": place}, broker=table)


@pytest.fixture
def boc(bench: Bench, monkeypatch: Any) -> ModelFront:
    """A model front-end of boc that answers on the bench."""
    profile, problems = load_profile(CONFIG, "boc", rehearsed=False)
    assert profile is not None, problems
    monkeypatch.setattr("simulators.broker_lines.bank_names", lambda *_: bench.names)
    people = load_scenario().customers
    phones = range(people.phone_first, people.phone_first + people.count)
    key = resolve_keys(profile, CONFIG, production=False)["mac"]
    return ModelFront(replace(profile, engine="rabbitmq"), TinyCore(phones, frozenset()), b"", key)


def test_single_requests_go_through_the_broker(bench: Bench, boc: ModelFront, tmp_path: Path) -> None:
    seen = bench.serve(lambda body: boc.answer(body, clock.now()))
    site, profile = site_on(bench, tmp_path), boc.profile
    recharge = send(site, CONFIG, profile, Order("recharge", phone=PHONE, amount_fen=50_00))
    assert recharge.approved
    serial = recharge.key.rpartition("/")[2]
    assert send(site, CONFIG, profile, Order("status", serial=serial)).approved
    assert send(site, CONFIG, profile, Order("reverse", serial=serial, amount_fen=50_00)).approved
    assert [item.queue for item in seen.seen[-3:]] == [NAMES.main, NAMES.control, NAMES.control]
    assert boc.faults == []


def test_a_bank_that_cannot_ask_is_told_why(bench: Bench, boc: ModelFront, tmp_path: Path) -> None:
    site = site_on(bench, tmp_path, "test:not the word")
    with pytest.raises(SendError, match="cannot be used as bank-boc"):
        send(site, CONFIG, boc.profile, Order("recharge", phone=PHONE, amount_fen=1))
    with pytest.raises(SendError, match="NOT_FOUND"):  # the front-end was never started here
        send(site_on(bench, tmp_path), CONFIG, boc.profile, Order("recharge", phone=PHONE, amount_fen=1))
    with pytest.raises(NoLineError, match=r"banks\.boc\.password"):
        send(site_on(bench, tmp_path, ""), CONFIG, boc.profile, Order("recharge", phone=PHONE, amount_fen=1))


# What the document says about the broker, done by hand as a stranger would


@pytest.fixture
def channel(bench: Bench) -> Iterator[Any]:
    """A channel of the bank's own user, after steps 1 to 3 of the document."""
    login = pika.PlainCredentials(bench.user, PASSWORD)
    at = pika.ConnectionParameters(bench.broker.host, bench.broker.port, bench.vhost, login)
    connection = pika.BlockingConnection(at)
    made = connection.channel()
    made.confirm_delivery()
    made.queue_declare(f"{NAMES.reply}.1", durable=True, exclusive=False, auto_delete=False)
    yield made
    connection.close()


def ask(channel: Any, body: bytes, **properties: Any) -> None:
    given = {"reply_to": f"{NAMES.reply}.1", "delivery_mode": 2, **properties}
    channel.basic_publish(NAMES.exchange, NAMES.main, body, pika.BasicProperties(**given), mandatory=True)


def hear(channel: Any) -> tuple[Any, bytes]:
    for method, properties, body in channel.consume(f"{NAMES.reply}.1", inactivity_timeout=20):
        assert method is not None, "no answer"
        channel.basic_ack(method.delivery_tag)
        return properties, body
    raise AssertionError


def test_the_documents_properties_are_those_of_the_answer(bench: Bench, channel: Any) -> None:
    bench.serve(echo)
    ask(channel, b"one", message_id="mine", correlation_id="other", content_type="text/plain")
    properties, body = hear(channel)
    assert (properties.correlation_id, body) == ("mine", b"re:one")
    assert (properties.delivery_mode, properties.content_type) == (2, "text/plain")
    assert properties.expiration == "86400000"
    assert abs(properties.timestamp - clock.now().wall_us // 1_000_000) < 60
    ask(channel, b"two", delivery_mode=1)
    properties, _ = hear(channel)
    assert (properties.correlation_id, properties.delivery_mode) == ("", 1)


def test_a_query_may_be_answered_without_a_queue(bench: Bench, channel: Any) -> None:
    bench.serve(echo)
    heard: list[tuple[str, bytes]] = []
    channel.basic_consume(
        DIRECT_REPLY, lambda _c, _m, read, body: heard.append((read.correlation_id, body)), auto_ack=True
    )
    ask(channel, b"owed?", reply_to=DIRECT_REPLY, message_id="q1", delivery_mode=1)
    while not heard:
        channel.connection.process_data_events(20)
    assert heard == [("q1", b"re:owed?")]


def test_what_the_document_calls_not_served_is_not(bench: Bench, channel: Any) -> None:
    front = bench.serve(echo)
    for properties in ({"reply_to": None}, {"reply_to": "t.icbc.reply"}):
        ask(channel, b"x", **properties)
    ask(channel, b"")
    ask(channel, b"x" * 2_049)
    ask(channel, b"late", expiration="1000", timestamp=1)
    front.wait(5)
    assert sorted(item.fault for item in front.seen) == [
        "", "empty", "foreign_reply_to", "no_reply_to", "too_long",
    ]  # fmt: skip
    assert [item.expires_us for item in front.seen if item.body == b"late"] == [2_000_000]


@pytest.mark.parametrize(
    "attempt",
    [
        lambda channel: channel.basic_publish("", NAMES.main, b"x"),
        lambda channel: channel.queue_declare(NAMES.main, durable=True),
        lambda channel: channel.queue_declare("t.icbc.reply.1", durable=True),
        lambda channel: next(channel.consume(NAMES.main, inactivity_timeout=5)),
        lambda channel: ask(channel, b"x", user_id="somebody"),
    ],
)
def test_the_broker_refuses_what_the_document_says_it_does(
    bench: Bench, channel: Any, attempt: Callable[[Any], Any]
) -> None:
    bench.serve(echo)
    with pytest.raises(pika.exceptions.ChannelClosedByBroker) as raised:
        attempt(channel)
    assert raised.value.reply_code in (403, 406)


def test_the_document_of_a_site_names_all_that_a_program_needs(bench: Bench, tmp_path: Path) -> None:
    site = site_on(bench, tmp_path)
    profile, problems = load_profile(CONFIG, "boc", site, rehearsed=False)
    assert profile is not None, problems
    for language in ("en", "zh"):
        text = document(profile, language, where_of(site, profile))  # type: ignore[arg-type]
        chapter = text[text.index("## 2.") : text.index("## 3.")]
        for name in (
            f"{bench.broker.host}:{bench.broker.port}", bench.vhost, "bank-boc", PASSWORD, "t.boc.in",
            "t.boc.ctl", "t.boc.reply", "t.boc.bo", "t.boc.dlq", "message_id", "reply_to", "correlation_id",
            "delivery_mode", "expiration", "timestamp", "mandatory", "confirm.select", "basic.return",
        ):  # fmt: skip
            assert name in chapter, (language, name)
    secret = site_on(bench, tmp_path, "file:secrets/boc")
    text = document(profile, "en", where_of(secret, profile))
    assert "handed over separately" in text
    assert not re.search(r"secrets|unused", text)
