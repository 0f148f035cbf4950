"""What can go wrong between bytes and fields: the peer's errors apart from our own.

`RemoteProtocolError` is the only error that decoding raises, whatever the bytes were.  Its texts never hold a
sensitive value and never more than a few characters of any other, because a shifted message puts a card
number where another field was expected.
"""

from enum import IntEnum
from typing import Any

SHOWN_CHARACTERS = 4  # of a text; of bytes half as many, because two digits may be packed in each


class Reason(IntEnum):
    """The kind of a peer's error; the numbers are the last digit of a CUPS reject code (0 has none of its
    own)."""

    UNREADABLE = 0
    TOTAL_LENGTH = 1
    FORBIDDEN = 2
    LENGTH_CHARACTER = 3
    LENGTH_TOO_LARGE = 4
    VALUE = 5
    MISSING = 6


class WireError(Exception):
    """Any error of this package."""


class RemoteProtocolError(WireError):
    """The peer's bytes are not what its dialect says.

    `field` is the field's path, `offset` counts bytes from the start of what was decoded, `expected` and
    `found` are short texts without secrets, `number` the top-level field's number where it has one. `partial`
    holds what was read before the error, for an answer that says so; it is never to be acted upon.
    """

    def __init__(
        self,
        field: str,
        offset: int,
        expected: str,
        found: str,
        reason: Reason = Reason.VALUE,
        number: int = 0,
    ) -> None:
        super().__init__(f"{field} at {offset}: expected {expected}, found {found}")
        self.field = field
        self.offset = offset
        self.expected = expected
        self.found = found
        self.reason = reason
        self.number = number
        self.partial: dict[str, Any] = {}


class EncodeError(WireError, ValueError):
    """Our side's error: a message that the dialect cannot carry; `path` names the field, nothing shows its
    value."""

    def __init__(self, path: str, expected: str, found: str) -> None:
        super().__init__(f"{path}: expected {expected}, found {found}")
        self.path = path
        self.expected = expected
        self.found = found


class MacError(WireError):
    """A MAC that is absent or wrong under every key that may be used now."""


class KeyCheckError(WireError):
    """A delivered key whose check value or MAC does not fit it, or that is no usable key."""


def shown(value: object, sensitive: str = "") -> str:
    """Return a short text for an error: the first characters of a harmless value, only the size of a
    sensitive one."""
    if isinstance(value, bytes):
        size, most = f"{len(value)} bytes", SHOWN_CHARACTERS // 2
        text = value[:most].hex().upper()
    elif isinstance(value, str):
        size, most = f"{len(value)} characters", SHOWN_CHARACTERS
        text = ascii(value[:most])
    else:
        return type(value).__name__
    if sensitive:
        return f"{size} (hidden)"
    return text if len(value) <= most else f"{text}… of {size}"
