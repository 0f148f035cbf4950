"""Bad input on the live ports: each is answered as the dialect has it or cut off, and disturbs nobody."""

import contextlib
import socket
from collections.abc import Iterator
from typing import Any

import pytest
import zmq

HEADER = b"\x2e\x01%04d00010000   0302       \0\0\0\x0000000000000000"
SIGN_ON = b"08208220000000000000040000000000000011220200000000010" + b"01"


def framed(body: bytes) -> bytes:
    """A body behind its four digits."""
    return b"%04d" % len(body) + body


def with_header(message: bytes) -> bytes:
    """A message behind a header of the right length."""
    header = bytearray(HEADER % (46 + len(message)))
    return bytes(header[:46].ljust(46, b"0")) + message


CUPS = {
    "a length that is no number": b"ab12" + b"x" * 40,
    "a length with a sign": b"+003abc",
    "zero length with something behind": b"0000zzzz",
    "garbage of the promised length": framed(b"\xff" * 60),
    "text instead of a header": framed(b"GET / HTTP/1.1\r\nHost: bank\r\n\r\n"),
    "a header whose total is wrong": framed(b"\x2e\x019999" + b"0" * 60),
    "a header and nothing more": framed(with_header(b"")),
    "a bitmap that promises what is not there": framed(with_header(b"0200" + b"\xff" * 16)),
    "an unknown message type": framed(with_header(b"9999" + bytes(8))),
    "NUL in text": framed(with_header(b"0200" + bytes.fromhex("2000000000000000") + b"\0\0\0\0\0\0")),
    "half a frame, then silence": b"0200" + b"x" * 20,
    "one byte": b"0",
}

XML = {
    "nothing": b"",
    "garbage": b"\xff\xfe\x00\x01" * 20,
    "no root": b"just text",
    "truncated": b"<?xml version='1.0' encoding='GBK'?><Message><Head><TrxCode>030012",
    "another charset": "<?xml version='1.0' encoding='UTF-16'?><Message/>".encode("utf-16"),
    "an entity": b"<!DOCTYPE a [<!ENTITY b SYSTEM 'file:///etc/passwd'>]><Message><Head>&b;</Head></Message>",
    "an entity bomb": b"<!DOCTYPE a [<!ENTITY b 'bbbb'><!ENTITY c '&b;&b;&b;'>]><Message>&c;&c;</Message>",
    "an unknown transaction": b"<Message><Head><TrxCode>999999</TrxCode><Type>REQ</Type></Head></Message>",
    "a lone surrogate": b"<Message><Head><Serial>&#xD800;</Serial></Head></Message>",
    "NUL": b"<Message><Head><Serial>\x00</Serial></Head></Message>",
    "five megabytes": b"<Message>" + b"x" * 5_000_000 + b"</Message>",
}


@pytest.fixture(scope="module", autouse=True)
def unharmed(system: Any) -> Iterator[None]:
    """After everything, the same processes run, both banks work, and the books hold."""
    before = {name: status["pid"] for name, status in system.ask("status").items()}
    yield
    after = system.ask("status")
    assert {name: status["pid"] for name, status in after.items()} == before
    for bank in ("hz_citic", "icbc"):
        answer = system.run("send", bank, "recharge", "--phone", "13800000003", "--amount", "10.00")
        assert answer.returncode == 0, answer.stdout + answer.stderr
    assert system.run("audit-books").returncode == 0
    assert "Traceback" not in system.logs()


def connected(system: Any) -> socket.socket:
    """A connection to the bank's line."""
    host, _, port = system.address("hz_citic").rpartition(":")
    return socket.create_connection((host, int(port)), timeout=20)


@pytest.mark.parametrize("name", CUPS)
def test_bad_bytes_on_the_socket(system: Any, name: str) -> None:
    with connected(system) as line:
        line.sendall(CUPS[name])
        line.shutdown(socket.SHUT_WR)
        answer = b""
        with contextlib.suppress(ConnectionResetError):
            while data := line.recv(65536):
                answer += data
    assert b"Traceback" not in answer


def test_idle_and_half_open_connections_do_not_keep_others_out(system: Any) -> None:
    idle = [connected(system) for _ in range(5)]
    answer = system.run("send", "hz_citic", "owed", "--phone", "13800000001")
    for line in idle:
        line.close()
    assert answer.returncode in (0, 1), answer.stdout + answer.stderr


@pytest.mark.parametrize("name", XML)
def test_bad_bytes_on_the_queue(system: Any, name: str) -> None:
    context = zmq.Context()
    try:
        dealer = context.socket(zmq.DEALER)
        dealer.linger = 1000
        dealer.connect(system.address("icbc"))
        dealer.send_multipart([b"bad-" + name.encode(), XML[name]])
        if dealer.poll(300):
            assert b"root:" not in b"".join(dealer.recv_multipart())
    finally:
        context.destroy()


@pytest.mark.parametrize("parts", [[b"one part"], [b"", b"", b"", b""], [b"a", b"b", b"c"]])
def test_messages_of_a_wrong_shape_on_the_queue(system: Any, parts: list[bytes]) -> None:
    context = zmq.Context()
    try:
        dealer = context.socket(zmq.DEALER)
        dealer.linger = 1000
        dealer.connect(system.address("icbc"))
        dealer.send_multipart(parts)
    finally:
        context.destroy()
