"""One message a connection: answered, closed, and nothing behind it ever read as a message."""

import socket
from typing import Any

import pytest

from qianzhi.runtime import metrics


@pytest.fixture
def short(line: Any) -> Any:
    """A server whose connections carry one message each, to be answered within twenty seconds."""

    def make(**limits: Any) -> Any:
        return line(short_seconds=limits.pop("short_seconds", 20), **limits)

    return make


def everything(connection: socket.socket) -> bytes:
    """All that comes until the other side closes."""
    data = b""
    while part := connection.recv(4096):
        data += part
    return data


def answer(served: Any, index: int = 0) -> None:
    """Answer and close, as the front-end does."""
    conn, frame = [item for items in served.handler.lists for item in items][index]

    def work() -> None:
        served.server.send(conn, b"0002" + frame[:2].upper())
        served.server.close(conn, "answered")

    served.run(work)


def closed_reason(served: Any) -> str:
    served.handler.wait(lambda: served.handler.closed)
    return str(served.handler.closed[0][1])


def test_a_message_is_answered_and_its_connection_closed(short: Any) -> None:
    served = short()
    peer = served.connect()
    peer.sendall(b"0005hello")
    served.handler.wait(lambda: served.handler.frames == [b"hello"])
    answer(served)
    assert everything(peer) == b"0002HE"
    assert closed_reason(served) == "answered"


def test_a_peer_that_sends_no_more_still_gets_its_answer(short: Any) -> None:
    served = short()
    peer = served.connect()
    peer.sendall(b"0005hello")
    peer.shutdown(socket.SHUT_WR)
    served.handler.wait(lambda: served.handler.frames == [b"hello"])
    served.run(lambda: None)  # the reactor has seen the half-close by now
    assert served.handler.closed == []
    answer(served)
    assert everything(peer) == b"0002HE"
    assert closed_reason(served) == "answered"


@pytest.mark.parametrize(
    ("behind", "at_once"),
    [(b"0005again", True), (b"0005again", False), (b"x", True), (b"x", False), (b"x" * 30_000, False)],
)
def test_what_stands_behind_the_message_is_counted_and_never_read(
    short: Any, behind: bytes, at_once: bool
) -> None:
    served = short()
    before = metrics.value("qianzhi_connections_closed_total", ("test", "second_frame"))
    peer = served.connect()
    peer.sendall(b"0005hello" + (behind if at_once else b""))
    served.handler.wait(lambda: served.handler.frames)
    if not at_once:
        peer.sendall(behind)
        served.run(lambda: None)
    assert served.handler.closed == [], "the first message has its answer to come"
    other = served.connect()  # the reactor has read what was sent before
    other.sendall(b"0005other")
    served.handler.wait(lambda: len(served.handler.frames) == 2)
    answer(served)
    try:
        assert everything(peer) == b"0002HE"
    except ConnectionResetError:
        pytest.fail("the answer must not be lost by what was not read")
    assert closed_reason(served) == "second_frame"
    assert served.handler.frames == [b"hello", b"other"]
    assert metrics.value("qianzhi_connections_closed_total", ("test", "second_frame")) == before + 1


def test_a_peer_that_leaves_within_a_message_is_counted(short: Any) -> None:
    served = short()
    before = metrics.value("qianzhi_connections_closed_total", ("test", "closed_in_frame"))
    for close in (lambda peer: peer.shutdown(socket.SHUT_WR), lambda peer: peer.close()):
        peer = served.connect()
        peer.sendall(b"0005he")
        close(peer)
    served.handler.wait(lambda: len(served.handler.closed) == 2)
    assert {reason for _, reason in served.handler.closed} == {"closed_in_frame"}
    assert metrics.value("qianzhi_connections_closed_total", ("test", "closed_in_frame")) == before + 2
    assert served.handler.frames == []


def test_a_peer_that_leaves_without_a_word_is_closed(short: Any) -> None:
    served = short()
    served.connect().shutdown(socket.SHUT_WR)
    assert closed_reason(served) == "closed_by_peer"


@pytest.mark.parametrize("sent", [b"", b"0005he"])
def test_a_message_that_does_not_come_is_cut(short: Any, sent: bytes) -> None:
    served = short(partial_seconds=0.2)
    peer = served.connect()
    peer.sendall(sent)
    assert closed_reason(served) == "partial_timeout"


def test_a_message_that_nobody_answers_is_cut_at_its_deadline(short: Any) -> None:
    served = short(short_seconds=0.2, partial_seconds=0.1)
    peer = served.connect()
    peer.sendall(b"0005hello")
    peer.shutdown(socket.SHUT_WR)
    assert closed_reason(served) == "no_answer"


def test_a_broken_header_closes_at_once(short: Any) -> None:
    served = short()
    served.connect().sendall(b"00x5hello")
    assert closed_reason(served) == "bad_frame_length_character"


def test_waiting_connections_count_for_the_cap_and_closed_ones_do_not(short: Any) -> None:
    served = short(connections_max=2)
    refused = metrics.value("qianzhi_connections_refused_total", ("test", "connections_max"))
    peers = [served.connect() for _ in range(2)]
    for peer in peers:
        peer.sendall(b"0005hello")
        peer.shutdown(socket.SHUT_WR)
    served.handler.wait(lambda: len(served.handler.frames) == 2)
    assert served.connect().recv(1) == b""
    assert metrics.value("qianzhi_connections_refused_total", ("test", "connections_max")) == refused + 1
    answer(served, 0)
    served.handler.wait(lambda: served.handler.closed)
    late = served.connect()
    late.sendall(b"0005third")
    served.handler.wait(lambda: len(served.handler.frames) == 3)


def test_a_long_connection_that_ends_within_a_frame_is_counted_as_such(line: Any) -> None:
    served = line()
    peer = served.connect()
    peer.sendall(b"0005he")
    peer.close()
    assert closed_reason(served) == "closed_in_frame"
