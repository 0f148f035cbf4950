"""Cutting a stream into frames, however it was split, and refusing headers that lie."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qianzhi.wire.errors import EncodeError, Reason, RemoteProtocolError
from qianzhi.wire.framing import FrameReader, FrameSpec, frame
from simulators.framing import Cutter, FramingError, framed

CUPS = FrameSpec(kind="ascii", size=4, frame_bytes_max=1892, heartbeat="zero_length")
SPECS = [
    CUPS,
    FrameSpec(kind="ascii", size=6, inclusive=True, frame_bytes_max=3000),
    FrameSpec(kind="binary", size=2, frame_bytes_max=3000),
    FrameSpec(kind="binary", size=4, inclusive=True, frame_bytes_max=3000),
    FrameSpec(kind="bcd", size=2, frame_bytes_max=3000),
    FrameSpec(kind="bcd", size=3, inclusive=True, frame_bytes_max=3000, heartbeat="zero_length"),
    FrameSpec(kind="ascii", size=8, inclusive=True, frame_bytes_max=3000),
]
KEPT = FrameSpec(kind="ascii", size=6, inclusive=True, keep=True, frame_bytes_max=88)
MESSAGE = FrameSpec(kind="message", frame_bytes_max=12)


def measure(buffer):
    """A dialect whose messages end with a full stop and may hold no blank."""
    if b" " in buffer.partition(b".")[0]:
        raise RemoteProtocolError("message", buffer.index(b" "), "no blank", "a blank")
    return buffer.index(b".") + 1 if b"." in buffer else None


@given(
    st.sampled_from(SPECS),
    st.lists(st.binary(min_size=1, max_size=300), max_size=8),
    st.lists(st.integers(0, 400), max_size=12),
)
def test_frames_survive_any_splitting_of_the_stream(spec, bodies, cuts):
    stream = b"".join(frame(spec, body) for body in bodies)
    reader = FrameReader(spec)
    received = []
    at = 0
    for cut in cuts:
        received += reader.receive_data(stream[at : at + cut])
        at += cut
    received += reader.receive_data(stream[at:])
    assert received == bodies
    assert not reader.partial


@pytest.mark.parametrize("heartbeat", ["", "zero_length"])
@pytest.mark.parametrize("inclusive", [False, True])
@pytest.mark.parametrize(("kind", "size"), list(product(["ascii", "binary", "bcd"], range(1, 9))))
def test_every_header_counts_as_it_says_and_the_banks_count_alike(kind, size, inclusive, heartbeat):
    """Every kind in every size, with and without itself; the simulators have a framing of their own."""
    spec = FrameSpec(kind=kind, size=size, inclusive=inclusive, heartbeat=heartbeat, frame_bytes_max=70_000)
    most = {"ascii": 10**size, "binary": 256**size, "bcd": 100**size}[kind] - 1
    for body in (b"x" * length for length in (1, 2, 5, 9, 90, 254, 999, 9_000, 65_535)):
        count = len(body) + (size if inclusive else 0)
        if count > most:
            with pytest.raises(EncodeError):
                frame(spec, body)
            with pytest.raises(FramingError):
                framed(spec, body)
            continue
        whole = frame(spec, body)
        digits = {"ascii": whole[:size], "bcd": whole[:size].hex()}.get(kind)
        assert (int(digits) if digits else int.from_bytes(whole[:size], "big")) == count
        assert whole[size:] == body
        assert framed(spec, body) == whole
        assert FrameReader(spec).receive_data(whole * 2) == Cutter(spec).receive(whole * 2) == [body] * 2


def test_a_frame_is_as_the_public_descriptions_draw_it():
    assert frame(CUPS, b"A" * 95) == b"0095" + b"A" * 95
    assert frame(FrameSpec(kind="binary", size=2), b"AB") == b"\x00\x02AB"
    assert frame(FrameSpec(kind="ascii", size=4, inclusive=True), b"AB") == b"0006AB"
    assert frame(FrameSpec(kind="bcd", size=2), b"A" * 123) == b"\x01\x23" + b"A" * 123
    assert frame(FrameSpec(kind="none"), b"AB") == b"AB"
    assert frame(MESSAGE, b"AB.") == b"AB."


def test_a_zero_length_is_a_heartbeat_between_frames():
    reader = FrameReader(CUPS)
    assert reader.receive_data(b"00000002AB0000") == [b"", b"AB", b""]
    assert frame(CUPS, b"") == b"0000"


def test_a_zero_length_is_refused_where_no_heartbeat_is_agreed():
    with pytest.raises(RemoteProtocolError) as caught:
        FrameReader(FrameSpec(kind="ascii")).receive_data(b"0000")
    assert caught.value.reason is Reason.TOTAL_LENGTH


def test_partial_says_whether_bytes_wait():
    reader = FrameReader(CUPS)
    assert reader.receive_data(b"00") == []
    assert reader.partial
    assert reader.receive_data(b"02A") == []
    assert reader.partial
    assert reader.receive_data(b"B") == [b"AB"]
    assert not reader.partial


@pytest.mark.parametrize(
    "header", [b" 003", b"+003", b"1_00", b"-001", b"00 3", b"0x10", b"\xb2\xb2\xb2\xb2", b"GET "]
)
def test_a_header_that_is_no_number_is_refused_though_int_would_read_it(header):
    with pytest.raises(RemoteProtocolError) as caught:
        FrameReader(CUPS).receive_data(header + b"AAA")
    assert caught.value.reason is Reason.LENGTH_CHARACTER


def test_a_promise_of_too_much_is_refused_before_it_is_waited_for():
    with pytest.raises(RemoteProtocolError) as caught:
        FrameReader(CUPS).receive_data(b"1893")
    assert (caught.value.expected, caught.value.found) == ("at most 1892 bytes", "1893")


def test_frames_before_a_fault_are_delivered_and_the_line_stays_broken():
    reader = FrameReader(CUPS)
    assert reader.receive_data(b"0002ABxxxx0002CD") == [b"AB"]
    assert reader.fault is not None
    for _ in range(2):
        with pytest.raises(RemoteProtocolError):
            reader.receive_data(b"0002CD")


def test_a_number_that_counts_its_own_header_cannot_be_smaller_than_it():
    with pytest.raises(RemoteProtocolError):
        FrameReader(FrameSpec(kind="ascii", inclusive=True)).receive_data(b"0003")


def test_a_transport_with_boundaries_keeps_messages_whole():
    reader = FrameReader(FrameSpec(kind="none", frame_bytes_max=4))
    assert reader.receive_data(b"ABCD") == [b"ABCD"]
    with pytest.raises(RemoteProtocolError):
        reader.receive_data(b"ABCDE")


@given(st.lists(st.sampled_from([b".", b"a.", b"bc.", b"0123456789."]), max_size=8), st.data())
def test_messages_that_show_their_own_end_survive_any_splitting(messages, data):
    stream = b"".join(messages)
    cuts = data.draw(st.lists(st.integers(0, len(stream)), max_size=5).map(sorted))
    reader, received = FrameReader(MESSAGE, measure), []
    for start, stop in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        received += reader.receive_data(stream[start:stop])
    assert received == messages
    reader.eof()


def test_a_size_that_is_known_before_the_bytes_have_come_waits_for_them():
    def stated(buffer):
        return int(buffer[:2]) if len(buffer) >= 2 else None

    reader = FrameReader(MESSAGE, stated)
    assert [reader.receive_data(bytes([byte])) for byte in b"04ab03"] == [[], [], [], [b"04ab"], [], []]
    assert reader.receive_data(b"c") == [b"03c"]
    with pytest.raises(RemoteProtocolError, match="at most 12"):
        reader.receive_data(b"13")


def test_a_message_that_never_ends_or_cannot_is_refused():
    reader = FrameReader(MESSAGE, measure)
    assert reader.receive_data(b"a." + b"x" * 12) == [b"a."]
    with pytest.raises(RemoteProtocolError) as caught:
        reader.receive_data(b"x")
    assert caught.value.reason is Reason.LENGTH_TOO_LARGE
    reader = FrameReader(MESSAGE, measure)
    assert reader.receive_data(b"a.b c.") == [b"a."]
    assert reader.fault is not None
    with pytest.raises(RemoteProtocolError):
        reader.receive_data(b".")


def test_only_lines_of_that_kind_take_a_measure():
    with pytest.raises(ValueError, match="measure"):
        FrameReader(CUPS, measure)
    with pytest.raises(ValueError, match="measure"):
        FrameReader(MESSAGE)


def test_a_kept_length_stays_at_the_head_of_the_frame():
    body = b"000010ABCD"
    assert frame(KEPT, body) == body
    reader = FrameReader(KEPT)
    assert reader.receive_data(body + b"000007E0000") == [body, b"000007E"]
    assert reader.partial
    for wrong in (b"000009ABCD", b"ABCDEFGHIJ", b"00001", b""):
        with pytest.raises(EncodeError):
            frame(KEPT, wrong)
    with pytest.raises(RemoteProtocolError) as caught:
        FrameReader(KEPT).receive_data(b"000089")
    assert (caught.value.expected, caught.value.found) == ("at most 88 bytes", "89")


def test_a_kept_length_may_count_only_what_follows_it():
    spec = FrameSpec(kind="bcd", size=2, keep=True, heartbeat="zero_length")
    assert frame(spec, b"\0\x03ABC") == b"\0\x03ABC"
    assert FrameReader(spec).receive_data(b"\0\0\0\x03ABC") == [b"", b"\0\x03ABC"]
    assert frame(spec, b"") == b"\0\0"


def test_what_a_peer_leaves_unfinished_when_it_ends_is_an_error():
    reader = FrameReader(CUPS)
    reader.eof()
    assert reader.receive_data(b"0002AB0005CD") == [b"AB"]
    for _ in range(2):
        with pytest.raises(RemoteProtocolError) as caught:
            reader.eof()
        assert caught.value.reason is Reason.TOTAL_LENGTH
    assert reader.fault is caught.value


@pytest.mark.parametrize("header", [b"\x0a\x00", b"\x00\x1f", b"\xff\xff"])
def test_a_packed_length_holds_only_digits(header):
    with pytest.raises(RemoteProtocolError) as caught:
        FrameReader(FrameSpec(kind="bcd", size=2)).receive_data(header)
    assert caught.value.reason is Reason.LENGTH_CHARACTER


def test_our_own_oversized_frames_are_refused():
    with pytest.raises(EncodeError):
        frame(CUPS, b"A" * 1893)
    with pytest.raises(EncodeError):
        frame(FrameSpec(kind="ascii", size=2), b"A" * 100)
    with pytest.raises(EncodeError):
        frame(FrameSpec(kind="binary", size=1), b"A" * 256)
    with pytest.raises(EncodeError):
        frame(FrameSpec(kind="bcd", size=1), b"A" * 100)
    with pytest.raises(EncodeError):
        frame(FrameSpec(kind="ascii"), b"")


@given(st.sampled_from([*SPECS, KEPT, MESSAGE]), st.lists(st.binary(max_size=40), max_size=6))
def test_any_bytes_give_frames_or_the_declared_error(spec, pieces):
    reader = FrameReader(spec, measure if spec is MESSAGE else None)
    for piece in pieces:
        try:
            reader.receive_data(piece)
        except RemoteProtocolError:
            assert reader.fault is not None
