"""Two ends of a connection, and strangers who want to be one of them."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qianzhi.link.events import Answers, DrainNotice, Hello, PeerDown, PeerDraining, PeerUp, Requests
from qianzhi.link.messages import Answer, Envelope, Status
from qianzhi.link.mux import HANDSHAKE_BYTES_MAX, HELLO, PROOF, REQUESTS, Mux, MuxEvent, Side, add_event
from qianzhi.link.tables import LinkTable
from qianzhi.runtime.now import Now

NOW = Now(1_000_000, 1_700_000_000_000_000)
KEY = bytes(range(32))
FRONT = Hello("front-hz_citic-1", "front", banks=("hz_citic",), numbers=("105330100001",))
NODE = Hello("node1", "node", window=500)


def end(side: Side, *, key: bytes = KEY, nonce: bytes = b"", me: Hello | None = None, **more: str) -> Mux:
    hello = me or (FRONT if side == "client" else NODE)
    return Mux(side, hello, key, nonce or side.encode().ljust(32, b"."), **more)  # type: ignore[arg-type]


def envelope(number: int, body: bytes = b"body") -> Envelope:
    return Envelope(number, 1, "105330100001", 2, 77, 9_000, 0, "trace", body, "hz_citic/20261122/000001")


def frame(kind: int, payload: object) -> bytes:
    data = msgspec.msgpack.encode([kind, payload])
    return len(data).to_bytes(4, "big") + data


def shake(client: Mux, server: Mux) -> tuple[list[MuxEvent], list[MuxEvent], list[bytes]]:
    """Carry bytes until nobody has any; return both ends' events and all that the client wrote."""
    to_server, to_client = client.start(NOW), server.start(NOW)
    heard: tuple[list[MuxEvent], list[MuxEvent]] = ([], [])
    wrote: list[bytes] = []
    while to_server or to_client:
        wrote.append(to_server)
        heard[1].extend(server.receive_data(to_server, NOW))
        heard[0].extend(client.receive_data(to_client, NOW))
        to_server, to_client = client.take_bytes(), server.take_bytes()
    return heard[0], heard[1], wrote


def connected() -> tuple[Mux, Mux]:
    client, server = end("client"), end("server")
    shake(client, server)
    return client, server


def reasons(events: list[MuxEvent]) -> list[str]:
    return [event.reason for event in events if isinstance(event, PeerDown)]


def test_both_ends_learn_who_the_other_is() -> None:
    client, server = end("client"), end("server")
    at_client, at_server, _ = shake(client, server)
    assert at_client == [PeerUp(NODE)]
    assert at_server == [PeerUp(FRONT)]


def test_messages_pass_both_ways_and_keep_their_order() -> None:
    client, server = connected()
    client.send([envelope(1), envelope(2), DrainNotice(True), envelope(3)])
    client.answers([Answer(9, Status.BUSY)])
    assert server.receive_data(client.take_bytes(), NOW) == [
        Requests([envelope(1), envelope(2)]),
        PeerDraining(True),
        Requests([envelope(3)]),
        Answers([Answer(9, Status.BUSY)]),
    ]
    server.send([Answer(1, Status.OK, b"reply"), Answer(2, Status.UNKNOWN)])
    assert client.receive_data(server.take_bytes(), NOW) == [
        Answers([Answer(1, Status.OK, b"reply"), Answer(2, Status.UNKNOWN)])
    ]


@settings(deadline=None, max_examples=60)
@given(
    sizes=st.lists(st.integers(1, 400), min_size=1, max_size=60),
    lists=st.lists(st.lists(st.integers(1, 1_000), max_size=4), max_size=6),
)
def test_however_the_bytes_are_cut_the_events_are_the_same(sizes: list[int], lists: list[list[int]]) -> None:
    client = end("client")
    server = end("server")
    whole = client.start(NOW)
    client.receive_data(server.start(NOW), NOW)
    whole += client.take_bytes()
    for numbers in lists:
        client.requests([envelope(number) for number in numbers])
        client.draining(bool(numbers))
    whole += client.take_bytes()
    expected = server.receive_data(whole, NOW)
    cut, found, at = end("server"), [], 0
    cut.start(NOW)
    while at < len(whole):
        size = sizes[at % len(sizes)]
        for event in cut.receive_data(whole[at : at + size], NOW):
            add_event(found, event)
        at += size
    assert found == expected
    assert isinstance(expected[0], PeerUp)
    byte_by_byte = end("server")
    byte_by_byte.start(NOW)
    found = []
    for position in range(len(whole)):
        for event in byte_by_byte.receive_data(whole[position : position + 1], NOW):
            add_event(found, event)
    assert found == expected


@pytest.mark.parametrize(("client_key", "server_key"), [(KEY, KEY[:-1]), (b"other" * 7, KEY)])
def test_another_key_is_refused_by_the_listening_end_before_it_proves_anything(
    client_key: bytes, server_key: bytes
) -> None:
    client, server = end("client", key=client_key), end("server", key=server_key)
    at_client, at_server, _ = shake(client, server)
    assert reasons(at_server) == ["wrong_key"]
    assert reasons(at_client) == ["refused_by_peer_wrong_key"]
    assert (client.peer, server.peer) == (None, None)


def test_a_server_without_the_key_is_refused_by_the_client() -> None:
    client = end("client")
    client.start(NOW)
    forged = frame(HELLO, [b"n" * 32, msgspec.msgpack.encode(NODE)]) + frame(PROOF, b"\0" * 32)
    assert reasons(client.receive_data(forged, NOW)) == ["wrong_key"]


def test_reflecting_everything_back_proves_nothing() -> None:
    for side in ("client", "server"):
        victim = end(side)  # type: ignore[arg-type]
        echo = victim.start(NOW)
        events = victim.receive_data(echo, NOW)
        assert reasons(events) == ["reflected"]


def test_reflecting_a_proof_under_another_name_and_nonce_proves_nothing() -> None:
    """The client's own proof, sent back to it, is the proof of a client and not of a server."""
    client = end("client")
    client.start(NOW)
    client.receive_data(frame(HELLO, [b"n" * 32, msgspec.msgpack.encode(NODE)]), NOW)
    assert reasons(client.receive_data(client.take_bytes(), NOW)) == ["wrong_key"]


def test_a_second_connection_cannot_be_used_to_answer_the_first() -> None:
    """Two listening ends shown to each other: neither makes the proof that a dialling end must make."""
    one, two = end("server"), end("server", nonce=b"2" * 32, me=Hello("node2", "node"))
    at_two = two.receive_data(one.start(NOW), NOW)
    at_one = one.receive_data(two.start(NOW), NOW)
    assert (at_one, at_two) == ([], [])
    assert (one.take_bytes(), two.take_bytes()) == (b"", b"")


def test_a_recorded_conversation_opens_no_second_connection() -> None:
    _, _, recorded = shake(end("client"), end("server"))
    fresh = end("server", nonce=b"another nonce".ljust(32))
    fresh.start(NOW)
    events = fresh.receive_data(b"".join(recorded), NOW)
    assert reasons(events) == ["wrong_key"]
    assert fresh.peer is None


def test_a_hello_changed_on_the_way_is_refused() -> None:
    client, server = end("client"), end("server")
    hello = client.start(NOW).replace(b"105330100001", b"105330100002")
    server.receive_data(hello, NOW)
    client.receive_data(server.start(NOW), NOW)
    assert reasons(server.receive_data(client.take_bytes(), NOW)) == ["wrong_key"]


def test_whom_one_did_not_mean_to_reach_is_refused() -> None:
    client = end("client", expected_name="node2")
    at_client, _, _ = shake(client, end("server"))
    assert reasons(at_client) == ["wrong_name"]


def test_the_next_version_with_more_fields_and_frames_is_understood() -> None:
    newer = msgspec.msgpack.encode([*msgspec.to_builtins(NODE), "more", {"new": 1}])
    client, server = end("client"), end("server")
    server._hello_bytes = newer
    at_client, _, _ = shake(client, server)
    assert at_client == [PeerUp(NODE)]
    more = [*msgspec.to_builtins(envelope(5), builtin_types=(bytes,)), "a later field"]
    data = frame(99, "a later kind") + frame(REQUESTS, [more])
    assert client.receive_data(data, NOW) == [Requests([envelope(5)])]


def test_a_version_two_ahead_is_refused() -> None:
    at_client, _, _ = shake(end("client"), end("server", me=Hello("node1", "node", version=3)))
    assert reasons(at_client) == ["version"]


@pytest.mark.parametrize(
    ("garbage", "reason"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", "frame_size"),
        (b"\0\0\0\0", "frame_size"),
        ((HANDSHAKE_BYTES_MAX + 1).to_bytes(4, "big"), "frame_size"),
        (b"\0\0\0\x03abc", "undecodable"),
        (frame(REQUESTS, []), "not_proved"),
        (frame(PROOF, b"\0" * 32), "not_proved"),
        (frame(HELLO, [b"short", b""]), "undecodable"),
        (frame(HELLO, [b"n" * 32, b"\x92\xa1\xff\xa4node"]), "undecodable"),  # a name that is no UTF-8
        (frame(HELLO, [b"short", msgspec.msgpack.encode(FRONT)]), "reflected"),
        (b"\0\0\x27\x10" + b"\x92\x01" + b"\x91" * 9_998, "undecodable"),
    ],
)
def test_what_a_stranger_says_closes_with_its_reason(garbage: bytes, reason: str) -> None:
    server = end("server")
    server.start(NOW)
    assert reasons(server.receive_data(garbage, NOW)) == [reason]
    assert server.closed == reason
    assert server.receive_data(garbage, NOW) == []


@settings(deadline=None, max_examples=300)
@given(noise=st.binary(max_size=300), proved=st.booleans())
def test_noise_is_never_an_exception(noise: bytes, proved: bool) -> None:
    server = connected()[1] if proved else end("server")
    if not proved:
        server.start(NOW)
    framed = len(noise).to_bytes(4, "big") + noise
    for event in server.receive_data(framed, NOW):
        assert not isinstance(event, PeerUp)


def test_good_frames_before_a_bad_one_still_count() -> None:
    client, server = connected()
    client.requests([envelope(1)])
    events = server.receive_data(client.take_bytes() + b"\xff" * 4, NOW)
    assert events == [Requests([envelope(1)]), PeerDown("frame_size")]


def test_a_handshake_has_its_time() -> None:
    server = end("server")
    server.start(NOW)
    assert server.deadline == NOW.mono_us + 5_000_000
    assert server.on_time(NOW.after(4_999_999)) == []
    assert reasons(server.on_time(NOW.after(5_000_000))) == ["handshake_slow"]


def test_a_silent_peer_is_pinged_and_a_dead_one_given_up() -> None:
    client, server = connected()
    late = NOW.after(2_000_000)
    assert server.on_time(late) == []
    client.receive_data(server.take_bytes(), late)
    pong = client.take_bytes()
    assert pong
    assert server.receive_data(pong, late) == []
    assert server.deadline == late.mono_us + 2_000_000
    now = late
    for _ in range(2):
        now = now.after(2_000_000)
        assert server.on_time(now) == []
    assert reasons(server.on_time(now.after(2_000_000))) == ["silent"]


def test_half_a_frame_is_no_sign_of_life() -> None:
    client, server = connected()
    client.requests([envelope(1)])
    dribble = client.take_bytes()
    now = NOW
    events: list[MuxEvent] = []
    for position in range(12):
        now = now.after(500_000)
        events += server.receive_data(dribble[position : position + 1], now)
        events += server.on_time(now)
    assert reasons(events) == ["silent"]


def test_a_list_too_long_for_a_frame_leaves_in_several() -> None:
    limits = LinkTable(frame_bytes_max=65_536)
    client, server = Mux("client", FRONT, KEY, b"c" * 32, limits), Mux("server", NODE, KEY, b"s" * 32, limits)
    shake(client, server)
    many = [envelope(number, bytes(500)) for number in range(1_000)]
    client.requests(many)
    assert server.receive_data(client.take_bytes(), NOW) == [Requests(many)]
    server.answers([Answer(1, Status.OK, bytes(70_000)), Answer(2, Status.OK, b"fits")])
    expected = [Answer(1, Status.UNKNOWN), Answer(2, Status.OK, b"fits")]
    assert client.receive_data(server.take_bytes(), NOW) == [Answers(expected)]
