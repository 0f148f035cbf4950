"""The banks' framing against the platform's, both ways, over every shape of a length header."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qianzhi.wire.errors import RemoteProtocolError
from qianzhi.wire.framing import FrameReader, FrameSpec, frame
from simulators.framing import Cutter, FramingError, PoolReader, framed

SHAPES = [
    FrameSpec(kind="ascii", size=4, heartbeat="zero_length"),
    FrameSpec(kind="ascii", size=6),
    FrameSpec(kind="ascii", size=8, inclusive=True),
    FrameSpec(kind="binary", size=2),
    FrameSpec(kind="binary", size=4, inclusive=True),
    FrameSpec(kind="bcd", size=2),
    FrameSpec(kind="bcd", size=2, inclusive=True),
]
BODIES = st.lists(st.binary(min_size=1, max_size=300), min_size=1, max_size=6)
CUTS = st.lists(st.integers(0, 2000), max_size=8)


def in_pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [data[start:stop] for start, stop in pairwise(places)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@settings(max_examples=30, deadline=None)
@given(bodies=BODIES, cuts=CUTS)
def test_each_end_cuts_what_the_other_has_framed_however_it_arrives(
    shape: FrameSpec, bodies: list[bytes], cuts: list[int]
) -> None:
    stream = b"".join([framed(shape, body) for body in bodies])
    assert stream == b"".join([frame(shape, body) for body in bodies])
    cutter, reader = Cutter(shape), FrameReader(shape)
    pieces = in_pieces(stream, cuts)
    assert [body for piece in pieces for body in cutter.receive(piece)] == bodies
    assert [body for piece in pieces for body in reader.receive_data(piece)] == bodies
    assert cutter.end() == []
    assert not cutter.partial


def test_a_kept_length_is_the_head_of_the_message() -> None:
    for inclusive in (False, True):
        shape = FrameSpec(kind="ascii", size=4, inclusive=inclusive, keep=True)
        body = (b"0010" if inclusive else b"0006") + b"abcdef"
        assert framed(shape, b"????abcdef") == frame(shape, body) == body
        assert Cutter(shape).receive(body) == FrameReader(shape).receive_data(body) == [body]


def test_a_heartbeat_is_an_empty_frame() -> None:
    assert Cutter(SHAPES[0]).receive(b"0000" + b"0001x") == [b"", b"x"]


def test_a_message_without_a_length_ends_with_its_connection() -> None:
    shape = FrameSpec(kind="message")
    cutter = Cutter(shape)
    assert framed(shape, b"whole") == b"whole"
    assert cutter.receive(b"who") == cutter.receive(b"le") == []
    assert cutter.end() == [b"whole"]
    assert Cutter(shape).end() == []


@pytest.mark.parametrize(
    ("shape", "data"),
    [
        (SHAPES[1], b"12345x"),
        (SHAPES[1], b"000000"),
        (SHAPES[1], "００００００".encode()),
        (SHAPES[2], b"00000008"),
        (SHAPES[3], b"\xff\xff"),
        (SHAPES[5], b"\x0a\x00"),
        (FrameSpec(kind="ascii", size=4, frame_bytes_max=10), b"0011"),
    ],
)
def test_a_header_that_is_no_length_breaks_the_line_on_both_ends(shape: FrameSpec, data: bytes) -> None:
    with pytest.raises(FramingError):
        Cutter(shape).receive(data)
    with pytest.raises(RemoteProtocolError):
        FrameReader(shape).receive_data(data)
    reader = PoolReader(shape)
    with pytest.raises(RemoteProtocolError):
        reader.receive_data(data)
    assert reader.fault is not None


def test_half_a_frame_at_the_end_is_an_error_and_a_body_too_long_for_its_header_is_not_sent() -> None:
    cutter = Cutter(SHAPES[3])
    cutter.receive(b"\x00\x05abc")
    assert cutter.partial
    with pytest.raises(FramingError):
        cutter.end()
    for shape in (SHAPES[0], SHAPES[3], SHAPES[5]):
        with pytest.raises(FramingError):
            framed(shape, bytes(70_000))
