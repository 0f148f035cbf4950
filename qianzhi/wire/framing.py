"""Length-prefixed framing: a byte stream in, whole frames out.

Sans-IO: no socket, queue or clock is touched here.  What differs between banks is the shape of the length
header, and that is data (`FrameSpec`).

    ascii    +-----------------+---------------+      binary   +------------------+---------------+
             | digits, ASCII   | body          |               | bytes, big-endian| body          |
             +-----------------+---------------+               +------------------+---------------+
"""

from typing import Annotated, Literal

import annotated_types

from qianzhi.runtime.table import table
from qianzhi.wire.errors import EncodeError, Reason, RemoteProtocolError


@table
class FrameSpec:
    """The shape of a line's length header.

    `size` counts its digits (`ascii`) or bytes (`binary`); `inclusive` says that the number counts the header
    too; `none` means that the transport keeps message boundaries itself.  `heartbeat = "zero_length"` allows
    a header of zero with nothing behind it.
    """

    kind: Literal["ascii", "binary", "none"]
    size: Annotated[int, annotated_types.Interval(ge=1, le=8)] = 4
    inclusive: bool = False
    frame_bytes_max: Annotated[int, annotated_types.Interval(ge=1, le=16_000_000)] = 9999
    heartbeat: Literal["", "zero_length"] = ""


class FrameReader:
    """Cuts one connection's bytes into frames; one instance per connection."""

    def __init__(self, spec: FrameSpec) -> None:
        self._spec = spec
        self._buffer = bytearray()
        self._header_bytes = 0 if spec.kind == "none" else spec.size
        self._extra = self._header_bytes if spec.inclusive else 0
        self._failed: RemoteProtocolError | None = None

    @property
    def partial(self) -> bool:
        """Whether bytes of an unfinished frame wait here; a line that stays so for long is a slow or broken
        peer."""
        return bool(self._buffer)

    def receive_data(self, data: bytes) -> list[bytes]:
        """Take bytes as they came; return the frames that they complete, oldest first; a heartbeat is `b""`.

        Raises RemoteProtocolError when a header is no number, promises more than `frame_bytes_max`, or is
        zero where no heartbeat is agreed.  Frames completed before the fault are returned first, and the
        error is raised by the next call (`fault` shows it at once); after it the line has no boundaries and
        must be closed.
        """
        if self._failed is not None:
            raise self._failed
        if self._spec.kind == "none":
            return self._whole(data)
        self._buffer += data
        frames: list[bytes] = []
        try:
            self._cut(frames)
        except RemoteProtocolError as error:
            self._failed = error
            self._buffer.clear()
            if not frames:
                raise
        return frames

    @property
    def fault(self) -> RemoteProtocolError | None:
        """The error after which nothing more can be read from this line."""
        return self._failed

    def _whole(self, data: bytes) -> list[bytes]:
        if len(data) > self._spec.frame_bytes_max:
            raise self._too_long(len(data))
        return [data]

    def _cut(self, frames: list[bytes]) -> None:
        buffer, header = self._buffer, self._header_bytes
        start, size = 0, len(buffer)
        try:
            while size - start >= header:
                length = self._length(bytes(buffer[start : start + header]))
                end = start + header + length
                if end > size:
                    break
                frames.append(bytes(buffer[start + header : end]))
                start = end
        finally:
            del buffer[:start]

    def _length(self, header: bytes) -> int:
        """Return how many bytes follow this header."""
        spec = self._spec
        if spec.kind == "binary":
            number = int.from_bytes(header, "big")
        elif header.isdigit():
            number = int(header)
        else:
            expected = f"{spec.size} ASCII digits"
            raise RemoteProtocolError(
                "frame length", 0, expected, header[:8].hex().upper(), Reason.LENGTH_CHARACTER
            )
        if number == 0 and spec.heartbeat:
            return 0
        length = number - self._extra
        if length <= 0:
            raise RemoteProtocolError(
                "frame length", 0, "a body of at least one byte", str(number), Reason.TOTAL_LENGTH
            )
        if length > spec.frame_bytes_max:
            raise self._too_long(length)
        return length

    def _too_long(self, length: int) -> RemoteProtocolError:
        expected = f"at most {self._spec.frame_bytes_max} bytes"
        return RemoteProtocolError("frame length", 0, expected, str(length), Reason.LENGTH_TOO_LARGE)


def frame(spec: FrameSpec, body: bytes) -> bytes:
    """Return the body behind its length header; an empty body is the heartbeat.

    Raises EncodeError when the body is over `frame_bytes_max` or its length does not fit the header.
    """
    if len(body) > spec.frame_bytes_max:
        raise EncodeError("frame", f"at most {spec.frame_bytes_max} bytes", str(len(body)))
    if spec.kind == "none":
        return body
    if not body and not spec.heartbeat:
        raise EncodeError("frame", "a body of at least one byte", "0")
    number = len(body) + (spec.size if spec.inclusive and body else 0)
    if spec.kind == "binary":
        if number >> (8 * spec.size):
            raise EncodeError("frame", f"a length of {spec.size} bytes", str(number))
        return number.to_bytes(spec.size, "big") + body
    digits = b"%0*d" % (spec.size, number)
    if len(digits) > spec.size:
        raise EncodeError("frame", f"a length of {spec.size} digits", str(number))
    return digits + body
