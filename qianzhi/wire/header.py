"""The 46-byte header of a CUPS line, and its reject codes.

    offset   0       1         2        6              17        28          31       32      40      41
    +--------+---------+--------+-------------+-----------+-----------+-------+-------+------+--------+
    | 0x2E   | version | total  | destination | source    | reserved  | batch | info  | user | reject |
    | 1 byte | 1       | 4      | 11          | 11        | 3         | 1     | 8     | 1    | 5      |
    +--------+---------+--------+-------------+-----------+-----------+-------+-------+------+--------+

Header and message together are `total` bytes.  A rejected message comes back to its sender with its body
unchanged and another reject code than 00000: it is neither a request nor an answer, so look here before the
message type.
"""

from functools import lru_cache
from typing import Any

from qianzhi.wire.errors import EncodeError, Reason, RemoteProtocolError, shown
from qianzhi.wire.items import Message, Span
from qianzhi.wire.rows import is_digits, is_track

HEADER_BYTES = 46
HEADERS_MAX = 256
NOT_REJECTED = "00000"
UNREADABLE = "09990"

# name, header field number, offset, bytes, form, English and Chinese title
_ROWS = (
    ("length", 1, 0, 1, "binary", "Header length 报文头长度"),
    ("version", 2, 1, 1, "binary", "Flag and version 头标识和版本号"),
    ("total", 3, 2, 4, "digits", "Total length 整个报文长度"),
    ("destination", 4, 6, 11, "text", "Destination ID 目的标识"),
    ("source", 5, 17, 11, "text", "Source ID 源标识"),
    ("reserved", 6, 28, 3, "bytes", "Reserved 保留使用"),
    ("batch", 7, 31, 1, "binary", "Batch number 批次号"),
    ("transaction_info", 8, 32, 8, "text", "Transaction information 交易信息"),
    ("user_info", 9, 40, 1, "bytes", "User information 用户信息"),
    ("reject_code", 10, 41, 5, "digits", "Reject code 拒绝码"),
)

NAMES = frozenset(row[0] for row in _ROWS) - {"length", "total"}
_KINDS = {name: (number, offset, size, form) for name, number, offset, size, form, _ in _ROWS}
_DEFAULTS: Message = {
    "version": 1,
    "reserved": bytes(3),
    "batch": 0,
    "transaction_info": "00000000",
    "user_info": bytes(1),
    "reject_code": NOT_REJECTED,
}


def decode_header(body: bytes) -> Message:
    """Read the header; `version` and `batch` are numbers, `reserved` and `user_info` bytes, the rest text.

    Destination and source lose their padding.  Raises RemoteProtocolError; header fields are numbered 1 to 10
    and named `header.*`.
    """
    if len(body) < HEADER_BYTES:
        raise _error(
            "length", 0, f"a header of {HEADER_BYTES} bytes", f"{len(body)} bytes", Reason.TOTAL_LENGTH
        )
    if body[0] != HEADER_BYTES:
        raise _error("length", 0, f"{HEADER_BYTES:02X}", f"{body[0]:02X}", Reason.VALUE)
    total = _digits(body, "total")
    if int(total) != len(body):
        raise _error("total", 2, str(len(body)), total, Reason.TOTAL_LENGTH)
    return {**_read(body[:2] + _TOTAL_PLACE + body[6:HEADER_BYTES])}


_TOTAL_PLACE = b"0046"


@lru_cache(maxsize=HEADERS_MAX)
def _read(header: bytes) -> Message:
    """Read all of a header but its total; a line's headers are few, so they are kept."""
    return {
        "version": header[1],
        "destination": _text(header, "destination").rstrip(" "),
        "source": _text(header, "source").rstrip(" "),
        "reserved": header[28:31],
        "batch": header[31],
        "transaction_info": _text(header, "transaction_info"),
        "user_info": header[40:41],
        "reject_code": _digits(header, "reject_code"),
    }


def _error(name: str, offset: int, expected: str, found: str, reason: Reason) -> RemoteProtocolError:
    return RemoteProtocolError(f"header.{name}", offset, expected, found, reason, _KINDS[name][0])


def _digits(body: bytes, name: str) -> str:
    _, offset, size, _ = _KINDS[name]
    data = body[offset : offset + size]
    if not data.isdigit():
        raise _error(name, offset, f"{size} digits", data.hex().upper(), Reason.VALUE)
    return data.decode("ascii")


def _text(body: bytes, name: str) -> str:
    _, offset, size, _ = _KINDS[name]
    data = body[offset : offset + size]
    text = data.decode("latin-1")
    if not is_track(text):
        raise _error(name, offset, "printable ASCII", shown(data), Reason.VALUE)
    return text


def encode_header(header: Any, message_bytes: int) -> bytes:
    """Write the header in front of a message of so many bytes; what is left out gets a member's usual value.

    Raises EncodeError for unknown names, wrong types, and a total that four digits cannot hold.
    """
    if not isinstance(header, dict):
        raise EncodeError("header", "a table", shown(header))
    if not header.keys() <= NAMES:
        unknown = header.keys() - NAMES
        raise EncodeError(f"header.{min(map(str, unknown))}", "a part of the header", "an unknown name")
    total = HEADER_BYTES + message_bytes
    if total > 9999:
        raise EncodeError("header.total", "at most 9999", str(total))
    values = {**_DEFAULTS, **header}
    try:
        front, back = _written(*[values.get(name) for name in _ORDER])
    except TypeError as error:  # a value that cannot even be looked up
        raise EncodeError("header", "numbers, text and bytes", "another type") from error
    return b"%b%04d%b" % (front, total, back)


_ORDER = tuple(row[0] for row in _ROWS if row[0] in NAMES)


@lru_cache(maxsize=HEADERS_MAX, typed=True)
def _written(*ordered: Any) -> tuple[bytes, bytes]:
    """Return what stands before and after the total; a line's headers are few, so they are kept."""
    values = dict(zip(_ORDER, ordered, strict=True))
    front = bytes((HEADER_BYTES, _byte(values, "version")))
    back = (
        _padded(values, "destination"),
        _padded(values, "source"),
        _raw(values, "reserved"),
        bytes((_byte(values, "batch"),)),
        _padded(values, "transaction_info"),
        _raw(values, "user_info"),
        _reject(values["reject_code"]),
    )
    return front, b"".join(back)


def _byte(values: Message, name: str) -> int:
    value = values[name]
    if type(value) is not int or not 0 <= value <= 255:
        raise EncodeError(f"header.{name}", "a number from 0 to 255", shown(value))
    return value


def _padded(values: Message, name: str) -> bytes:
    value, size = values.get(name), _KINDS[name][2]
    if type(value) is not str or not is_track(value) or len(value) > size:
        raise EncodeError(f"header.{name}", f"at most {size} characters of ASCII", shown(value))
    return value.encode("ascii").ljust(size)


def _raw(values: Message, name: str) -> bytes:
    value, size = values[name], _KINDS[name][2]
    if type(value) is not bytes or len(value) != size:
        raise EncodeError(f"header.{name}", f"{size} bytes", shown(value))
    return value


def _reject(value: Any) -> bytes:
    if type(value) is not str or not is_digits(value) or len(value) != 5:
        raise EncodeError("header.reject_code", "5 digits", shown(value))
    return value.encode("ascii")


def rejected(body: bytes, code: str) -> bytes:
    """Return a received body as it goes back to its sender: swapped header, reject code set, message
    untouched.

    Works on any body of at least a header's length, also one that cannot be decoded; the total is made right.
    Raises EncodeError when the body is too short to hold a header or the code is not five digits.
    """
    if len(body) < HEADER_BYTES:
        raise EncodeError("header", f"{HEADER_BYTES} bytes", str(len(body)))
    total = b"%04d" % min(len(body), 9999)
    return b"".join(
        (
            bytes((HEADER_BYTES,)),
            body[1:2],
            total,
            body[17:28],
            body[6:17],
            body[28:41],
            _reject(code),
            body[46:],
        )
    )


def make_reject_code(section: int, number: int, reason: Reason) -> str:
    """Build a reject code: section 0 header or 1 message, field number 0 to 128, kind of the error.

    Errors without a kind or field of their own are 09990 (message cannot be unpacked).
    """
    if reason is Reason.UNREADABLE or not 0 < number <= 999:
        return UNREADABLE
    return f"{section}{number:03d}{reason.value}"


def reject_code(error: RemoteProtocolError) -> str:
    """Return the five-digit reject code that tells a peer about its error."""
    return make_reject_code(0 if error.field.startswith("header.") else 1, error.number, error.reason)


def walk_header(body: bytes) -> list[Span]:
    """Return the spans of the header's fields, unchecked; empty when the body is too short."""
    if len(body) < HEADER_BYTES:
        return []
    return [
        Span(f"header.{name}", f"H{number}", title, "", offset, offset + size, _charset(form))
        for name, number, offset, size, form, title in _ROWS
    ]


def _charset(form: str) -> str:
    return "ascii" if form in ("digits", "text") else ""


def header_width(name: str) -> int | None:
    """Return how many bytes a header field has; None for an unknown name."""
    row = _KINDS.get(name)
    return row[2] if row else None
