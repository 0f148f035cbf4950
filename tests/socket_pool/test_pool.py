"""Real loopback sockets on one side, the pool on the reactor's thread on the other."""

import socket
import struct
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from qianzhi.runtime import metrics
from qianzhi.wire.framing import FrameReader, FrameSpec
from socket_pool.client import LONGEST_PAUSE_SECONDS, SocketClient, pause_seconds
from socket_pool.limits import SocketLimits, is_allowed

SPEC = FrameSpec(kind="ascii", size=4, heartbeat="zero_length")


def ended(connection: socket.socket) -> bool:
    """Whether the peer closes this connection, orderly or not, without a byte."""
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True


def test_frames_arrive_whole_however_the_bytes_are_cut(line: Any) -> None:
    served = line()
    peer = served.connect()
    for byte in b"0005hello0000":
        peer.sendall(bytes([byte]))
    served.handler.wait(lambda: served.handler.frames == [b"hello", b""])


def test_what_one_wake_up_completes_on_all_connections_is_one_list(line: Any, reactor_thread: Any) -> None:
    served = line()
    peers = [served.connect() for _ in range(3)]
    served.handler.wait(lambda: len(served.handler.connected) == 3)
    with reactor_thread.held():  # all bytes are in the kernel before the reactor looks
        for peer in peers:
            peer.sendall(b"0001a0001b")
    served.handler.wait(lambda: len(served.handler.frames) == 6)
    assert len(served.handler.lists) == 1
    by_conn: dict[int, bytes] = {}
    for conn, frame in served.handler.lists[0]:
        by_conn[conn] = by_conn.get(conn, b"") + frame
    assert list(by_conn.values()) == [b"ab"] * 3


def test_answers_reach_the_connection_that_asked(line: Any) -> None:
    served = line()
    peers = {name: served.connect() for name in (b"a", b"b")}
    for name, peer in peers.items():
        peer.sendall(b"0001" + name)
    served.handler.wait(lambda: len(served.handler.frames) == 2)
    for conn, frame in [item for items in served.handler.lists for item in items]:
        assert served.run(lambda conn=conn, frame=frame: served.server.send(conn, b"to " + frame))
    for name, peer in peers.items():
        assert peer.recv(10) == b"to " + name


def test_a_broken_frame_closes_its_connection_alone_after_the_good_ones_before_it(line: Any) -> None:
    served = line()
    bad, good = served.connect(), served.connect()
    bad.sendall(b"0002ok00x1!")
    assert ended(bad)
    served.handler.wait(lambda: served.handler.closed)
    assert served.handler.frames == [b"ok"]
    assert served.handler.closed[0][1] == "bad_frame_length_character"
    assert served.handler.heard.index("frames") < served.handler.heard.index("closed")
    good.sendall(b"0002ok")
    served.handler.wait(lambda: served.handler.frames == [b"ok", b"ok"])


def test_last_frames_of_a_peer_that_leaves_come_before_its_end(line: Any, reactor_thread: Any) -> None:
    served = line()
    peer = served.connect()
    served.handler.wait(lambda: served.handler.connected)
    with reactor_thread.held():
        peer.sendall(b"0003bye")
        peer.close()
    served.handler.wait(lambda: served.handler.closed)
    assert served.handler.heard == ["connected", "frames", "closed"]
    assert served.handler.closed[0][1] == "closed_by_peer"


def test_slow_bytes_are_cut_and_an_idle_connection_is_not(line: Any) -> None:
    served = line(partial_seconds=0.2)
    slow, idle = served.connect(), served.connect()
    slow.sendall(b"00")
    assert ended(slow)
    served.handler.wait(lambda: served.handler.closed)
    assert [reason for _, reason in served.handler.closed] == ["partial_timeout"]
    idle.sendall(b"0002ok")
    served.handler.wait(lambda: served.handler.frames == [b"ok"])


def test_the_cap_refuses_one_more_and_counts_it(line: Any) -> None:
    served = line(connections_max=2)
    before = metrics.value("qianzhi_connections_refused_total", ("test", "connections_max"))
    first, _ = served.connect(), served.connect()
    served.handler.wait(lambda: len(served.handler.connected) == 2)
    assert ended(served.connect())
    assert metrics.value("qianzhi_connections_refused_total", ("test", "connections_max")) == before + 1
    first.close()
    served.handler.wait(lambda: served.handler.closed)
    served.connect().sendall(b"0001x")
    served.handler.wait(lambda: served.handler.frames == [b"x"])


def test_a_stranger_is_refused(line: Any) -> None:
    served = line(allow=("10.0.0.0/8",))
    assert ended(served.connect())
    assert served.handler.connected == []


def test_a_peer_that_does_not_read_is_no_longer_read_and_then_cut(line: Any) -> None:
    served = line(write_buffer_bytes_max=65_536)
    peer = served.connect()
    served.handler.wait(lambda: served.handler.connected)
    conn = served.handler.connected[0][0]

    def flood() -> bool:
        return any(not served.server.send(conn, bytes(65_536)) for _ in range(1000))

    assert served.run(flood)
    served.handler.wait(lambda: served.handler.closed)
    assert served.handler.closed == [(conn, "write_buffer_full")]
    peer.close()


@pytest.mark.parametrize(("unread_bytes_max", "reads_on"), [(0, True), (32 << 20, True), (65_536, False)])
def test_a_peer_is_read_from_until_more_than_the_bound_waits_for_it(
    line: Any, unread_bytes_max: int, reads_on: bool
) -> None:
    served = line(unread_bytes_max=unread_bytes_max, write_buffer_bytes_max=64 << 20)
    peer = served.connect()
    served.handler.wait(lambda: served.handler.connected)
    conn = served.handler.connected[0][0]
    assert served.run(lambda: served.server.send(conn, bytes(16 << 20)))  # more than the kernel takes
    peer.sendall(b"0001a")
    if reads_on:
        served.handler.wait(lambda: served.handler.frames == [b"a"])
    else:
        other = served.connect()
        other.sendall(b"0001b")
        served.handler.wait(lambda: served.handler.frames == [b"b"])
    received = 0
    while received < 16 << 20:
        received += len(peer.recv(1 << 20))
    served.handler.wait(lambda: b"a" in served.handler.frames)


def test_a_line_that_is_always_read_is_cut_at_its_write_buffer_s_bound(line: Any) -> None:
    served = line(unread_bytes_max=0, write_buffer_bytes_max=1 << 20)
    peer = served.connect()
    served.handler.wait(lambda: served.handler.connected)
    conn = served.handler.connected[0][0]
    waiting = 0

    def flood() -> bool:
        nonlocal waiting
        transport = next(iter(served.server.pool._connections.values())).transport
        while served.server.send(conn, bytes(65_536)):
            waiting += 65_536 if transport._tempDataBuffer else 0  # the kernel takes no more
        return True

    assert served.run(flood)
    served.handler.wait(lambda: served.handler.closed)
    assert served.handler.closed == [(conn, "write_buffer_full")]
    assert waiting == 1 << 20
    peer.close()


def test_what_the_kernel_takes_in_part_arrives_whole_and_in_order(line: Any) -> None:
    served = line(unread_bytes_max=0, write_buffer_bytes_max=64 << 20)
    peer = served.connect()
    served.handler.wait(lambda: served.handler.connected)
    conn = served.handler.connected[0][0]
    parts = [bytes([number]) * size for number, size in enumerate((7, 300_000, 5, 16 << 20, 9, 70_000, 1))]

    def answer() -> bool:
        return [served.server.send(conn, part) for part in parts] == [True] * len(parts)

    assert served.run(answer)
    expected = b"".join(parts)
    received = bytearray()
    while len(received) < len(expected):
        received += peer.recv(1 << 20)
    assert received == expected
    assert served.run(lambda: served.server.send(conn, b"and on"))
    assert peer.recv(100) == b"and on"


def test_a_paused_connection_is_not_read_until_it_goes_on(line: Any) -> None:
    served = line(partial_seconds=0.1)
    peer = served.connect()
    peer.sendall(b"0001a00")
    served.handler.wait(lambda: served.handler.frames == [b"a"])
    conn = served.handler.connected[0][0]
    served.run(lambda: served.server.pause(conn, True))
    peer.sendall(b"01b")
    other = served.connect()
    other.sendall(b"00")
    assert ended(other)  # the sweep has run, and spared the one that we do not read
    served.run(lambda: served.server.pause(conn, False))
    served.handler.wait(lambda: served.handler.frames == [b"a", b"b"])


def test_closing_writes_out_what_waits_and_takes_nothing_more(line: Any) -> None:
    served = line()
    peer = served.connect()
    served.handler.wait(lambda: served.handler.connected)
    conn = served.handler.connected[0][0]

    def answer_and_close() -> bool:
        served.server.send(conn, b"last words")
        served.server.close(conn, "done")
        return served.server.send(conn, b"more")

    assert served.run(answer_and_close) is False
    assert peer.recv(100) == b"last words"
    assert ended(peer)
    served.handler.wait(lambda: served.handler.closed == [(conn, "done")])


def test_a_peer_that_resets_is_reported_once(line: Any) -> None:
    served = line()
    peer = served.connect()
    served.handler.wait(lambda: served.handler.connected)
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    peer.close()
    served.handler.wait(lambda: served.handler.closed)
    assert [reason for _, reason in served.handler.closed] == ["lost"]


def test_keepalive_finds_the_other_end_gone(line: Any) -> None:
    served = line(keepalive_idle_seconds=7, keepalive_interval_seconds=3, keepalive_probes=2)
    served.connect()
    served.handler.wait(lambda: served.handler.connected)
    handle = next(iter(served.server.pool._connections.values())).transport.getHandle()
    tcp = [socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT, socket.TCP_USER_TIMEOUT]
    assert [handle.getsockopt(socket.IPPROTO_TCP, option) for option in tcp] == [7, 3, 2, 13_000]
    assert handle.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1


def test_the_client_connects_again_under_a_new_number(reactor_thread: Any, recorder: Any) -> None:
    handler = recorder
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = SocketClient(
            "127.0.0.1",
            listener.getsockname()[1],
            SocketLimits(),
            lambda: FrameReader(SPEC),
            handler,
            reactor=reactor_thread.reactor,
        )
        reactor_thread.run(client.start)
        first, _ = listener.accept()
        handler.wait(lambda: handler.connected)
        first.close()
        second, _ = listener.accept()
        handler.wait(lambda: len(handler.connected) == 2)
        (old, _), (new, _) = handler.connected
        assert old != new
        assert reactor_thread.run(lambda: client.send(old, b"x")) is False
        assert reactor_thread.run(lambda: client.send(new, b"x")) is True
        assert second.recv(1) == b"x"
        reactor_thread.run(client.stop)
        second.close()


@pytest.mark.parametrize(
    ("address", "allowed"),
    [
        ("10.1.2.3", True),
        ("::ffff:10.1.2.3", True),
        ("11.0.0.1", False),
        ("2001:db8::1", False),
        ("?", False),
    ],
)
def test_the_allow_list(address: str, allowed: bool) -> None:
    assert is_allowed(SocketLimits(allow=("10.0.0.0/8",)), address) is allowed


def test_a_wrong_network_in_the_allow_list_is_refused_in_words() -> None:
    with pytest.raises(ValidationError, match="networks such as"):
        TypeAdapter(SocketLimits).validate_json('{"allow": ["10.0.0/8"]}')


def test_pauses_between_attempts_grow_to_a_bound_and_differ_by_chance() -> None:
    shortest = [pause_seconds(n, b"\0\0") for n in range(1_000)]
    longest = [pause_seconds(n, b"\xff\xff") for n in range(1_000)]
    assert shortest == sorted(shortest)
    assert longest[0] < 0.2
    assert max(longest) <= LONGEST_PAUSE_SECONDS
    assert max(pause_seconds(n, b"\xff\xff", 0.5) for n in range(1_000)) <= 0.5
    assert all(high > 1.9 * low for low, high in zip(shortest, longest, strict=True))
