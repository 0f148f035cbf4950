"""A message that travels as hexadecimal letters of another one: HexCarried wraps the inner codec."""

from typing import TYPE_CHECKING, Any

from simulators.codecs.source import BankCodecError

if TYPE_CHECKING:
    from simulators.codecs import BankCodec

Message = dict[str, Any]


class HexCarried:
    """Upper case is written, lower case read too."""

    def __init__(self, inner: "BankCodec") -> None:
        self._inner = inner

    def encode(self, message: Message) -> bytes:
        """Return the letters of the inner message."""
        return self._inner.encode(message).hex().upper().encode("ascii")

    def decode(self, data: bytes) -> Message:
        """Read the letters and then the inner message; raises BankCodecError."""
        return self._inner.decode(_inner_bytes(data))

    def field(self, path: str, message: Message, *, with_prefix: bool = False) -> bytes | None:
        """Return a value as it stands in the inner message, None when it is absent."""
        return self._inner.field(path, message, with_prefix=with_prefix)

    def covered(self, data: bytes, path: str, side: str) -> bytes:
        """Return the letters before or after those of the value at a path."""
        size = 2 * len(self._inner.covered(_inner_bytes(data), path, side))
        return data[:size] if side == "before" else data[len(data) - size :]

    def binary(self, path: str) -> bool:
        """Tell whether a path's value is bytes."""
        return self._inner.binary(path)

    @property
    def card_path(self) -> str:
        """Return where a card number stands in any request, empty for nowhere."""
        return self._inner.card_path


def _inner_bytes(data: bytes) -> bytes:
    if not data.isalnum():  # fromhex would take blanks
        raise BankCodecError("the body is no hex")
    try:
        return bytes.fromhex(data.decode("ascii"))
    except ValueError as error:
        raise BankCodecError("the body is no hex") from error
