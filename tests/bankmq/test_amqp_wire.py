"""Messages and confirms are read and written as pika does it, byte for byte and field for field; whatever has
another shape is left to pika, whole."""

import pika.data
import pika.frame
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pika import BasicProperties, spec

from bankmq import amqp_pika  # noqa: F401  what is put right in pika's reading of headers
from bankmq.amqp_channel import from_pika, to_pika
from bankmq.amqp_messages import Properties, Publication
from bankmq.amqp_wire import BrokenError, Confirmed, Delivered, Others, publication, split

TEXTS = st.text(max_size=30)
IDS = st.none() | TEXTS | st.binary(max_size=9)
OURS = st.builds(
    Properties,
    message_id=TEXTS,
    correlation_id=IDS,
    reply_to=st.none() | TEXTS,
    expiration_ms=st.none() | st.integers(0, 10**9),
    timestamp=st.none() | st.integers(0, 2**63),
    priority=st.none() | st.integers(0, 255),
    content_type=st.none() | st.just("text/xml"),
    content_encoding=st.none() | st.just("gbk"),
    persistent=st.booleans(),
    headers=st.sampled_from([{}, {}, {"x": 1}]),
)
THEIRS = st.builds(
    BasicProperties,
    content_type=IDS,
    content_encoding=IDS,
    headers=st.none()
    | st.dictionaries(st.text(max_size=5), st.integers(-5, 5) | TEXTS | st.none(), max_size=3),
    delivery_mode=st.none() | st.integers(0, 3),
    priority=st.none() | st.integers(0, 9),
    correlation_id=IDS,
    reply_to=IDS,
    expiration=IDS | st.sampled_from(["30000", "１2", "-1", " 5"]),
    message_id=IDS,
    timestamp=st.none() | st.integers(0, 2**63),
    type=st.none() | st.just("t"),
    app_id=st.none() | st.just("a"),
)


def frames_of(channel, method, properties=None, body=b"", pieces=1):
    """What pika writes of a method with its content, the body in so many pieces."""
    frames = [pika.frame.Method(channel, method).marshal()]
    if properties is not None:
        frames.append(pika.frame.Header(channel, len(body), properties).marshal())
        step = max(1, -(-len(body) // pieces))
        parts = [body[at : at + step] for at in range(0, len(body), step)]
        frames += [pika.frame.Body(channel, part).marshal() for part in parts]
    return b"".join(frames)


@settings(max_examples=300)
@given(properties=OURS, body=st.binary(max_size=60), key=TEXTS, exchange=st.sampled_from(["", "bank.x"]))
def test_a_publication_is_written_as_pika_writes_it(properties, body, key, exchange):
    written = publication(3, Publication(1, exchange, key, body, properties), 50)
    if written is None:
        assert properties.headers or len(body) > 50
        return
    method = spec.Basic.Publish(exchange=exchange, routing_key=key, mandatory=True)
    assert written == frames_of(3, method, to_pika(properties), body)


@pytest.mark.parametrize(
    "item",
    [
        Publication(1, "", "k" * 256, b"x", Properties("1")),
        Publication(1, "", "k", b"x", Properties("1" * 256)),
        Publication(1, "", "k", b"x", Properties("1", content_type="t" * 256)),
        Publication(1, "", "k", b"x", Properties("1", priority=256)),
    ],
)
def test_what_fits_no_frame_is_left_to_pika_who_says_so(item):
    assert publication(1, item, 100) is None


def streams():
    """Frames of a session one after the other, with what each of them is."""
    deliver = st.builds(
        lambda channel, tag, number, again, properties, body, pieces: (
            "deliver",
            frames_of(channel, spec.Basic.Deliver(tag, number, again, "x", "k"), properties, body, pieces),
            (channel, tag, number, again, properties, body, pieces),
        ),
        st.integers(1, 3), st.sampled_from(["ctag1.a", "é"]), st.integers(1, 2**40), st.booleans(), THEIRS,
        st.binary(max_size=40), st.sampled_from([1, 1, 1, 2]),
    )  # fmt: skip
    confirm = st.builds(
        lambda number, multiple: (
            "confirm", frames_of(1, spec.Basic.Ack(number, multiple)), (1, number, multiple)
        ),
        st.integers(0, 2**40), st.booleans(),
    )  # fmt: skip
    other = st.sampled_from(
        [
            pika.frame.Heartbeat().marshal(),
            frames_of(1, spec.Basic.Nack(5, False)),
            frames_of(
                1, spec.Basic.Return(312, "NO_ROUTE", "", "q"), BasicProperties(message_id="7"), b"back"
            ),
            frames_of(2, spec.Queue.DeclareOk("q", 1, 1)),
        ]
    ).map(lambda frames: ("other", frames, None))
    return st.lists(deliver | confirm | confirm | other, max_size=8)


@settings(max_examples=300, deadline=None)
@given(stream=streams(), cuts=st.lists(st.integers(0, 2000), max_size=5))
def test_a_session_is_read_as_pika_reads_it_however_it_is_cut(stream, cuts):
    data = b"".join(frames for _, frames, _ in stream)
    ends = sorted({min(cut, len(data)) for cut in cuts} | {len(data)})
    rest, start, found, left_over = b"", 0, [], []
    for end in ends:
        given_now = rest + data[start:end]
        items, stop = split(given_now, pika.data.decode_table)
        assert [item.start for item in items] == [0, *[item.stop for item in items]][: len(items)]
        for item in items:
            part = given_now[item.start : item.stop]
            if isinstance(item, Others):
                left_over.append(part)
            else:
                left_over.append(b"")
                found.append((item, part))
        rest, start = given_now[stop:], end
    assert rest == b""
    wanted, others = [], b""
    for what, frames, told in stream:
        if what == "confirm":
            wanted.append((Confirmed, told, frames))
        elif (
            what == "deliver" and (told[6] == 1 or len(told[5]) < 2) and not (told[4].type or told[4].app_id)
        ):
            wanted.append((Delivered, told, frames))
        else:
            others += frames
    assert b"".join(left_over) == others
    assert [part for _, part in found] == [frames for _, _, frames in wanted]
    for (item, _), (kind, told, _) in zip(found, wanted, strict=True):
        assert type(item) is kind
        if kind is Confirmed:
            assert (item.channel, item.number, item.multiple) == told
        else:
            channel, tag, number, again, properties, body, _ = told
            assert item[:4] == (channel, tag, number, again)
            read = BasicProperties().decode(b"".join(properties.encode()))
            assert item.properties == from_pika(read)
            assert item.body == body


@pytest.mark.parametrize(
    "data", [b"AMQP\x00\x00\x09\x01", b"A", b"\x01\x00\x01\x7f\xff\xff\xff", b"HTTP/1.1 400"]
)
def test_what_is_no_frame_is_left_to_pika(data):
    with pytest.raises(BrokenError):
        split(data, pika.data.decode_table)


def test_a_frame_without_its_end_is_left_to_pika():
    frame = frames_of(1, spec.Basic.Ack(1, False))
    with pytest.raises(BrokenError):
        split(frame[:-1] + b"\x00", pika.data.decode_table)
