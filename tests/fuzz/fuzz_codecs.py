"""What must hold of any codec and any bytes; one call is one execution.

Bytes decode, or only the declared error is raised; what was decoded can be written, and reads back the same;
no secret is in a mask, a dump or an error.
"""

from collections.abc import Callable, Iterator
from typing import Any

from qianzhi.wire.codec import Codec, Message, Side
from qianzhi.wire.errors import EncodeError, RemoteProtocolError

ERROR_CHARACTERS_MAX = 400
SIDES: tuple[Side, Side] = ("before", "after")
UNREAD_PATH = "body.unread"
SECRET_CHARACTERS_MIN = 8  # shorter ones occur by chance
HEADS = ("mti", "bitmap")  # no values, and yet a value may happen to read like them


def codec_check(codec: Codec) -> Callable[[bytes], None]:
    """Return the check of one codec."""

    def check(data: bytes) -> None:
        masked = codec.mask(data)
        assert len(masked) == len(data), "a mask keeps the length"
        check_covered(codec, data)
        try:
            message = codec.decode(data)
        except RemoteProtocolError as error:
            check_error(error, data)
            views = codec.describe(data)
            assert all(0 <= view.offset <= len(data) for view in views), "a dump stays within the body"
            return
        check_round_trip(codec, message)
        check_secrets(codec, message, data, masked)
        check_measure(codec, data)

    return check


def check_error(error: RemoteProtocolError, data: bytes) -> None:
    """An error is short, within the body, and repeats nothing long of it."""
    text = str(error)
    assert len(text) <= ERROR_CHARACTERS_MAX, f"an error of {len(text)} characters"
    assert 0 <= error.offset <= len(data), f"{error.field} at {error.offset} of {len(data)}"
    for run in _digit_runs(error.found):
        assert len(run) < SECRET_CHARACTERS_MIN + 5, "an error shows a number as long as a card's"


def _digit_runs(text: str) -> Iterator[str]:
    run = ""
    for character in text + " ":
        if character.isdigit():
            run += character
        elif run:
            yield run
            run = ""


def check_round_trip(codec: Codec, message: Message) -> None:
    """What was read can be written, and what was written is read as the same."""
    body = codec.encode(message)
    again = codec.decode(body)
    assert again == message, f"{message} became {again}"


def check_secrets(codec: Codec, message: Message, data: bytes, masked: bytes) -> None:
    """A sensitive value that stands in one place only is nowhere in the mask or the dump."""
    leaves = list(_leaves(message, ""))
    shown = codec.describe(data)
    views = [view.value for view in shown]
    heads = [view.value for view in shown if view.path in HEADS]
    for at, (path, value) in enumerate(leaves):
        if not codec.sensitive(path) or len(value) < SECRET_CHARACTERS_MIN or "*" in str(value):
            continue
        raw, text = _forms(value)
        others = [_forms(other) for place, (_, other) in enumerate(leaves) if place != at]
        if path == UNREAD_PATH and raw is not None and b"=" in raw:
            continue  # named values say themselves which of them are secrets
        if (
            raw is None
            or data.count(raw) > 1
            or any(text in other for _, other in others)
            or any(text in head for head in heads)
            or len(set(text)) < 3
        ):
            continue
        assert raw not in masked, f"{path} is not masked"
        assert not any(text in view for view in views), f"{path} is shown"


def _leaves(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Yield every text or bytes of a message with its path, lists without their numbers."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _leaves(inner, f"{path}.{name}" if path else str(name))
    elif isinstance(value, list):
        for inner in value:
            yield from _leaves(inner, path)
    else:
        yield path, value


def _forms(value: Any) -> tuple[bytes | None, str]:
    """Return a value as it may stand in a body in ASCII, and as a dump would show it."""
    if isinstance(value, bytes):
        return value, value.hex().upper()
    text = str(value)
    return (text.encode("ascii") if text.isascii() else None), text


def check_covered(codec: Codec, data: bytes) -> None:
    """What a MAC covers is a stretch of the message, or the declared error."""
    for side in SIDES:
        try:
            part = codec.covered(data, "mac", side)
        except EncodeError:
            continue
        assert part in data, "a MAC covers what is not there"


def check_measure(codec: Codec, data: bytes) -> None:
    """A whole message measures as its own size, with another behind it too; a beginning never as less."""
    try:
        size = codec.measure(data + data)
    except RemoteProtocolError:
        return  # a dialect whose messages do not show their end
    assert size == len(data), f"{len(data)} bytes measure as {size}"
    assert codec.measure(data[:-1]) in (None, size), "a beginning has an end"
