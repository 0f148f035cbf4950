"""TLS beneath the pool, against Python's own ssl module at the other end: who is let in, who is refused and
why, and that a protected line keeps every bound of a plain one.
"""

import contextlib
import hashlib
import socket
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from qianzhi.runtime import metrics
from qianzhi.runtime.tls import Protection
from qianzhi.runtime.tls_peer import fingerprint
from qianzhi.runtime.tls_table import TlsTable
from qianzhi.wire.framing import FrameReader, FrameSpec
from socket_pool.client import SocketClient
from socket_pool.limits import SocketLimits

SPEC = FrameSpec(kind="ascii", size=4, heartbeat="zero_length")


def refused(reason: str, name: str = "banks") -> float:
    return metrics.value("qianzhi_tls_refused_total", (name, reason))


class Bank:
    """The bank's end: plain Python, with whatever certificate a test gives it."""

    def __init__(self, folder: Path, certificate: str = "", version: str = "", minimum: str = "") -> None:
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self.context.load_verify_locations(folder / "ca.pem")
        if certificate:
            self.context.load_cert_chain(folder / f"{certificate}.pem", folder / f"{certificate}.key")
        if version:
            self.context.set_ciphers("DEFAULT:@SECLEVEL=0")
            self.context.minimum_version = self.context.maximum_version = ssl.TLSVersion[version]

    def connect(self, port: int) -> ssl.SSLSocket:
        plain = socket.create_connection(("127.0.0.1", port), timeout=10)
        return self.context.wrap_socket(plain, server_hostname="127.0.0.1")

    def is_refused(self, port: int) -> bool:
        """Whether our side ends the connection; under TLS 1.3 the bank learns of it when it reads."""
        try:
            with self.connect(port) as line:
                return line.recv(1) == b""
        except (ssl.SSLError, ConnectionError):
            return True


@pytest.fixture
def site(authority: Callable[..., Any], tmp_path: Path) -> Any:
    """Our authority with a front's certificate and one of a bank that may come in."""
    ca = authority()
    ca.issue("front", "127.0.0.1")
    ca.issue("bank", "bank.example")
    return ca


def protection(folder: Path, **table: Any) -> Protection:
    given = {"certificate": "front.pem", "key": "front.key", "ca": "ca.pem", "names": ("bank.example",)}
    return Protection("banks", TlsTable(**{**given, **table}), folder)


@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
def test_a_bank_with_its_certificate_asks_and_is_answered(
    line: Any, site: Any, tmp_path: Path, version: str
) -> None:
    served = line(tls=protection(tmp_path))
    done = metrics.value("qianzhi_tls_handshakes_total", ("banks", version.replace("_", ".")))
    with Bank(tmp_path, "bank", version).connect(served.port) as bank:
        bank.sendall(b"0005hello")
        served.handler.wait(lambda: served.handler.frames == [b"hello"])
        conn, peer = served.handler.connected[0]
        assert peer == "{}:{}".format(*bank.getsockname())
        served.run(lambda: served.server.send(conn, b"0002ok"))
        assert bank.recv(100) == b"0002ok"
        served.run(lambda: served.server.close(conn, "done"))
        assert bank.recv(1) == b""
    served.handler.wait(lambda: served.handler.closed == [(conn, "done")])
    assert metrics.value("qianzhi_tls_handshakes_total", ("banks", version.replace("_", "."))) == done + 1


def no_certificate(ca: Any, other: Any) -> str:
    return ""


def expired(ca: Any, other: Any) -> str:
    ca.issue("peer", "bank.example", days=-2)
    return "peer"


def unknown_ca(ca: Any, other: Any) -> str:
    other.issue("peer", "bank.example")
    return "peer"


def wrong_name(ca: Any, other: Any) -> str:
    ca.issue("peer", "another.example")
    return "peer"


def revoked(ca: Any, other: Any) -> str:
    ca.revoke("crl", ca.issue("peer", "bank.example"))
    return "peer"


def pin(ca: Any, other: Any) -> str:
    ca.issue("peer", "bank.example")
    return "peer"


BAD: list[Callable[[Any, Any], str]] = [no_certificate, expired, unknown_ca, wrong_name, revoked, pin]


@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
@pytest.mark.parametrize("bad", BAD, ids=lambda bad: bad.__name__)
def test_a_peer_of_every_bad_kind_is_refused_and_counted_by_its_reason(
    line: Any, site: Any, authority: Any, tmp_path: Path, bad: Callable[[Any, Any], str], version: str
) -> None:
    site.revoke("crl")
    certificate = bad(site, authority("other"))
    pins = {"pins": (fingerprint(site.issue("pinned", "bank.example")),)} if bad is pin else {}
    served = line(tls=protection(tmp_path, crl="crl.pem", **pins))
    before = refused(bad.__name__)
    pool = ("test", f"tls_{bad.__name__}")
    counted = metrics.value("qianzhi_connections_refused_total", pool)
    assert Bank(tmp_path, certificate, version).is_refused(served.port)
    good = "pinned" if pins else "bank"
    with Bank(tmp_path, good, version).connect(served.port) as bank:  # its neighbour never notices
        bank.sendall(b"0005hello")
        served.handler.wait(lambda: served.handler.frames == [b"hello"])
    assert refused(bad.__name__) == before + 1
    assert metrics.value("qianzhi_connections_refused_total", pool) == counted + 1
    assert len(served.handler.connected) == 1, "nobody hears of a connection that was refused"


@pytest.mark.parametrize(("minimum", "version"), [("1.2", "TLSv1_1"), ("1.3", "TLSv1_2")])
@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
def test_an_old_version_is_refused_and_counted(
    line: Any, site: Any, tmp_path: Path, minimum: str, version: str
) -> None:
    served = line(tls=protection(tmp_path, minimum=minimum))
    before = refused("old_version")
    assert Bank(tmp_path, "bank", version).is_refused(served.port)
    assert refused("old_version") == before + 1


@pytest.mark.parametrize(
    "first", [b"0005hello", b"GET / HTTP/1.1\r\n\r\n", bytes(64), hashlib.sha512(b"noise").digest()]
)
def test_bytes_that_are_no_tls_are_refused_and_counted(
    line: Any, site: Any, tmp_path: Path, first: bytes
) -> None:
    served = line(tls=protection(tmp_path))
    before = refused("not_tls")
    peer = served.connect()
    peer.sendall(first + bytes(64))
    while peer.recv(100):
        pass  # an alert, at most
    assert refused("not_tls") == before + 1
    assert served.handler.connected == []


def test_a_pinned_certificate_needs_no_authority_but_must_be_good(
    line: Any, site: Any, authority: Any, tmp_path: Path
) -> None:
    other = authority("other")
    own, late = other.issue("own", "x.example"), other.issue("late", "x.example", days=-1)
    pins = (fingerprint(own), fingerprint(late).upper())
    served = line(tls=protection(tmp_path, ca="", names=(), pins=pins))
    with Bank(tmp_path, "own").connect(served.port) as bank:
        bank.sendall(b"0005hello")
        served.handler.wait(lambda: served.handler.frames == [b"hello"])
    expired_before, pin_before = refused("expired"), refused("pin")
    assert Bank(tmp_path, "late").is_refused(served.port)
    assert Bank(tmp_path, "bank").is_refused(served.port)
    assert (refused("expired"), refused("pin")) == (expired_before + 1, pin_before + 1)


@pytest.mark.parametrize("names", [b"\x30\x03\x82\x01\xff", b"\x30\x03\x87\x01\x07", b"\x30\x02\xa3\x00"])
@pytest.mark.parametrize("pinned", [False, True])
def test_a_certificate_that_cannot_be_read_harms_nobody_else(
    line: Any, site: Any, tmp_path: Path, names: bytes, pinned: bool
) -> None:
    certificate = site.sign("odd", ec.generate_private_key(ec.SECP256R1()), names=names)
    pins = (fingerprint(certificate),) if pinned else ()
    served = line(tls=protection(tmp_path, pins=pins, ca="" if pinned else "ca.pem"))
    before = refused("bad_certificate")
    assert Bank(tmp_path, "odd").is_refused(served.port)
    assert refused("bad_certificate") == before + 1
    other = line(tls=protection(tmp_path))
    with Bank(tmp_path, "bank").connect(other.port) as bank:
        bank.sendall(b"0005hello")
        other.handler.wait(lambda: other.handler.frames == [b"hello"])
    assert served.handler.connected == []


def test_a_list_of_the_revoked_that_has_run_out_is_not_put_in_force(
    line: Any, site: Any, tmp_path: Path
) -> None:
    site.revoke("crl", days=1)
    table = protection(tmp_path, crl="crl.pem")
    site.revoke("crl", days=-1)
    assert table.reload() is False, "the list that was good stays"
    served = line(tls=table)
    with Bank(tmp_path, "bank").connect(served.port) as bank:
        bank.sendall(b"0000")
        served.handler.wait(lambda: served.handler.frames == [b""])


def test_new_files_are_for_new_connections_and_those_that_stand_go_on(
    line: Any, site: Any, authority: Any, tmp_path: Path
) -> None:
    table = protection(tmp_path)
    served = line(tls=table)
    first = Bank(tmp_path, "bank").connect(served.port)
    shown = first.getpeercert(binary_form=True)
    site.issue("front", "127.0.0.1")
    served.run(table.look)
    with Bank(tmp_path, "bank").connect(served.port) as second:
        assert second.getpeercert(binary_form=True) != shown
    (tmp_path / "front.pem").write_text("half a certific")
    alarms = metrics.value("qianzhi_alarms_total", ("certificate_unusable",))
    for _ in range(2):
        served.run(table.look)
    assert metrics.value("qianzhi_alarms_total", ("certificate_unusable",)) == alarms + 1, (
        "and it is said once"
    )
    assert "front.pem" in table.status()["trouble"]
    with Bank(tmp_path, "bank").connect(served.port) as third:
        third.sendall(b"0005third")
        first.sendall(b"0005first")
        served.handler.wait(lambda: sorted(served.handler.frames) == [b"first", b"third"])
    first.close()
    site.issue("front", "127.0.0.1")
    served.run(table.look)
    assert "trouble" not in table.status()


def test_a_bank_that_is_revoked_while_connected_is_refused_the_next_time(
    line: Any, site: Any, tmp_path: Path
) -> None:
    site.revoke("crl")
    certificate = site.issue("bank", "bank.example")
    table = protection(tmp_path, crl="crl.pem")
    served = line(tls=table)
    bank = Bank(tmp_path, "bank")
    with bank.connect(served.port) as standing:
        site.revoke("crl", certificate)
        served.run(table.look)
        assert bank.is_refused(served.port)
        standing.sendall(b"0005still")
        served.handler.wait(lambda: served.handler.frames == [b"still"])


def test_a_handshake_that_does_not_come_is_cut_and_counts_for_the_cap(
    line: Any, site: Any, tmp_path: Path
) -> None:
    served = line(tls=protection(tmp_path), connections_max=1, partial_seconds=0.3)
    before = refused("timeout")
    idle = served.connect()
    assert Bank(tmp_path, "bank").is_refused(served.port)
    with contextlib.suppress(ConnectionResetError):
        assert idle.recv(100) == b""
    with Bank(tmp_path, "bank").connect(served.port) as bank:
        bank.sendall(b"0000")
        served.handler.wait(lambda: served.handler.frames == [b""])
    assert refused("timeout") == before + 1


def test_a_peer_that_does_not_read_is_cut_at_the_same_bound(line: Any, site: Any, tmp_path: Path) -> None:
    served = line(tls=protection(tmp_path), write_buffer_bytes_max=1 << 20)
    with Bank(tmp_path, "bank").connect(served.port):
        served.handler.wait(lambda: served.handler.connected)
        conn = served.handler.connected[0][0]

        def flood() -> int:
            sent = 0
            while served.server.send(conn, bytes(65_536)):
                sent += 65_536
                assert sent < 64 << 20
            return sent

        assert 1 << 19 < served.run(flood) <= 1 << 20
        served.handler.wait(lambda: served.handler.closed == [(conn, "write_buffer_full")])


def test_a_short_connection_is_answered_and_closed(line: Any, site: Any, tmp_path: Path) -> None:
    served = line(tls=protection(tmp_path), short_seconds=20)
    with Bank(tmp_path, "bank").connect(served.port) as bank:
        bank.sendall(b"0005hello")
        served.handler.wait(lambda: served.handler.frames == [b"hello"])
        conn = served.handler.connected[0][0]
        served.run(lambda: [served.server.send(conn, b"0002ok"), served.server.close(conn, "answered")])
        assert bank.recv(100) == b"0002ok"
        assert bank.recv(100) == b""
    served.handler.wait(lambda: served.handler.closed == [(conn, "answered")])


def listener(folder: Path, certificate: str, version: str = "") -> tuple[socket.socket, ssl.SSLContext]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / f"{certificate}.pem", folder / f"{certificate}.key")
    if version:
        context.set_ciphers("DEFAULT:@SECLEVEL=0")
        context.minimum_version = context.maximum_version = ssl.TLSVersion[version]
    return socket.create_server(("127.0.0.1", 0)), context


def serve(made: tuple[socket.socket, ssl.SSLContext]) -> ssl.SSLSocket | None:
    plain, _ = made[0].accept()
    plain.settimeout(10)
    try:
        return made[1].wrap_socket(plain, server_side=True)
    except (ssl.SSLError, ConnectionError):
        plain.close()
        return None


@pytest.fixture
def caller(reactor_thread: Any, recorder: Any, tmp_path: Path, site: Any) -> Any:
    clients: list[SocketClient] = []

    def make(port: int, **table: Any) -> SocketClient:
        given = {"certificate": "", "key": "", "names": (), **table}
        client = SocketClient(
            "127.0.0.1",
            port,
            SocketLimits(),
            lambda: FrameReader(SPEC),
            recorder,
            name="caller",
            reactor=reactor_thread.reactor,
            tls=protection(tmp_path, **given),
        )
        clients.append(client)
        reactor_thread.run(client.start)
        return client

    yield make
    for client in clients:
        reactor_thread.run(client.stop)


def test_we_call_a_peer_that_is_who_it_should_be(caller: Any, recorder: Any, tmp_path: Path) -> None:
    made = listener(tmp_path, "front")
    caller(made[0].getsockname()[1])
    peer = serve(made)
    assert peer is not None
    peer.sendall(b"0005hello")
    recorder.wait(lambda: recorder.frames == [b"hello"])
    peer.close()
    made[0].close()


@pytest.mark.parametrize(
    ("reason", "version"),
    [("wrong_name", ""), ("expired", ""), ("unknown_ca", ""), ("pin", ""), ("old_version", "TLSv1_1")],
)
@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
def test_we_leave_a_peer_that_is_not_and_try_it_less_and_less_often(
    caller: Any, recorder: Any, site: Any, authority: Any, tmp_path: Path, reason: str, version: str
) -> None:
    issue = (authority("other") if reason == "unknown_ca" else site).issue
    name = "10.9.8.7" if reason == "wrong_name" else "127.0.0.1"
    issue("peer", name, days=-1 if reason == "expired" else 10)
    made = listener(tmp_path, "peer", version)
    before = refused(reason)
    client = caller(made[0].getsockname()[1], **({"pins": ("00" * 32,)} if reason == "pin" else {}))
    for _ in range(3):
        serve(made)  # under TLS 1.3 it believes that all is well until it reads
    made[0].close()
    assert refused(reason) >= before + 2
    assert client.pool.refusals >= 2
    assert recorder.connected == []


def test_a_caller_without_a_certificate_learns_that_it_is_not_wanted(
    caller: Any, recorder: Any, site: Any, tmp_path: Path
) -> None:
    made = listener(tmp_path, "front")
    made[1].verify_mode = ssl.CERT_REQUIRED
    made[1].load_verify_locations(tmp_path / "ca.pem")
    before = refused("refused_by_peer")
    client = caller(made[0].getsockname()[1])
    for _ in range(3):
        assert serve(made) is None
    assert refused("refused_by_peer") >= before + 2
    assert client.pool.refusals >= 2
    made[0].close()
