"""RabbitMQ over TLS, live: a broker that is who it should be is used, every other one refused and counted.

The broker has a listener that wants our certificate; what changes from test to test is whom we believe.
"""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bankmq.amqp import AmqpSession, Broker, SessionState
from bankmq.amqp_messages import Topology
from qianzhi.runtime import metrics
from qianzhi.runtime.tls import Protection
from qianzhi.runtime.tls_table import TlsTable
from simulators.free_ports import free_port
from simulators.servers.rabbitmq import Broker as Server

LISTENER = """\
listeners.ssl.1 = 127.0.0.1:{port}
ssl_options.cacertfile = {folder}/ca.pem
ssl_options.certfile = {folder}/broker.pem
ssl_options.keyfile = {folder}/broker.key
ssl_options.verify = verify_peer
ssl_options.fail_if_no_peer_cert = true
ssl_options.versions.1 = tlsv1.2
"""


class Place:
    """The running broker, its port for TLS and the folder of certificates."""

    def __init__(self, folder: Path, make: Any) -> None:
        self.folder = folder
        self.ca, self.other = make(folder, "ca"), make(folder, "other")
        self.broker_certificate = self.ca.issue("broker", "127.0.0.1", "mq.example")
        self.ca.issue("own", "front.example")
        self.other.issue("stranger", "front.example")
        self.port = free_port()
        self.server = Server.create(settings=LISTENER.format(port=self.port, folder=folder).splitlines())


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, authority_in: Any) -> Iterator[Place]:
    made = Place(tmp_path_factory.mktemp("tls"), authority_in)
    try:
        made.server.start()
        yield made
    finally:
        made.server.close()


class Line:
    """One session, and the states that it was in."""

    def __init__(self, place: Place, reactor_thread: Any, **table: Any) -> None:
        given = {"certificate": "own.pem", "key": "own.key", "ca": "ca.pem", **table}
        self.protection = Protection("broker", TlsTable(**given), place.folder)
        self.states: list[str] = []
        self.changed = threading.Condition()
        server = place.server
        login = (server.admin_user, server.admin_password)
        broker = Broker((("127.0.0.1", place.port),), "/", *login, tls=self.protection.client)
        self.session = AmqpSession(broker, Topology(), self, reactor_thread.reactor)
        self.run = reactor_thread.run
        self.run(self.session.start)

    def on_open(self) -> None: ...

    def on_messages(self, items: Any) -> None: ...

    def on_settled(self, items: Any) -> None: ...

    def on_state(self, state: SessionState) -> None:
        with self.changed:
            self.states.append(state.name)
            self.changed.notify_all()

    def wait(self, name: str) -> None:
        with self.changed:
            assert self.changed.wait_for(lambda: name in self.states, timeout=20), self.states


@pytest.fixture
def line(place: Place, reactor_thread: Any) -> Any:
    lines: list[Line] = []

    def make(**table: Any) -> Line:
        lines.append(Line(place, reactor_thread, **table))
        return lines[-1]

    yield make
    for one in lines:
        one.run(one.session.stop)


def refused(reason: str) -> float:
    return metrics.value("qianzhi_tls_refused_total", ("broker", reason))


def test_a_broker_that_is_who_it_should_be_is_used(line: Any) -> None:
    done = metrics.value("qianzhi_tls_handshakes_total", ("broker", "TLSv1.2"))
    line().wait("ready")
    line(names=("mq.example",)).wait("ready")
    assert metrics.value("qianzhi_tls_handshakes_total", ("broker", "TLSv1.2")) == done + 2


@pytest.mark.parametrize("reason", ["unknown_ca", "wrong_name", "revoked", "pin", "old_version"])
def test_any_other_broker_is_refused_and_counted(line: Any, place: Place, reason: str) -> None:
    place.ca.revoke("crl", place.broker_certificate)
    table: dict[str, dict[str, Any]] = {
        "unknown_ca": {"ca": "other.pem"},
        "wrong_name": {"names": ("another.example",)},
        "revoked": {"crl": "crl.pem"},
        "pin": {"pins": ("00" * 32,)},
        "old_version": {"minimum": "1.3"},
    }
    before = refused(reason)
    made = line(**table[reason])
    made.wait("unreachable")
    assert refused(reason) > before
    assert "ready" not in made.states


@pytest.mark.parametrize("certificate", ["", "stranger"])
def test_a_broker_that_does_not_want_us_is_counted_and_tried_again(
    line: Any, place: Place, certificate: str
) -> None:
    before = refused("refused_by_peer")
    key = f"{certificate}.key" if certificate else ""
    made = line(certificate=f"{certificate}.pem" if certificate else "", key=key)
    made.wait("unreachable")
    assert refused("refused_by_peer") > before


def test_a_broker_whose_certificate_has_expired_is_refused_until_it_is_renewed(
    line: Any, place: Place
) -> None:
    before = refused("expired")
    place.ca.issue("broker", "127.0.0.1", "mq.example", days=-1)
    place.server.rabbitmqctl("eval", "ssl:clear_pem_cache().")
    made = line()
    made.wait("unreachable")
    assert refused("expired") > before
    assert "ready" not in made.states
    place.ca.issue("broker", "127.0.0.1", "mq.example")
    place.server.rabbitmqctl("eval", "ssl:clear_pem_cache().")
    made.wait("ready")
