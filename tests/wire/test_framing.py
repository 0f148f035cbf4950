"""Cutting a stream into frames, however it was split, and refusing headers that lie."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qianzhi.wire.errors import EncodeError, Reason, RemoteProtocolError
from qianzhi.wire.framing import FrameReader, FrameSpec, frame

CUPS = FrameSpec(kind="ascii", size=4, frame_bytes_max=1892, heartbeat="zero_length")
SPECS = [
    CUPS,
    FrameSpec(kind="ascii", size=6, inclusive=True, frame_bytes_max=3000),
    FrameSpec(kind="binary", size=2, frame_bytes_max=3000),
    FrameSpec(kind="binary", size=4, inclusive=True, frame_bytes_max=3000),
]


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


def test_a_frame_is_as_the_public_descriptions_draw_it():
    assert frame(CUPS, b"A" * 95) == b"0095" + b"A" * 95
    assert frame(FrameSpec(kind="binary", size=2), b"AB") == b"\x00\x02AB"
    assert frame(FrameSpec(kind="ascii", size=4, inclusive=True), b"AB") == b"0006AB"
    assert frame(FrameSpec(kind="none"), b"AB") == b"AB"


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


def test_our_own_oversized_frames_are_refused():
    with pytest.raises(EncodeError):
        frame(CUPS, b"A" * 1893)
    with pytest.raises(EncodeError):
        frame(FrameSpec(kind="ascii", size=2), b"A" * 100)
    with pytest.raises(EncodeError):
        frame(FrameSpec(kind="binary", size=1), b"A" * 256)
    with pytest.raises(EncodeError):
        frame(FrameSpec(kind="ascii"), b"")


@given(st.sampled_from(SPECS), st.lists(st.binary(max_size=40), max_size=6))
def test_any_bytes_give_frames_or_the_declared_error(spec, pieces):
    reader = FrameReader(spec)
    for piece in pieces:
        try:
            reader.receive_data(piece)
        except RemoteProtocolError:
            assert reader.fault is not None
