"""The frames of which an AMQP session is full, read and written without an object for each: messages that are
delivered, messages that are published, and their confirms.  Pure.

    +------+---------+------+---------+------+      deliver   method 60.60 │ header │ one body
    | type | channel | size | payload | 0xCE |      publish   method 60.40 │ header │ one body
    | 1    | 2       | 4    | size    | 1    |      confirm   method 60.80
    +------+---------+------+---------+------+

pika reads and writes all others, and these too where they are of another shape: a body in several frames,
properties that we do not use, texts that are too long.  (AMQP 0-9-1, sections 2.3 and 4.2; its XML for the
properties and their flags.)
"""

from collections.abc import Callable
from struct import Struct
from typing import Any, NamedTuple

from bankmq.amqp_messages import Properties, Publication

FRAME_BYTES_MAX = 1 << 20  # more than anybody agrees on; a longer frame is none
SHORT_MAX = 255
_HEAD_BYTES, _END, _END_BYTE = 7, 0xCE, b"\xce"
_METHOD, _HEADER, _BODY = 1, 2, 3
_DELIVER, _ACK, _PUBLISH = 0x3C003C, 0x3C0050, 0x3C0028
_KNOWN = 0xFFC0  # flags of the properties from content type to timestamp
_HEADERS = 0x2000

_frame_head = Struct(">BHI")
_method = Struct(">I").unpack_from
_ack = Struct(">QB").unpack_from
_content = Struct(">HHQH")
_stamp = Struct(">Q")

DecodeTable = Callable[[bytes, int], tuple[dict[Any, Any], int]]


class Delivered(NamedTuple):
    """A message that was delivered whole; `stop` is where its frames end in what was given."""

    channel: int
    consumer: str
    number: int
    redelivered: bool
    properties: Properties
    body: bytes
    start: int
    stop: int


class Confirmed(NamedTuple):
    """The broker has taken one publication, or all up to it (`multiple`)."""

    channel: int
    number: int
    multiple: bool
    start: int
    stop: int


class Others(NamedTuple):
    """Frames for pika."""

    start: int
    stop: int


Item = Delivered | Confirmed | Others


class BrokenError(Exception):
    """What stands here is no frame: all from here on is pika's, which says what is wrong."""


def split(data: bytes, decode_table: DecodeTable) -> tuple[list[Item], int]:
    """Return what the whole frames at the head of the data are, in their order, and where they end; a message
    of which a part is missing has not come yet.
    """
    items: list[Item] = []
    at, others = 0, 0  # frames from `others` to `at` are pika's
    while True:
        end = _frame_end(data, at)
        if end < 0:
            break
        if data[at] == _METHOD and end - at >= _HEAD_BYTES + 5:
            (method,) = _method(data, at + _HEAD_BYTES)
            if method in (_DELIVER, _ACK):
                item = _acked(data, at, end) if method == _ACK else _delivered(data, at, end, decode_table)
                if item is None:
                    break  # more of it is to come
                if not isinstance(item, Others):
                    if others < at:
                        items.append(Others(others, at))
                    items.append(item)
                    others = item.stop
                at = item.stop
                continue
        at = end
    if others < at:
        items.append(Others(others, at))
    return items, at


def _frame_end(data: bytes, at: int) -> int:
    """Return where the frame here ends, -1 where it has not come whole; raises BrokenError."""
    if len(data) - at < _HEAD_BYTES:
        if len(data) > at and data[at] > 8:
            raise BrokenError
        return -1
    kind, _, size = _frame_head.unpack_from(data, at)
    end: int = at + _HEAD_BYTES + size + 1
    if kind > 8 or size > FRAME_BYTES_MAX or (end <= len(data) and data[end - 1] != _END):
        raise BrokenError
    return end if end <= len(data) else -1


def _acked(data: bytes, at: int, end: int) -> Item | None:
    if end - at != _HEAD_BYTES + 4 + 9 + 1:
        raise BrokenError
    _, channel, _ = _frame_head.unpack_from(data, at)
    number, multiple = _ack(data, at + _HEAD_BYTES + 4)
    return Confirmed(channel, number, bool(multiple & 1), at, end)


def _delivered(data: bytes, at: int, end: int, decode_table: DecodeTable) -> Item | None:
    """Return the delivery whose method stands here; None while its header or body is missing, and its method
    alone for pika where it has another shape."""
    other = Others(at, end)
    header_end = _frame_end(data, end)
    if header_end < 0:
        return None
    _, channel, _ = _frame_head.unpack_from(data, at)
    kind, same, size = _frame_head.unpack_from(data, end)
    content_at = end + _HEAD_BYTES
    if kind != _HEADER or same != channel or size < _content.size:
        return other
    kind_of_content, _, body_bytes, flags = _content.unpack_from(data, content_at)
    if kind_of_content != 60 or flags & ~_KNOWN or body_bytes > FRAME_BYTES_MAX:
        return other
    body, stop = b"", header_end
    if body_bytes:
        stop = _frame_end(data, header_end)
        if stop < 0:
            return None
        kind, same, size = _frame_head.unpack_from(data, header_end)
        if kind != _BODY or same != channel or size != body_bytes:
            return other
        body = data[header_end + _HEAD_BYTES : stop - 1]
    consumer, place = _text(data, at + _HEAD_BYTES + 4)
    number, redelivered = _ack(data, place)
    try:
        properties, last = _properties(data, content_at + _content.size, flags, decode_table)
    except (IndexError, ValueError):
        return other
    if last != header_end - 1 or not isinstance(consumer, str):
        return other
    return Delivered(channel, consumer, number, bool(redelivered & 1), properties, body, at, stop)


def _text(data: bytes, at: int) -> tuple[str | bytes, int]:
    """Return a short text, bytes where they are no UTF-8, and where it ends."""
    stop = at + 1 + data[at]
    value = data[at + 1 : stop]
    try:
        return value.decode(), stop
    except UnicodeDecodeError:
        return value, stop


def _properties(data: bytes, at: int, flags: int, decode_table: DecodeTable) -> tuple[Properties, int]:
    """Return the properties as `amqp_channel.from_pika` has them, and where they end."""
    content_type = content_encoding = correlation_id = reply_to = expiration = message_id = None
    headers: dict[Any, Any] = {}
    mode = priority = stamp = None
    if flags & 0x8000:
        content_type, at = _text(data, at)
    if flags & 0x4000:
        content_encoding, at = _text(data, at)
    if flags & _HEADERS:
        headers, at = decode_table(data, at)
    if flags & 0x1000:
        mode, at = data[at], at + 1
    if flags & 0x0800:
        priority, at = data[at], at + 1
    if flags & 0x0400:
        correlation_id, at = _text(data, at)
    if flags & 0x0200:
        reply_to, at = _text(data, at)
    if flags & 0x0100:
        expiration, at = _text(data, at)
    if flags & 0x0080:
        message_id, at = _text(data, at)
    if flags & 0x0040:
        (stamp,), at = _stamp.unpack_from(data, at), at + 8
    return plain_properties(
        message_id, correlation_id, reply_to, expiration, stamp, priority, content_type, content_encoding,
        mode, headers,
    ), at  # fmt: skip


def plain_properties(
    message_id: Any, correlation_id: Any, reply_to: Any, expiration: Any, timestamp: Any, priority: Any,
    content_type: Any, content_encoding: Any, delivery_mode: Any, headers: dict[Any, Any] | None,
) -> Properties:  # fmt: skip
    """Return what was read as our properties; what is not of its type is left out."""
    expires = isinstance(expiration, str) and expiration.isascii() and expiration.isdigit()
    kept: dict[str, str | int] = {}
    for name, value in (headers or {}).items():
        if isinstance(name, str) and isinstance(value, str | int):
            kept[name] = value
    return Properties(
        message_id,
        correlation_id,
        reply_to if isinstance(reply_to, str) else None,
        int(expiration) if expires else None,
        timestamp,
        priority,
        content_type if isinstance(content_type, str) else None,
        content_encoding if isinstance(content_encoding, str) else None,
        delivery_mode == 2,
        kept,
    )


def publication(channel: int, item: Publication, body_bytes_max: int) -> bytes | None:
    """Return the frames of a publication, mandatory; None where pika has to write them."""
    properties, body = item.properties, item.body
    if properties.headers or len(body) > body_bytes_max:
        return None
    flags, pieces = 0x1000, [b"\x02" if properties.persistent else b"\x01"]
    expiration = properties.expiration_ms
    texts = (
        (0x0400, properties.correlation_id),
        (0x0200, properties.reply_to),
        (0x0100, None if expiration is None else str(expiration)),
        (0x0080, properties.message_id),
    )
    if properties.priority is not None:
        if not 0 <= properties.priority <= 255:
            return None
        flags |= 0x0800
        pieces.append(bytes((properties.priority,)))
    for flag, text in texts:
        if text is not None:
            flags |= flag
            data = text.encode() if isinstance(text, str) else text
            if len(data) > SHORT_MAX:
                return None
            pieces += (bytes((len(data),)), data)
    if properties.timestamp is not None:
        flags |= 0x0040
        pieces.append(_stamp.pack(properties.timestamp))
    before = b""
    for flag, text in ((0x8000, properties.content_type), (0x4000, properties.content_encoding)):
        if text is not None:
            flags |= flag
            data = text.encode()
            if len(data) > SHORT_MAX:
                return None
            before += bytes((len(data),)) + data
    exchange, key = item.exchange.encode(), item.routing_key.encode()
    if len(exchange) > SHORT_MAX or len(key) > SHORT_MAX:
        return None
    method = b"\x00\x3c\x00\x28\x00\x00%c%b%c%b\x01" % (len(exchange), exchange, len(key), key)
    header = _content.pack(60, 0, len(body), flags) + before + b"".join(pieces)
    frames = [_frame_head.pack(_METHOD, channel, len(method)), method, _END_BYTE]
    frames += (_frame_head.pack(_HEADER, channel, len(header)), header, _END_BYTE)
    if body:
        frames += (_frame_head.pack(_BODY, channel, len(body)), body, _END_BYTE)
    return b"".join(frames)
