"""What a user gave as messages, turned into bodies: hex or raw bytes, from the framing, header or body on.

Nobody says in which of these forms a message is given, so each form that is possible is tried, and the one of
which the dialect can read most is taken; of equals the first.

    hex in one piece ─┐
    hex, line by line ─┼─▶ with the line's framing, whole frames ─┐
    the bytes as given ─┤   without it, one body                   ┼─▶ the reading that leaves least unread
    … line by line ─────┘                                          ─┘
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from string import hexdigits
from typing import TYPE_CHECKING, NamedTuple

from frontends.mapping import Sort
from qianzhi.cli.output import USAGE, CommandError
from qianzhi.wire.errors import RemoteProtocolError
from qianzhi.wire.framing import FrameReader
from qianzhi.wire.items import FieldView

if TYPE_CHECKING:
    from frontends.profile import Profile

INPUT_BYTES_MAX = 1 << 20
PIECES_MAX = 10_000
NAME_CHARACTERS_MAX = 255  # a longer text cannot be a file's name
NOT_WHOLE = "a frame that is not whole"
UNREADABLE = "!"  # the tag of the view that says from where on a body cannot be read


class Piece(NamedTuple):
    """One message found in the input: where its body begins, the prefix before it, and its masked fields.

    A heartbeat has no body.
    """

    offset: int
    prefix_bytes: int
    body: bytes
    views: list[FieldView]

    @property
    def fault(self) -> FieldView | None:
        """The view that says from where on, and why, the body cannot be read."""
        return next((view for view in self.views if view.tag == UNREADABLE), None)

    @property
    def unread(self) -> int:
        """How many bytes could not be read; a fault at the very end counts as one."""
        return max(1, len(self.body) - self.fault.offset) if self.fault else 0


class Reading(NamedTuple):
    """The messages of an input, and what is wrong with the framing after the last of them."""

    pieces: list[Piece]
    fault: str = ""
    rest: int = 0

    @property
    def unread(self) -> int:
        """How many bytes of the input could not be read."""
        return self.rest + sum(piece.unread for piece in self.pieces)


def given_bytes(text: str) -> tuple[bytes, bool]:
    """Return what an argument means, and whether it was typed as it stands: `-` standard input, or a file.

    Raises CommandError for a file that cannot be read and for more than a megabyte.
    """
    if text == "-":
        data = sys.stdin.buffer.read(INPUT_BYTES_MAX + 1)
    else:
        try:
            if not Path(text).is_file():
                return text.encode("utf-8", "surrogateescape"), True
            with Path(text).open("rb") as file:
                data = file.read(INPUT_BYTES_MAX + 1)
        except (OSError, ValueError) as error:
            if len(text) <= NAME_CHARACTERS_MAX and isinstance(error, OSError):
                raise CommandError(USAGE, f"{text}: {error.strerror}") from error
            return text.encode("utf-8", "surrogateescape"), True
    if len(data) > INPUT_BYTES_MAX:
        raise CommandError(USAGE, f"more than {INPUT_BYTES_MAX} bytes", "give fewer messages at a time")
    return data, False


def read_messages(profile: "Profile", text: str) -> Reading:
    """Return the messages that an argument means; raises CommandError when it means nothing at all."""
    data, typed = given_bytes(text)
    if not data.strip():
        raise CommandError(USAGE, "the input is empty", "give hex digits, a file's name, or - for stdin")
    charset = charset_of(profile)
    if typed and from_hex(data) is None:
        if not charset:
            raise CommandError(
                USAGE,
                no_hex(text),
                f"give hex digits, a file's name, or - for stdin; {profile.name} speaks no plain text",
            )
        data = text.encode(charset, "replace")
    found = best(profile, data, typed)
    if typed and from_hex(data) is None and not any(piece.views for piece in found.pieces):
        raise CommandError(USAGE, "this is no hex, no file and no message", "see `qianzhi describe -h`")
    return found


def no_hex(text: str) -> str:
    """Say what keeps an argument, which is no file, from being hex."""
    digits = "".join(text.split())
    if all(sign in hexdigits for sign in digits):
        return f"{len(digits)} hex digits are no whole bytes: the number is odd"
    return "this is no hex and no file"


def charset_of(profile: "Profile") -> str:
    """Return the character set of a dialect whose whole messages are text, empty for any other."""
    return "" if profile.spec.get("kind") == "iso8583" else str(profile.spec.get("charset", "utf-8"))


def best(profile: "Profile", data: bytes, typed: bool) -> Reading:
    """Return the reading that leaves least unread; hex goes before the same characters taken as bytes."""
    readings: list[Reading] = []
    as_hex = from_hex(data) is not None
    for parts, decoded in forms(data, typed and not charset_of(profile)):
        for framed in (True, False):
            reading = read_parts(profile, parts, framed)
            if reading is not None and as_hex and not decoded and not is_known(profile, reading):
                continue  # almost any text is a message of some dialect of fixed fields
            if reading is not None and not reading.unread:
                return reading
            if reading is not None:
                readings.append(reading)
    return min(readings, key=lambda reading: reading.unread)


def is_known(profile: "Profile", reading: Reading) -> bool:
    """Tell whether everything read is a message that the profile has a name for."""
    try:
        messages = [profile.codec.decode(piece.body) for piece in reading.pieces if piece.body]
    except RemoteProtocolError:
        return False
    mapping = profile.mapping
    return all(
        mapping.sort_of(each) is Sort.ANSWER or mapping.transaction_of(each) or mapping.management_of(each)
        for each in messages
    )


def forms(data: bytes, only_hex: bool) -> Iterator[tuple[list[bytes], bool]]:
    """Yield what the input may stand for, as pieces that hold whole messages, and whether it was hex."""
    lines = [line for line in data.splitlines() if line.strip()][:PIECES_MAX]
    whole = from_hex(data)
    if whole is not None:
        yield [whole], True
        each = [from_hex(line) for line in lines]
        known = [part for part in each if part is not None]
        if len(lines) > 1 and len(known) == len(lines):
            yield known, True
    if whole is None or not only_hex:
        yield [data], False
        ending = data.rstrip(b"\r\n")
        if ending != data:
            yield [ending], False
        if len(lines) > 1:
            yield lines, False


def from_hex(data: bytes) -> bytes | None:
    """Return what hex digits stand for, blanks aside; None for anything else."""
    digits = b"".join(data.split())
    try:
        return bytes.fromhex(digits.decode("ascii")) or None
    except ValueError:
        return None


def read_parts(profile: "Profile", parts: list[bytes], framed: bool) -> Reading | None:
    """Read each part by the line's framing, or as one body; None where the line has no framing."""
    if framed and profile.frame.kind == "none":
        return None
    pieces: list[Piece] = []
    at = 0
    for part in parts:
        if not framed:
            pieces.append(Piece(at, 0, part, views_of(profile, part)))
        else:
            found, fault, rest = cut(profile, part, at)
            pieces += found
            if fault or not found:
                return Reading(pieces, fault, rest)
        at += len(part)
    return Reading(pieces)


def views_of(profile: "Profile", body: bytes) -> list[FieldView]:
    """Return a masked dump that also tells a value which the dialect refuses.

    A dump alone looks at where fields begin and end.  Of a masked message, as `trace` shows one, the stars
    are no fault, nor is a header that was left away.
    """
    views = profile.codec.describe(body)
    if any(view.tag == UNREADABLE for view in views):
        return views
    try:
        profile.codec.decode(body)
    except RemoteProtocolError as error:
        if not is_starred(views, body, error) and not lacks_header(views, error):
            text = f"expected {error.expected}, found {error.found}"
            left = max(len(body) - error.offset, 0)
            views.append(
                FieldView(error.field, UNREADABLE, "Not readable 无法解析", error.offset, left, text)
            )
    return views


def is_starred(views: list[FieldView], body: bytes, error: RemoteProtocolError) -> bool:
    """Tell whether it is stars in place of a secret that cannot be read, in the field itself or somewhere."""
    own = [body[view.offset : view.offset + view.length] for view in views if view.path == error.field]
    return b"*" in (b"".join(own) if own else body)


def lacks_header(views: list[FieldView], error: RemoteProtocolError) -> bool:
    """Tell whether it is a header that cannot be read, of a message that was given without one."""
    shown = any(view.path.startswith("header") for view in views)
    return error.field.partition(".")[0] == "header" and not shown


def cut(profile: "Profile", data: bytes, start: int) -> tuple[list[Piece], str, int]:
    """Cut data into frames; return the messages, what is wrong after them, and how many bytes that leaves."""
    spec = profile.frame
    reader = FrameReader(spec, profile.codec.measure if spec.kind == "message" else None)
    fault = ""
    try:
        frames = reader.receive_data(data)
    except RemoteProtocolError as error:
        return [], str(error), len(data)
    if reader.fault is not None:
        fault = str(reader.fault)
    prefix_bytes = 0 if spec.kind == "message" or spec.keep else spec.size
    pieces, at = [], 0
    for body in frames[:PIECES_MAX]:
        at += prefix_bytes
        pieces.append(Piece(start + at, prefix_bytes, body, views_of(profile, body) if body else []))
        at += len(body)
    rest = len(data) - at
    if rest and not fault:  # what has come of a frame that is not whole is shown as far as it goes
        body = data[at + prefix_bytes :]
        pieces.append(Piece(start + at + prefix_bytes, prefix_bytes, body, views_of(profile, body)))
        header = data[at : at + prefix_bytes].hex().upper()
        fault = f"{NOT_WHOLE}: {len(body)} bytes after the length header {header}"
        rest = 1
    return pieces, fault, rest
