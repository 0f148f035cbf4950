"""The session with RabbitMQ against a live broker: bursts, floods, silence, and what is no broker at all."""

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from twisted.internet.protocol import Factory, Protocol

from bankmq import amqp
from bankmq.amqp import AmqpSession, Broker, SessionState
from bankmq.amqp_messages import AmqpMessage, Properties, Publication, Queue, Topology

WAIT_SECONDS = 30.0
QUORUM: dict[str, str | int] = {"x-queue-type": "quorum"}


class Hearer:
    """Remembers what a session says."""

    def __init__(self) -> None:
        self.states: list[SessionState] = []
        self.opened = 0
        self.messages: list[AmqpMessage] = []
        self.settled: list[tuple[Any, str]] = []
        self._changed = threading.Condition()

    def on_open(self) -> None:
        self._note(lambda: setattr(self, "opened", self.opened + 1))

    def on_messages(self, items: list[AmqpMessage]) -> None:
        self._note(lambda: self.messages.extend(items))

    def on_settled(self, items: list[tuple[Any, Any]]) -> None:
        self._note(lambda: self.settled.extend(items))

    def on_state(self, state: SessionState) -> None:
        self._note(lambda: self.states.append(state))

    def wait(self, condition: Callable[[], Any]) -> None:
        with self._changed:
            assert self._changed.wait_for(condition, WAIT_SECONDS), (self.states, len(self.settled))

    def wait_state(self, name: str) -> str:
        self.wait(lambda: self.states and self.states[-1].name == name)
        return self.states[-1].text

    def _note(self, note: Callable[[], None]) -> None:
        with self._changed:
            note()
            self._changed.notify_all()


class Line:
    """One session on a virtual host of its own."""

    def __init__(self, broker: Any, reactor_thread: Any, own_vhost: str, **changes: Any) -> None:
        self.run = reactor_thread.run
        hosts = ((broker.host, broker.port),)
        settings = Broker(hosts, own_vhost, broker.admin_user, broker.admin_password, retry_seconds_max=0.2)
        settings = settings._replace(**changes)
        self.hearer = Hearer()
        topology = Topology(queues=(Queue("here", QUORUM),))
        self.session = AmqpSession(settings, topology, self.hearer, reactor_thread.reactor)
        self.run(self.session.start)

    def publish(
        self, numbers: range, body: bytes = b"x" * 200, lost: Callable[[int], bool] = lambda _: False
    ) -> None:
        items = [
            Publication(
                number, "", "nowhere" if lost(number) else "here", body, Properties(message_id=f"m{number}")
            )
            for number in numbers
        ]
        self.run(lambda: self.session.publish(items))


@pytest.fixture
def line(broker: Any, reactor_thread: Any) -> Iterator[Callable[..., Line]]:
    vhost = broker.new_vhost()
    lines: list[Line] = []

    def make(**changes: Any) -> Line:
        lines.append(Line(broker, reactor_thread, vhost, **changes))
        return lines[-1]

    yield make
    for each in lines:
        each.run(each.session.stop)
    broker.delete_vhost(vhost)


def test_in_a_burst_of_twenty_thousand_every_returned_message_is_known_and_no_other(line: Any) -> None:
    """pika's own account of returns loses some of such a burst, and blames others instead."""
    made = line(confirms_max=20_000)
    made.hearer.wait_state("ready")
    made.publish(range(20_000), lost=lambda number: number % 3 == 0)
    made.hearer.wait(lambda: len(made.hearer.settled) == 20_000)
    ends = dict(made.hearer.settled)
    assert len(ends) == 20_000
    assert {number for number, end in ends.items() if end == "returned"} == set(range(0, 20_000, 3))
    assert set(ends.values()) == {"returned", "confirmed"}


@pytest.mark.parametrize("message_id", [b"as bytes", "as text", b"\xff no text"])
def test_what_is_returned_is_never_said_to_be_confirmed_however_its_id_was_given(
    line: Any, message_id: str | bytes
) -> None:
    made = line()
    made.hearer.wait_state("ready")
    item = Publication(1, "", "nowhere", b"x", Properties(message_id=message_id))
    made.run(lambda: made.session.publish([item]))
    made.hearer.wait(lambda: made.hearer.settled)
    assert made.hearer.settled == [(1, "returned")]


def test_no_more_is_under_way_than_the_window_allows(line: Any) -> None:
    made = line(confirms_max=7)
    made.hearer.wait_state("ready")
    widest = 0
    window = made.session._channel._window
    publish = window.publish

    def watched(*arguments: Any) -> None:
        nonlocal widest
        publish(*arguments)
        widest = max(widest, len(window))

    window.publish = watched
    made.publish(range(500))
    made.hearer.wait(lambda: len(made.hearer.settled) == 500)
    assert (widest, {end for _, end in made.hearer.settled}) == (7, {"confirmed"})


def test_a_broker_that_reads_nothing_fills_no_memory_and_is_given_up(line: Any, broker: Any) -> None:
    """What the transport cannot take waits as it is; then silence for two heartbeats ends the connection,
    and what was under way is settled as lost."""
    made = line(confirms_max=60_000, heartbeat_seconds=2)
    made.hearer.wait_state("ready")
    broker.suspend()
    try:
        made.publish(range(1_000), body=bytes(50_000))
        transport = made.session._connection.transport
        held = made.run(lambda: sum(map(len, transport._tempDataBuffer)) + len(transport.dataBuffer))
        waiting = made.run(lambda: len(made.session._channel._waiting))
        assert held < 1_000_000
        assert waiting > 800
        made.hearer.wait(lambda: any(state.name == "unreachable" for state in made.hearer.states))
        assert any("nothing was heard for 4 seconds" in state.text for state in made.hearer.states)
        made.hearer.wait(lambda: len(made.hearer.settled) == 1_000)
        assert {end for _, end in made.hearer.settled} == {"lost"}
    finally:
        broker.resume()
    made.hearer.wait_state("ready")
    made.publish(range(10))
    made.hearer.wait(lambda: made.hearer.settled[1_000:] == [(number, "confirmed") for number in range(10)])


def test_what_is_published_without_a_broker_is_lost_at_once(line: Any) -> None:
    made = line(hosts=(("127.0.0.1", 1),))
    text = made.hearer.wait_state("unreachable")
    assert text.startswith("127.0.0.1:1: ")
    assert "refused" in text
    made.publish(range(3))
    made.hearer.wait(lambda: made.hearer.settled == [(0, "lost"), (1, "lost"), (2, "lost")])


def test_hosts_that_fail_in_turn_fill_no_log(line: Any, capfd: pytest.CaptureFixture[str]) -> None:
    made = line(hosts=(("127.0.0.1", 1), ("127.0.0.1", 2)), retry_seconds=0.01, retry_seconds_max=0.01)
    made.hearer.wait(lambda: sum(state.name == "unreachable" for state in made.hearer.states) >= 20)
    assert capfd.readouterr().err.count('"unreachable"') == 2


def test_the_next_host_is_dialled_when_one_does_not_answer(line: Any, broker: Any) -> None:
    made = line(hosts=(("127.0.0.1", 1), (broker.host, broker.port)))
    assert made.hearer.wait_state("ready") == f"connected to {broker.host}:{broker.port}"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"password": "wrong"}, "ACCESS_REFUSED"),
        ({"user": "nobody"}, "ACCESS_REFUSED"),
        ({"vhost": "missing"}, "NOT_ALLOWED"),
    ],
)
def test_a_login_that_is_refused_is_told_in_the_brokers_words(line: Any, changes: Any, words: str) -> None:
    made = line(**changes)
    text = made.hearer.wait_state("refused")
    assert words in text
    assert "wrong" not in text


def test_another_service_at_the_brokers_address_is_no_broker_and_ends_nothing(
    line: Any, reactor_thread: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(amqp, "GREETING_SECONDS", 1)

    class Web(Protocol):
        def dataReceived(self, data: bytes) -> None:
            self.transport.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    port = reactor_thread.run(
        lambda: reactor_thread.reactor.listenTCP(0, Factory.forProtocol(Web), interface="127.0.0.1")
    )
    made = line(hosts=(("127.0.0.1", port.getHost().port),))
    assert "did not greet us as a broker" in made.hearer.wait_state("unreachable")
    reactor_thread.run(port.stopListening)


def test_an_acknowledgement_made_just_before_the_end_arrives(line: Any) -> None:
    first = line()
    first.hearer.wait_state("ready")
    first.publish(range(50))
    first.hearer.wait(lambda: len(first.hearer.settled) == 50)
    first.run(lambda: first.session.consume("here", 100))
    first.hearer.wait(lambda: len(first.hearer.messages) == 50)
    tags = [message.tag for message in first.hearer.messages]
    odd = tags[1::2]

    def acknowledge_and_end() -> Any:
        first.session.acknowledge([*tags[:20], *odd])
        return first.session.stop()

    first.run(acknowledge_and_end)
    second = line()
    second.hearer.wait_state("ready")
    second.run(lambda: second.session.consume("here", 100))
    second.hearer.wait(lambda: len(second.hearer.messages) == 15)
    bodies = {message.properties.message_id for message in second.hearer.messages}
    assert bodies == {f"m{number}" for number in range(20, 50, 2)}
    assert {message.failures for message in second.hearer.messages} == {1}
