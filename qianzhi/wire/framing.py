"""Framing: a byte stream in, whole frames out.

Sans-IO: no socket, queue or clock is touched here.  What differs between banks is the shape of the length
header, and that is data (`FrameSpec`).

    ascii    +-----------------+---------------+      binary   +------------------+---------------+
             | digits, ASCII   | body          |               | bytes, big-endian| body          |
             +-----------------+---------------+               +------------------+---------------+

    bcd      +-----------------+---------------+      message  +----------------------------------+
             | digits, packed  | body          |               | a body that shows its own end    |
             +-----------------+---------------+               +----------------------------------+
"""

from collections.abc import Callable
from typing import Annotated, Literal, NamedTuple

import annotated_types

from qianzhi.runtime.table import table
from qianzhi.wire.errors import EncodeError, Reason, RemoteProtocolError

# What a self-delimiting dialect says about the bytes at hand: how many of them are the first message, or None
# while its end cannot be seen yet.
Measure = Callable[[bytes], int | None]


@table
class FrameSpec:
    """The shape of a line's length header.

    `size` counts its digits (`ascii`) or bytes (`binary`, and `bcd` with two digits in each); `inclusive`
    says that the number counts the header too; `keep` leaves it in the frame, where it is the first field of
    the message's own header.  `none` means that the transport keeps message boundaries itself, `message` that
    a message shows its own end.  `heartbeat = "zero_length"` allows a header of zero with nothing behind it.
    """

    kind: Literal["ascii", "binary", "bcd", "none", "message"]
    size: Annotated[int, annotated_types.Interval(ge=1, le=8)] = 4
    inclusive: bool = False
    frame_bytes_max: Annotated[int, annotated_types.Interval(ge=1, le=16_000_000)] = 9999
    heartbeat: Literal["", "zero_length"] = ""
    keep: bool = False


class LengthRow(NamedTuple):
    """How a number stands in so many bytes; `read` returns None for what is no number, `write` None for a
    number that does not fit."""

    expected: str
    read: Callable[[bytes], int | None]
    write: Callable[[int, int], bytes | None]


def _read_digits(header: bytes) -> int | None:
    return int(header) if header.isdigit() else None


def _write_digits(number: int, size: int) -> bytes | None:
    digits = b"%0*d" % (size, number)
    return digits if len(digits) == size else None


def _read_packed(header: bytes) -> int | None:
    digits = header.hex()
    return int(digits) if digits.isdigit() else None


def _write_packed(number: int, size: int) -> bytes | None:
    digits = _write_digits(number, 2 * size)
    return bytes.fromhex(digits.decode("ascii")) if digits else None


def _read_binary(header: bytes) -> int | None:
    return int.from_bytes(header, "big")


def _write_binary(number: int, size: int) -> bytes | None:
    return None if number >> (8 * size) else number.to_bytes(size, "big")


LENGTHS = {
    "ascii": LengthRow("ASCII digits", _read_digits, _write_digits),
    "bcd": LengthRow("bytes of packed digits", _read_packed, _write_packed),
    "binary": LengthRow("bytes", _read_binary, _write_binary),
}


class FrameReader:
    """Cuts one connection's bytes into frames; one instance per connection.

    `measure` belongs to lines of kind `message`: the codec's own `measure`.
    """

    def __init__(self, spec: FrameSpec, measure: Measure | None = None) -> None:
        if (spec.kind == "message") != (measure is not None):
            raise ValueError("lines whose messages show their own end take a measure, and only they")
        self._spec = spec
        self._measure = measure
        self._buffer = bytearray()
        self._length = LENGTHS.get(spec.kind)
        self._header_bytes = spec.size if self._length else 0
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
        zero where no heartbeat is agreed, and when a message cannot show its end.  Frames completed before
        the fault are returned first, and the error is raised by the next call (`fault` shows it at once);
        after it the line has no boundaries and must be closed.
        """
        if self._failed is not None:
            raise self._failed
        if self._spec.kind == "none":
            return self._whole(data)
        self._buffer += data
        frames: list[bytes] = []
        try:
            if self._measure is not None:
                self._cut_measured(frames, self._measure)
            else:
                self._cut(frames)
        except RemoteProtocolError as error:
            self._failed = error
            self._buffer.clear()
            if not frames:
                raise
        return frames

    def eof(self) -> None:
        """Take the end of the peer's bytes; raises RemoteProtocolError when a frame was left unfinished.

        A fault from before is raised again.
        """
        if self._failed is not None:
            raise self._failed
        if self._buffer:
            found = f"the end after {len(self._buffer)} bytes"
            self._failed = RemoteProtocolError(
                "frame", len(self._buffer), "the rest of a frame", found, Reason.TOTAL_LENGTH
            )
            self._buffer.clear()
            raise self._failed

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
        skipped = 0 if self._spec.keep else header
        start, size = 0, len(buffer)
        try:
            while size - start >= header:
                length = self._body_bytes(bytes(buffer[start : start + header]))
                end = start + header + length
                if end > size:
                    break
                frames.append(bytes(buffer[start + skipped : end]) if length else b"")
                start = end
        finally:
            del buffer[:start]

    def _cut_measured(self, frames: list[bytes], measure: Measure) -> None:
        buffer, longest = self._buffer, self._spec.frame_bytes_max
        while buffer:
            length = measure(bytes(buffer[:longest]))
            if len(buffer) < (length or 0) <= longest or (length is None and len(buffer) <= longest):
                return
            if length is None or not 0 < length <= longest:
                raise self._too_long(length or len(buffer))
            frames.append(bytes(buffer[:length]))
            del buffer[:length]

    def _body_bytes(self, header: bytes) -> int:
        """Return how many bytes follow this header."""
        spec, row = self._spec, LENGTHS[self._spec.kind]
        number = row.read(header)
        if number is None:
            expected = f"{spec.size} {row.expected}"
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
        whole = length + (self._header_bytes if spec.keep else 0)
        if whole > spec.frame_bytes_max:
            raise self._too_long(whole)
        return length

    def _too_long(self, length: int) -> RemoteProtocolError:
        expected = f"at most {self._spec.frame_bytes_max} bytes"
        return RemoteProtocolError("frame length", 0, expected, str(length), Reason.LENGTH_TOO_LARGE)


def frame(spec: FrameSpec, body: bytes) -> bytes:
    """Return the body behind its length header; an empty body is the heartbeat.

    Where the length is kept in the message it must stand there already, and right.  Raises EncodeError when
    it does not, when the body is over `frame_bytes_max`, or when its length does not fit the header.
    """
    if len(body) > spec.frame_bytes_max:
        raise EncodeError("frame", f"at most {spec.frame_bytes_max} bytes", str(len(body)))
    row = LENGTHS.get(spec.kind)
    if row is None:
        return body
    if not body and not spec.heartbeat:
        raise EncodeError("frame", "a body of at least one byte", "0")
    kept = spec.size if spec.keep and body else 0
    number = len(body) - kept + (spec.size if spec.inclusive and body else 0)
    header = row.write(number, spec.size)
    if header is None:
        raise EncodeError("frame", f"a length of {spec.size} {row.expected}", str(number))
    if not kept:
        return header + body
    if not body.startswith(header):
        raise EncodeError("frame", f"{number} as its length", "another length at its head")
    return body
