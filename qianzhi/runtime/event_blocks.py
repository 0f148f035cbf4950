"""The blocks of an event file as bytes: rows to one block, a file to its blocks.  Pure.

            +----------------+----------------+---------------------------------+
    block   | length, 4 (BE) | CRC-32, 4 (BE) | msgpack list of Event arrays    |
            +----------------+----------------+---------------------------------+

A torn or damaged block ends its file: what follows it cannot be trusted.
"""

import zlib
from collections.abc import Iterator, Sequence
from typing import BinaryIO

import msgspec

from qianzhi.runtime.effects import Event

BLOCK_BYTES_MAX = 64 * 1024 * 1024
HEAD_BYTES = 8

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[Event]).decode


def block_of(rows: Sequence[Event]) -> bytes:
    """Return rows as one block."""
    body = _encode(rows)
    return len(body).to_bytes(4, "big") + zlib.crc32(body).to_bytes(4, "big") + body


def blocks_in(file: BinaryIO) -> Iterator[bytes]:
    """Yield the bodies of a file's blocks, up to its end or its first torn or damaged one."""
    while len(head := file.read(HEAD_BYTES)) == HEAD_BYTES:
        length = int.from_bytes(head[:4], "big")
        if length > BLOCK_BYTES_MAX:
            return
        body = file.read(length)
        if len(body) < length or zlib.crc32(body) != int.from_bytes(head[4:], "big"):
            return
        yield body


def rows_of(body: bytes) -> list[Event]:
    """Return the rows of one block."""
    return _decode(body)
