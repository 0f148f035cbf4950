"""A message carried as hex text: every byte of the inner message is two letters of the outer one.

Upper case is written, lower case read too.  Offsets and lengths that are shown count the outer text.
"""

from typing import TYPE_CHECKING

from qianzhi.wire.errors import EncodeError, Reason, RemoteProtocolError
from qianzhi.wire.items import FieldView, Message, Side

if TYPE_CHECKING:
    from qianzhi.wire.codec import Codec  # which knows this module

_DIGITS = b"0123456789ABCDEFabcdef"


class HexCodec:
    """Wraps another codec."""

    def __init__(self, inner: "Codec") -> None:
        self._inner = inner

    def decode(self, body: bytes) -> Message:
        """Read a message; raises only RemoteProtocolError, with the offset in the outer text."""
        inner = _unpack(body)
        try:
            return self._inner.decode(inner)
        except RemoteProtocolError as error:
            raise _moved(error) from error

    def encode(self, message: Message) -> bytes:
        """Write a message; raises EncodeError naming the path that the dialect cannot carry."""
        return _pack(self._inner.encode(message))

    def mask(self, body: bytes, *, decoded: bool = False) -> bytes:
        """Return the body with the letters of sensitive values replaced by those of stars; never raises.

        What is no hex text is starred whole.
        """
        try:
            inner = _unpack(body)
        except RemoteProtocolError:
            return b"*" * len(body)
        return _pack(self._inner.mask(inner, decoded=decoded))

    def describe(self, body: bytes) -> list[FieldView]:
        """Return a readable, masked dump of the inner message; never raises."""
        try:
            inner = _unpack(body)
        except RemoteProtocolError as error:
            text = f"expected {error.expected}, found {error.found}"
            left = len(body) - error.offset
            return [FieldView(error.field, "!", "Not hex text 不是十六进制文本", error.offset, left, text)]
        return [
            view._replace(offset=2 * view.offset, length=2 * view.length)
            for view in self._inner.describe(inner)
        ]

    def paths(self) -> set[str]:
        """Return every path that a message of this dialect can have."""
        return self._inner.paths()

    def sensitive(self, path: str) -> str | None:
        """Return the kind of secrecy of a path, or None."""
        return self._inner.sensitive(path)

    def width(self, path: str) -> int | None:
        """Return the greatest length of a path's value inside; None where there is none."""
        return self._inner.width(path)

    def binary(self, path: str) -> bool:
        """Tell whether a path's value is bytes."""
        return self._inner.binary(path)

    def field_bytes(self, path: str, message: Message, with_prefix: bool) -> bytes | None:
        """Return a field as it stands in the inner message."""
        return self._inner.field_bytes(path, message, with_prefix)

    def covered(self, body: bytes, path: str, side: Side) -> bytes:
        """Return the letters before or after the value at a path, as they stand in the outer text."""
        try:
            inner = _unpack(body)
        except RemoteProtocolError as error:
            raise EncodeError(path, error.expected, error.found) from error
        size = 2 * len(self._inner.covered(inner, path, side))
        return body[:size] if side == "before" else body[len(body) - size :]

    def measure(self, buffer: bytes) -> int | None:
        """Return twice the size of the inner message, None while that cannot be said."""
        size = self._inner.measure(_unpack(buffer[: len(buffer) & ~1]))
        return None if size is None else 2 * size


def _unpack(body: bytes) -> bytes:
    strange = body.lstrip(_DIGITS)
    if strange:
        at = len(body) - len(strange)
        raise RemoteProtocolError("message", at, "hex digits", "another byte", Reason.UNREADABLE)
    if len(body) % 2:
        expected = "an even number of hex digits"
        raise RemoteProtocolError("message", len(body), expected, str(len(body)), Reason.TOTAL_LENGTH)
    return bytes.fromhex(body.decode("ascii"))


def _pack(inner: bytes) -> bytes:
    return inner.hex().upper().encode("ascii")


def _moved(error: RemoteProtocolError) -> RemoteProtocolError:
    moved = RemoteProtocolError(
        error.field, 2 * error.offset, error.expected, error.found, error.reason, error.number
    )
    moved.partial = error.partial
    return moved
