"""Length-prefixed framing as a simulated bank writes and reads it; pure.

    ascii  digits, bytes behind them      binary  big-endian number       bcd  packed digits
    none   one message is one piece       message its end is the connection's

Why here again: both ends of a line must not share one bug; only the profile's [frame] table is the same.
"""

from typing import TYPE_CHECKING

from qianzhi.wire.errors import RemoteProtocolError

if TYPE_CHECKING:
    from qianzhi.wire.framing import FrameSpec  # its shape alone: what the table says

COUNTED = frozenset({"ascii", "binary", "bcd"})


class FramingError(ValueError):
    """Bytes that are no frame, or a body that fits none; the text is for people."""


def framed(table: "FrameSpec", body: bytes) -> bytes:
    """Return a body with its length in front; raises FramingError when the length does not fit."""
    if table.kind not in COUNTED:
        return body
    count = len(body) + (table.size if table.inclusive and not table.keep and body else 0)
    if table.keep and body:
        count -= 0 if table.inclusive else table.size
    header = _number(table.kind, table.size, count)
    return header + body[table.size if table.keep else 0 :]


def _number(kind: str, size: int, count: int) -> bytes:
    try:
        if kind == "binary":
            return count.to_bytes(size, "big")
        digits = f"{count:0{size * (2 if kind == 'bcd' else 1)}d}"
        header = bytes.fromhex(digits) if kind == "bcd" else digits.encode("ascii")
    except (OverflowError, ValueError) as error:
        raise FramingError(f"{count} bytes do not fit the length") from error
    if len(header) != size:
        raise FramingError(f"{count} bytes do not fit the length")
    return header


class Cutter:
    """Cuts what comes on one connection into frames; a heartbeat is an empty one."""

    def __init__(self, table: "FrameSpec") -> None:
        self._table = table
        self._bytes = b""

    @property
    def partial(self) -> bool:
        """Whether a frame has begun and is not whole yet."""
        return bool(self._bytes)

    def receive(self, data: bytes) -> list[bytes]:
        """Take bytes; return the frames that they complete; raises FramingError."""
        table = self._table
        if table.kind == "none":
            return [data]
        self._bytes += data
        if table.kind == "message":
            return []
        frames = []
        while len(self._bytes) >= table.size:
            count = self._count(self._bytes[: table.size])
            if count > table.frame_bytes_max:
                raise FramingError(f"a frame of {count} bytes is longer than agreed")
            if len(self._bytes) < table.size + count:
                break
            start = 0 if table.keep and count else table.size
            frames.append(self._bytes[start : table.size + count])
            self._bytes = self._bytes[table.size + count :]
        return frames

    def end(self) -> list[bytes]:
        """Return the message that ends with its connection; raises FramingError for half a frame."""
        rest, self._bytes = self._bytes, b""
        if rest and self._table.kind != "message":
            raise FramingError("the connection ended inside a frame")
        return [rest] if rest else []

    def _count(self, header: bytes) -> int:
        """Return how many bytes follow a header."""
        table = self._table
        digits = header.hex() if table.kind == "bcd" else header.decode("ascii", "replace")
        if table.kind != "binary" and not (digits.isascii() and digits.isdigit()):
            raise FramingError("a length that is no number")
        count = int.from_bytes(header, "big") if table.kind == "binary" else int(digits)
        if count == 0 and table.heartbeat:
            return 0
        count -= table.size if table.inclusive else 0
        if count <= 0:
            raise FramingError("a frame without a body")
        return count


class PoolReader:
    """A cutter as the socket pool wants it."""

    def __init__(self, table: "FrameSpec") -> None:
        self._cutter = Cutter(table)
        self.fault: RemoteProtocolError | None = None

    @property
    def partial(self) -> bool:
        """Whether a frame has begun and is not whole yet."""
        return self._cutter.partial

    def receive_data(self, data: bytes) -> list[bytes]:
        """Return the frames that these bytes complete; raises RemoteProtocolError."""
        try:
            return self._cutter.receive(data)
        except FramingError as error:
            self.fault = RemoteProtocolError("frame", 0, "a frame of this line", str(error))
            raise self.fault from error
