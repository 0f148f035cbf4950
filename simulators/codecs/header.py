"""What stands before the message type of an ISO 8583 message: nothing, the CUPS header, or parts of a spec.

The transport's own length is not here.  Both are read into message["header"].
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from simulators.codecs.cells import Defaults, Row
from simulators.codecs.layouts import cells_of
from simulators.codecs.source import BankCodecError, Source

CUPS_BYTES = 46

Message = dict[str, Any]


class Header(NamedTuple):
    """How it is written, given the body's length, and read off a source (None where there is none)."""

    write: Callable[[Message, int], bytes]
    read: Callable[[Source], Message | None]


def header_of(tree: Row, defaults: Defaults) -> Header:
    """Return the header that a spec names; raises BankCodecError for a kind that nobody knows."""
    kind = str(tree.get("header", "none"))
    if kind == "none":
        return Header(lambda _, __: b"", lambda _: None)
    if kind == "cups":
        return Header(write_cups, read_cups)
    if kind == "parts":
        return _of_parts(tree, defaults)
    raise BankCodecError(f"the spec has a header of another kind: {kind}")


def _of_parts(tree: Row, defaults: Defaults) -> Header:
    cells = cells_of(tree["header_parts"], "header", defaults)

    def write(header: Message, _: int) -> bytes:
        pieces = []
        for cell in cells:
            if cell.name not in header and cell.blank is None:
                raise BankCodecError(f"header.{cell.name} is missing")
            pieces.append(cell.write(header[cell.name]) if cell.name in header else cell.blank or b"")
        return b"".join(pieces)

    return Header(write, lambda source: {cell.name: cell.read(source) for cell in cells})


def write_cups(header: Message, body_bytes: int) -> bytes:
    """Return the 46 bytes in front of a body; `destination` and `source` are institution codes."""
    return b"".join(
        (
            bytes((CUPS_BYTES, int(header.get("version", 2)))),
            b"%04d" % (CUPS_BYTES + body_bytes),
            str(header.get("destination", "")).encode("ascii", "replace").ljust(11),
            str(header.get("source", "")).encode("ascii", "replace").ljust(11),
            header.get("reserved", bytes(3)),
            bytes((int(header.get("batch", 0)),)),
            str(header.get("transaction_info", "00000000")).encode("ascii", "replace"),
            header.get("user_info", b"\0"),
            str(header.get("reject_code", "00000")).encode("ascii", "replace"),
        )
    )


def read_cups(source: Source) -> Message:
    """Read the 46 bytes; raises BankCodecError when they are no header."""
    total = source.left
    data = source.take(CUPS_BYTES, "the header")
    if data[0] != CUPS_BYTES or not data[2:6].isdigit():
        raise BankCodecError("the header cannot be read")
    if int(data[2:6]) != total:
        raise BankCodecError("the header's total length is not the message's")
    return {
        "version": data[1],
        "destination": data[6:17].decode("ascii", "replace").rstrip(" "),
        "source": data[17:28].decode("ascii", "replace").rstrip(" "),
        "reserved": data[28:31],
        "batch": data[31],
        "transaction_info": data[32:40].decode("ascii", "replace"),
        "user_info": data[40:41],
        "reject_code": data[41:46].decode("ascii", "replace"),
    }
