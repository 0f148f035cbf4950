"""The PROXY header: believed of the balancers that are named, of nobody else, and only when it is one."""

import contextlib
import ipaddress
import socket
import ssl
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qianzhi.runtime import metrics
from qianzhi.runtime.tls import Protection
from qianzhi.runtime.tls_table import TlsTable
from socket_pool.proxy import MARK, Dialler, HeaderReader, ProxyHeaderError

BALANCERS = ("127.0.0.0/8",)
V1 = b"PROXY TCP4 10.1.2.3 10.9.9.9 51234 9001\r\n"
V1_6 = b"PROXY TCP6 2001:db8::7 ::1 51234 9001\r\n"


def v2(source: str, port: int = 51_234, command: int = 0x21, more: bytes = b"") -> bytes:
    """A header of version 2 as HAProxy writes it."""
    address = ipaddress.ip_address(source)
    family = 0x11 if address.version == 4 else 0x21
    body = address.packed * 2 + port.to_bytes(2, "big") + (9001).to_bytes(2, "big") + more
    return MARK + bytes([command, family]) + len(body).to_bytes(2, "big") + body


def refused(reason: str) -> float:
    return metrics.value("qianzhi_connections_refused_total", ("test", reason))


@pytest.mark.parametrize(
    ("header", "dialler"),
    [
        (V1, Dialler("10.1.2.3", 51_234)),
        (V1_6, Dialler("2001:db8::7", 51_234)),
        (b"PROXY UNKNOWN\r\n", Dialler("", 0)),
        (b"PROXY UNKNOWN ffff:f::1 ::2 1 2\r\n", Dialler("", 0)),
        (v2("10.1.2.3"), Dialler("10.1.2.3", 51_234)),
        (v2("2001:db8::7"), Dialler("2001:db8::7", 51_234)),
        (v2("10.1.2.3", more=b"\x03\x00\x04abcd"), Dialler("10.1.2.3", 51_234)),
        (v2("10.1.2.3", command=0x20), Dialler("", 0)),
        (MARK + b"\x20\x00\x00\x00", Dialler("", 0)),
    ],
)
@given(data=st.data())
def test_a_header_is_read_however_its_bytes_are_cut(
    header: bytes, dialler: Dialler, data: st.DataObject
) -> None:
    stream = header + b"0005hello"
    cuts = sorted(data.draw(st.sets(st.integers(1, len(stream) - 1), max_size=4)))
    reader, found, rest = HeaderReader(), None, b""
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        if found is None:
            read = reader.receive_data(stream[start:end])
            if read is not None:
                found, rest = read
        else:
            rest += stream[start:end]
    assert (found, rest) == (dialler, b"0005hello")


@pytest.mark.parametrize(
    "header",
    [
        b"0005hello",
        b"PROXY TCP4 10.1.2.3 10.9.9.9 51234\r\n",
        b"PROXY TCP4 10.1.2.300 10.9.9.9 51234 9001\r\n",
        b"PROXY TCP4 ::1 ::1 51234 9001\r\n",
        b"PROXY TCP4 10.1.2.3 10.9.9.9 99999 9001\r\n",
        b"PROXY TCP4 10.1.2.3 10.9.9.9 +123 9001\r\n",
        b"PROXY UDP4 10.1.2.3 10.9.9.9 51234 9001\r\n",
        b"PROXY " + b"x" * 200,
        v2("10.1.2.3", command=0x22),
        MARK + b"\x21\x31\x00\xd8" + bytes(216),
        MARK + b"\x21\x11\x00\x04" + bytes(4),
        MARK + b"\x21\x11\xff\xff",
        b"\r\n\r\n\x00\r\nQUIX\n",
    ],
)
def test_what_is_no_header_is_refused(header: bytes) -> None:
    with pytest.raises(ProxyHeaderError):
        HeaderReader().receive_data(header)


@given(
    st.binary(max_size=200), st.sampled_from([b"", b"PROXY ", b"PROXY TCP4 ", MARK, MARK + b"\x21\x11\0\x0c"])
)
def test_made_up_bytes_are_read_or_refused(data: bytes, start: bytes) -> None:
    with contextlib.suppress(ProxyHeaderError):
        HeaderReader().receive_data(start + data)


@pytest.mark.parametrize("header", [V1, v2("10.1.2.3")])
def test_the_bank_behind_a_balancer_is_who_it_says(line: Any, header: bytes) -> None:
    served = line(proxies=BALANCERS, allow=("10.1.0.0/16",))
    peer = served.connect()
    peer.sendall(header + b"0005he")
    peer.sendall(b"llo")
    served.handler.wait(lambda: served.handler.frames == [b"hello"])
    assert served.handler.connected[0][1] == "10.1.2.3:51234"
    conn = served.handler.connected[0][0]
    served.run(lambda: served.server.send(conn, b"0002ok"))
    assert peer.recv(100) == b"0002ok"
    served.run(lambda: served.server.close(conn, "done"))
    assert peer.recv(1) == b""
    served.handler.wait(lambda: served.handler.closed == [(conn, "done")])


def test_the_allow_list_is_for_the_bank_and_not_for_the_balancer(line: Any) -> None:
    served = line(proxies=BALANCERS, allow=("127.0.0.0/8",))
    before = refused("not_allowed")
    peer = served.connect()
    peer.sendall(V1 + b"0005hello")
    assert ended(peer)
    served.run(lambda: None)
    assert refused("not_allowed") == before + 1
    assert served.handler.connected == []


def test_a_header_of_somebody_else_is_never_believed(line: Any) -> None:
    served = line(proxies=("10.77.4.0/24",), allow=("127.0.0.0/8",))
    peer = served.connect()
    peer.sendall(V1)
    served.handler.wait(lambda: served.handler.closed)
    assert served.handler.connected[0][1].startswith("127.0.0.1:")
    assert served.handler.closed[0][1] == "bad_frame_length_character"


@pytest.mark.parametrize(
    ("sent", "leaves", "reason"),
    [
        (b"0005hello", False, "proxy_header"),
        (b"PROXY UNKNOWN\r\n", False, "health_check"),
        (b"", True, "health_check"),
        (b"PROXY T", True, "proxy_header"),
    ],
)
def test_a_balancer_that_sends_no_bank_is_closed_and_counted(
    line: Any, sent: bytes, leaves: bool, reason: str
) -> None:
    served = line(proxies=BALANCERS)
    before = refused(reason)
    peer = served.connect()
    peer.sendall(sent)
    if leaves:
        peer.shutdown(socket.SHUT_WR)
    assert ended(peer)
    served.run(lambda: None)  # the reactor has done with it
    assert refused(reason) == before + 1
    assert served.handler.connected == []


def test_a_header_that_does_not_come_is_cut_and_counts_for_the_cap(line: Any) -> None:
    served = line(proxies=BALANCERS, allow=("10.1.0.0/16",), connections_max=1, partial_seconds=0.3)
    before = refused("proxy_timeout"), refused("connections_max")
    idle, other = served.connect(), served.connect()
    assert ended(other)
    assert ended(idle)
    served.run(lambda: None)
    assert (refused("proxy_timeout"), refused("connections_max")) == (before[0] + 1, before[1] + 1)
    bank = served.connect()
    bank.sendall(V1 + b"0000")
    served.handler.wait(lambda: served.handler.frames == [b""])


def test_a_short_connection_behind_a_balancer_gets_its_answer_after_its_own_end(line: Any) -> None:
    served = line(proxies=BALANCERS, allow=("10.1.0.0/16",), short_seconds=20)
    peer = served.connect()
    peer.sendall(V1 + b"0005hello")
    peer.shutdown(socket.SHUT_WR)
    served.handler.wait(lambda: served.handler.frames == [b"hello"])
    served.run(lambda: None)
    conn = served.handler.connected[0][0]
    served.run(lambda: [served.server.send(conn, b"0002ok"), served.server.close(conn, "answered")])
    assert peer.recv(100) == b"0002ok"


def test_tls_begins_behind_the_header(line: Any, authority: Any, tmp_path: Path) -> None:
    authority().issue("front", "front.example")
    table = TlsTable(certificate="front.pem", key="front.key")
    served = line(tls=Protection("banks", table, tmp_path), proxies=BALANCERS, allow=("10.1.0.0/16",))
    plain = served.connect()
    plain.sendall(v2("10.1.2.3"))
    context = ssl.create_default_context(cafile=str(tmp_path / "ca.pem"))
    with context.wrap_socket(plain, server_hostname="front.example") as bank:
        bank.sendall(b"0005hello")
        served.handler.wait(lambda: served.handler.frames == [b"hello"])
        assert served.handler.connected[0][1] == "10.1.2.3:51234"


def ended(connection: socket.socket) -> bool:
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True
