"""Link under TLS: daemons that prove themselves twice, and every bad certificate refused and counted."""

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from qianzhi.link.events import Hello, LinkEvent, PeerDown, PeerUp, Requests
from qianzhi.link.messages import Envelope
from qianzhi.link.shell import Link
from qianzhi.runtime import metrics
from qianzhi.runtime.tls import Protection
from qianzhi.runtime.tls_peer import fingerprint
from qianzhi.runtime.tls_table import TlsTable

KEY = b"a key of the site, for this test"


class End:
    """One daemon's link with its own certificate, and what it heard."""

    def __init__(self, reactor_thread: Any, name: str, folder: Path, **table: Any) -> None:
        self.run = reactor_thread.run
        self.heard: list[tuple[str, LinkEvent]] = []
        self.changed = threading.Condition()
        given = {"certificate": f"{name}.pem", "key": f"{name}.key", "ca": "ca.pem", **table}
        self.protection = Protection(name, TlsTable(**given), folder)
        role = "front" if name == "front" else "node"
        self.link = Link(
            lambda: Hello(name, role),
            KEY,
            self.on_events,
            reactor=reactor_thread.reactor,
            tls=self.protection,
        )

    def on_events(self, items: list[tuple[str, LinkEvent]]) -> None:
        with self.changed:
            self.heard += items
            self.changed.notify_all()

    def wait(self, condition: Callable[[], Any]) -> None:
        with self.changed:
            assert self.changed.wait_for(condition, timeout=10), self.heard

    def listen(self) -> int:
        return int(self.run(lambda: self.link.listen("127.0.0.1", 0).start()))

    def dial(self, name: str, port: int) -> None:
        self.run(lambda: self.link.dial(name, "127.0.0.1", port).start())

    def has(self, kind: type) -> bool:
        return any(isinstance(event, kind) for _, event in self.heard)


@pytest.fixture
def end(reactor_thread: Any, tmp_path: Path) -> Iterator[Callable[..., End]]:
    made: list[End] = []

    def make(name: str, **table: Any) -> End:
        made.append(End(reactor_thread, name, tmp_path, **table))
        return made[-1]

    yield make
    for one in made:
        one.run(one.link.stop)


@pytest.fixture
def site(authority: Callable[..., Any]) -> Any:
    ca = authority()
    ca.issue("node", "127.0.0.1", "node.example")
    ca.issue("front", "127.0.0.1", "front.example")
    return ca


def counted(end: End, condition: Callable[[], bool]) -> None:
    """Wait for a metric: each look gives the reactor a turn."""
    for _ in range(100_000):
        if end.run(condition):
            return
    raise AssertionError("it was not counted")


def test_requests_cross_between_daemons_with_certificates(end: Callable[..., End], site: Any) -> None:
    node, front = end("node"), end("front")
    front.dial("node", node.listen())
    front.wait(lambda: front.has(PeerUp))
    jobs = [(n, 1, "123", 2, 0, 60_000, 0, f"t{n}", bytes(50_000), f"k{n}") for n in range(60)]
    items = [Envelope(*job) for job in jobs]
    front.run(lambda: front.link.send("node", items))
    node.wait(lambda: sum(len(e.items) for _, e in node.heard if isinstance(e, Requests)) == 60)
    assert metrics.value("qianzhi_tls_handshakes_total", ("node", "TLSv1.3")) >= 1


def test_each_of_them_may_be_named(end: Callable[..., End], site: Any) -> None:
    node, front = end("node", names=("front.example",)), end("front", names=("node.example",))
    front.dial("node", node.listen())
    front.wait(lambda: front.has(PeerUp))


def expired(ca: Any, other: Any) -> dict[str, Any]:
    ca.issue("bad", "127.0.0.1", days=-1)
    return {}


def unknown_ca(ca: Any, other: Any) -> dict[str, Any]:
    other.issue("bad", "127.0.0.1")
    return {}


def wrong_name(ca: Any, other: Any) -> dict[str, Any]:
    ca.issue("bad", "10.9.8.7", "bad.example")
    return {"names": ("127.0.0.1",)}


def revoked(ca: Any, other: Any) -> dict[str, Any]:
    ca.revoke("crl", ca.issue("bad", "127.0.0.1"))
    return {"crl": "crl.pem"}


def pin(ca: Any, other: Any) -> dict[str, Any]:
    ca.issue("bad", "127.0.0.1")
    return {"pins": (fingerprint(ca.issue("good", "127.0.0.1")),)}


def old_version(ca: Any, other: Any) -> dict[str, Any]:
    ca.issue("bad", "127.0.0.1")
    return {}


def no_certificate(ca: Any, other: Any) -> dict[str, Any]:
    return {}


KINDS = [expired, unknown_ca, wrong_name, revoked, pin, old_version, no_certificate]


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_a_daemon_refuses_whoever_dials_with_a_bad_certificate(
    end: Callable[..., End], site: Any, authority: Any, tmp_path: Path, kind: Callable[[Any, Any], Any]
) -> None:
    node = end("node", **kind(site, authority("other")))
    port = node.listen()
    before = metrics.value("qianzhi_tls_refused_total", ("node", kind.__name__))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(tmp_path / "ca.pem")
    if kind is not no_certificate:
        context.load_cert_chain(tmp_path / "bad.pem", tmp_path / "bad.key")
    if kind is old_version:
        context.set_ciphers("DEFAULT:@SECLEVEL=0")
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    with socket.create_connection(("127.0.0.1", port), timeout=10) as plain:
        try:
            with context.wrap_socket(plain, server_hostname="127.0.0.1") as line:
                assert line.recv(100) == b""
        except (ssl.SSLError, ConnectionError):
            pass
    counted(node, lambda: metrics.value("qianzhi_tls_refused_total", ("node", kind.__name__)) == before + 1)
    assert node.heard == []


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
@pytest.mark.parametrize(
    "kind", [k for k in KINDS if k is not no_certificate], ids=lambda kind: kind.__name__
)
def test_a_daemon_refuses_whoever_answers_with_a_bad_certificate(
    end: Callable[..., End], site: Any, authority: Any, tmp_path: Path, kind: Callable[[Any, Any], Any]
) -> None:
    front = end("front", **kind(site, authority("other")))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "bad.pem", tmp_path / "bad.key")
    if kind is old_version:
        context.set_ciphers("DEFAULT:@SECLEVEL=0")
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    before = metrics.value("qianzhi_tls_refused_total", ("front", kind.__name__))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        front.dial("node", listener.getsockname()[1])
        for _ in range(2):
            plain, _ = listener.accept()
            plain.settimeout(10)
            try:
                with context.wrap_socket(plain, server_side=True) as line:
                    line.recv(1)
            except (ssl.SSLError, ConnectionError):
                plain.close()
    assert metrics.value("qianzhi_tls_refused_total", ("front", kind.__name__)) >= before + 1
    assert front.heard == []


def test_a_good_certificate_without_the_site_key_is_not_enough(
    end: Callable[..., End], site: Any, tmp_path: Path
) -> None:
    node = end("node")
    before = metrics.value("qianzhi_tls_handshakes_total", ("node", "TLSv1.3"))
    context = ssl.create_default_context(cafile=str(tmp_path / "ca.pem"))
    context.load_cert_chain(tmp_path / "front.pem", tmp_path / "front.key")
    plain = socket.create_connection(("127.0.0.1", node.listen()), timeout=10)
    with context.wrap_socket(plain, server_hostname="127.0.0.1") as line:
        line.sendall(bytes(64))
        while line.recv(100):
            pass
    assert metrics.value("qianzhi_tls_handshakes_total", ("node", "TLSv1.3")) == before + 1
    assert node.heard == []


def test_new_certificates_are_used_without_losing_a_peer(end: Callable[..., End], site: Any) -> None:
    node, front = end("node"), end("front")
    port = node.listen()
    front.dial("node", port)
    front.wait(lambda: front.has(PeerUp))
    site.issue("node", "10.9.8.7")
    node.run(node.protection.look)
    late = end("front2", certificate="front.pem", key="front.key")
    before = metrics.value("qianzhi_tls_refused_total", ("front2", "wrong_name"))
    late.dial("node", port)
    counted(late, lambda: metrics.value("qianzhi_tls_refused_total", ("front2", "wrong_name")) > before)
    assert not front.has(PeerDown), "the connection that stands goes on"
