"""What stands before the fields of an ISO 8583 message: a header, the message type and the bitmaps.

All three are rows of tables; the codec puts them together.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from qianzhi.wire import header as cups
from qianzhi.wire.composite import as_table
from qianzhi.wire.errors import EncodeError, Reason, RemoteProtocolError
from qianzhi.wire.items import About, Item, Message, Quick, Span
from qianzhi.wire.rows import EBCDIC, is_digits


class MtiRow(NamedTuple):
    """How the four digits of a message type stand in `size` bytes; `read` returns None for anything else;
    `quick` says the same as data, None where it cannot."""

    size: int
    read: Callable[[bytes], str | None]
    write: Callable[[str], bytes]
    shown: str
    quick: Quick | None


def _read_ascii(data: bytes) -> str | None:
    return data.decode("ascii") if data.isdigit() else None


def _read_packed(data: bytes) -> str | None:
    digits = data.hex()
    return digits if is_digits(digits) else None


def _read_ebcdic(data: bytes) -> str | None:
    digits = data.decode(EBCDIC)
    return digits if is_digits(digits) else None


MTIS: dict[str, MtiRow] = {
    "ascii": MtiRow(4, _read_ascii, lambda mti: mti.encode("ascii"), "ascii", Quick("digits", 4, 4)),
    "bcd": MtiRow(2, _read_packed, bytes.fromhex, "", Quick("digits", 4, 4, packed="left")),
    "ebcdic": MtiRow(4, _read_ebcdic, lambda mti: mti.encode(EBCDIC), EBCDIC, None),
}


class BitmapRow(NamedTuple):
    """How eight bytes of bitmap stand in `size` bytes; `read` returns None for what is no bitmap."""

    size: int
    read: Callable[[bytes], bytes | None]
    write: Callable[[bytes], bytes]
    shown: str


def _same(data: bytes) -> bytes:
    return data


def _read_hex(data: bytes) -> bytes | None:
    try:
        return bytes.fromhex(data.decode("ascii")) if data.isalnum() else None
    except ValueError:
        return None


def _write_hex(data: bytes) -> bytes:
    return data.hex().upper().encode("ascii")


def _read_hex_ebcdic(data: bytes) -> bytes | None:
    text = data.decode(EBCDIC)
    return _read_hex(text.encode("ascii")) if text.isascii() else None


def _write_hex_ebcdic(data: bytes) -> bytes:
    return data.hex().upper().encode(EBCDIC)


RAW_BYTES = 8  # the size of no other row

BITMAPS: dict[str, BitmapRow] = {
    "binary": BitmapRow(RAW_BYTES, _same, _same, ""),
    "hex": BitmapRow(16, _read_hex, _write_hex, "ascii"),
    "hex_ebcdic": BitmapRow(16, _read_hex_ebcdic, _write_hex_ebcdic, EBCDIC),
}


class Counted(NamedTuple):
    """A header of fixed size that begins with `first` and says in `digits` at an offset how many bytes header
    and message are together; all else in it is the same for most messages of a line."""

    first: int
    size: int
    offset: int
    digits: int


@dataclass(frozen=True)
class Head:
    """A dialect's header.

    `decode(body)` returns the value of `header` (None where there is none) and where the message type begins;
    `encode(message, message_bytes)` writes it; `start(body)` finds the message type without checking anything
    else; `walk` appends spans.  `items` are its parts where a spec lists them; `absent` says that there never
    is one, `counted` what else is known of its form.
    """

    decode: Callable[[bytes], tuple[Message | None, int]]
    encode: Callable[[Message, int], bytes]
    start: Callable[[bytes], int]
    walk: Callable[[bytes, list[Span]], int]
    width: Callable[[str], int | None]
    names: frozenset[str] = frozenset()
    items: tuple[Item, ...] = ()
    absent: bool = False
    counted: Counted | None = None


def no_head() -> Head:
    """Return the header of a dialect that has none; a message that brings one cannot be encoded."""

    def encode(message: Message, _bytes: int) -> bytes:
        if "header" in message:
            raise EncodeError("header", "no header in this dialect", "a header")
        return b""

    return Head(lambda _: (None, 0), encode, lambda _: 0, lambda _, __: 0, lambda _: None, absent=True)


CUPS_COUNTED = Counted(cups.HEADER_BYTES, cups.HEADER_BYTES, 2, 4)


def cups_head(required: bool) -> Head:
    """Return the header of 46 bytes; where it is not required its first byte tells whether it is there."""

    def has(body: bytes) -> bool:
        return body[:1] == b"\x2e"

    def decode(body: bytes) -> tuple[Message | None, int]:
        if not required and not has(body):
            return None, 0
        return cups.decode_header(body), cups.HEADER_BYTES

    def encode(message: Message, message_bytes: int) -> bytes:
        if "header" in message:
            return cups.encode_header(message["header"], message_bytes)
        if required:
            raise EncodeError("header", "a table", "none")
        return b""

    def start(body: bytes) -> int:
        return cups.HEADER_BYTES if has(body) else 0

    def walk(body: bytes, spans: list[Span]) -> int:
        if has(body):
            spans += cups.walk_header(body)
        return start(body)

    return Head(decode, encode, start, walk, cups.header_width, cups.NAMES, counted=CUPS_COUNTED)


def parts_head(about: About, items: list[Item]) -> Head:
    """Return a header of parts in a row, all of them always there (a TPDU, an application header)."""
    names = frozenset(item.name for item in items)

    def decode(body: bytes) -> tuple[Message | None, int]:
        value: Message = {}
        at, end = 0, len(body)
        for item in items:
            value[item.name], at = item.decode(body, at, end)
        return value, at

    def encode(message: Message, _bytes: int) -> bytes:
        table = as_table(about, message.get("header"), set(names))
        missing = names - table.keys()
        if missing:
            raise EncodeError(f"header.{min(missing)}", "a value", "none")
        return b"".join([item.encode(table[item.name]) for item in items])

    def start(body: bytes) -> int:
        at, end = 0, len(body)
        for item in items:
            _, at = item.bounds(body, at, end)
        return at

    def walk(body: bytes, spans: list[Span]) -> int:
        at, end = 0, len(body)
        for item in items:
            at = item.walk(body, at, end, spans)
        return at

    def width(name: str) -> int | None:
        found: Any = next((item for item in items if item.name == name), None)
        return found.width if found else None

    return Head(decode, encode, start, walk, width, names, tuple(items))


def read_bitmaps(row: BitmapRow, bitmaps_max: int, body: bytes, at: int) -> tuple[bytes, int]:
    """Return the bitmaps in a row as raw bytes, and where the fields begin.

    Bit 1 announces the second; bit 65, where the dialect has three, the third, which stands right behind the
    second.  Raises RemoteProtocolError.
    """
    if row.size == RAW_BYTES and at < len(body) and bitmaps_max < 3:  # the commonest shapes, without a call
        size = RAW_BYTES * (2 if bitmaps_max == 2 and body[at] & 0x80 else 1)
        if at + size <= len(body):
            return body[at : at + size], at + size
    bitmap, at = _one_bitmap(row, body, at)
    if bitmaps_max > 1 and bitmap[0] & 0x80:
        second, at = _one_bitmap(row, body, at)
        bitmap += second
        if bitmaps_max > 2 and second[0] & 0x80:
            third, at = _one_bitmap(row, body, at)
            bitmap += third
    return bitmap, at


def _one_bitmap(row: BitmapRow, body: bytes, at: int) -> tuple[bytes, int]:
    stop = at + row.size
    data = body[at:stop]
    if len(data) < row.size:
        found = f"{len(data)} bytes"
        raise RemoteProtocolError("bitmap", at, f"{row.size} bytes", found, Reason.TOTAL_LENGTH)
    bitmap = row.read(data)
    if bitmap is None:
        raise RemoteProtocolError("bitmap", at, f"{row.size} hex digits", "other bytes")
    return bitmap, stop


def bits_of(bitmap: bytes) -> list[int]:
    """Return the numbers of the bits that are set; bit 1 is the most significant bit of the first byte."""
    number = int.from_bytes(bitmap, "big")
    size = 8 * len(bitmap)
    return [bit for bit in range(1, size + 1) if number >> (size - bit) & 1]
