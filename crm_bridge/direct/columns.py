"""Parameters and results in PostgreSQL's binary form: whole columns at once.  Pure.

An array of one dimension as it travels (PostgreSQL 15 documentation, sources of `array_send`):

    +------------+--------+--------------+-------+-------+-------------------------------+
    | dimensions | NULLs? | element type | count | first | count × (length, bytes)       |
    | int32 = 1  | int32  | oid          | int32 | 1     | int32, −1 for NULL; the bytes |
    +------------+--------+--------------+-------+-------+-------------------------------+
"""

import struct
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

INT8, INT4, INT2, TEXT, BYTEA, BOOL, VARCHAR, VOID = 20, 23, 21, 25, 17, 16, 1043, 2278

_NULL = b"\xff\xff\xff\xff"
_LENGTHS = [struct.pack("!i", length) for length in range(1024)]
_pack_length = struct.Struct("!i").pack
_pack_bigint = struct.Struct("!q").pack
_BIGINT_LENGTH = _pack_length(8)

Encoder = Callable[[Any], bytes | None]


def bigints(values: Sequence[int | None]) -> bytes:
    """Return an array of bigint; raises struct.error for what is no such number."""
    count = len(values)
    if not count:
        return _head(INT8, 0)
    if None in values:
        cells = (_NULL if one is None else _BIGINT_LENGTH + _pack_bigint(one) for one in values)
        return _head(INT8, count, nulls=True) + b"".join(cells)
    filled = [8] * (2 * count)
    filled[1::2] = values  # type: ignore[assignment]
    return _head(INT8, count) + _pairs(count).pack(*filled)


def texts(values: Sequence[str | None]) -> bytes:
    """Return an array of text; raises UnicodeEncodeError for a lone surrogate."""
    return _varying(TEXT, [None if one is None else one.encode() for one in values])


def byteas(values: Sequence[bytes | None]) -> bytes:
    """Return an array of bytea."""
    return _varying(BYTEA, values)


def encoder(kind: str, *, array: bool) -> Encoder | None:
    """Return what encodes a parameter that is cast to this type; None where the server reads its text."""
    return _ENCODERS.get((kind, array))


def column(kind: int, cells: Sequence[bytes | None]) -> Sequence[Any]:
    """Return the values of a result's column of this type; raises KeyError for a type not known here."""
    if kind == INT8 and None not in cells:
        return struct.unpack(f"!{len(cells)}q", b"".join(cells))  # type: ignore[arg-type]
    decode = _DECODERS[kind]
    return [None if cell is None else decode(cell) for cell in cells]


def _varying(kind: int, values: Sequence[bytes | None]) -> bytes:
    parts = [_head(kind, len(values), nulls=None in values)]
    for one in values:
        if one is None:
            parts.append(_NULL)
        else:
            length = len(one)
            parts.append(_LENGTHS[length] if length < 1024 else _pack_length(length))
            parts.append(one)
    return b"".join(parts)


@cache
def _head(kind: int, count: int, *, nulls: bool = False) -> bytes:
    if not count:
        return struct.pack("!iii", 0, 0, kind)
    return struct.pack("!iiiii", 1, int(nulls), kind, count, 1)


@cache
def _pairs(count: int) -> struct.Struct:
    return struct.Struct("!" + "iq" * count)


def _integer(value: bytes) -> int:
    return int.from_bytes(value, "big", signed=True)


_ENCODERS: dict[tuple[str, bool], Encoder] = {
    ("bigint", True): bigints,
    ("text", True): texts,
    ("bytea", True): byteas,
    ("bigint", False): lambda value: None if value is None else _pack_bigint(value),
    ("integer", False): lambda value: None if value is None else _pack_length(value),
    ("text", False): lambda value: None if value is None else value.encode(),
}

_DECODERS: dict[int, Callable[[bytes], Any]] = {
    INT8: _integer,
    INT4: _integer,
    INT2: _integer,
    TEXT: bytes.decode,
    VARCHAR: bytes.decode,
    BYTEA: bytes,
    BOOL: lambda value: value == b"\x01",
    VOID: lambda value: None,
}
