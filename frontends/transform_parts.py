"""What the rows of `transforms` are made of: an instant, an error, a pair of functions, and their arguments.

Pure; nothing here knows a message, a bank or a clock.
"""

from collections.abc import Callable
from datetime import datetime, tzinfo
from functools import lru_cache
from typing import Any, Literal, NamedTuple

from qianzhi.domain.dates import as_number, local_datetime
from qianzhi.domain.results import Result

SECOND_US = 1_000_000


class FieldError(ValueError):
    """A value that cannot be read; `expected` is for people and never repeats what was found."""

    def __init__(self, expected: str, result: Result = Result.FORMAT) -> None:
        super().__init__(expected)
        self.expected = expected
        self.result = result


class Moment(NamedTuple):
    """One instant as a mapping needs it: local time to the second and today's date (YYYYMMDD)."""

    local: datetime
    today: int


@lru_cache(maxsize=64)
def moment_of_second(second: int, zone: tzinfo) -> Moment:
    """Return the moment of a whole second since 1970 UTC in a zone; kept, since a busy second asks often."""
    local = local_datetime(second * SECOND_US, zone)
    return Moment(local, as_number(local.date()))


Read = Callable[[Any, Moment], Any]
Write = Callable[[Any, Moment, Any], Any]  # value, moment, what stands at the path already (or None)


class Transform(NamedTuple):
    """`read` takes a wire value, `write` makes one; `width` is how many characters at most are written, or 0.

    `read` is None where the wire value says less than the domain's; `write` gives None where a value has no
    form.  `plain` says what `read` makes of the commonest form: `digits` of that width as they are, or a
    `number` of at most so many digits.  `looks` says that `write` looks at what stands at the path already,
    `text` what it writes for a text: the whole of it, or its last `width` characters.
    """

    read: Read | None
    write: Write
    width: int = 0
    plain: Literal["", "digits", "number"] = ""
    looks: bool = False
    text: Literal["", "whole", "tail"] = ""


def is_digits(text: str) -> bool:
    """Tell whether a text is ASCII digits only; `int` alone would take signs, spaces and underscores."""
    return text.isascii() and text.isdigit()


def string_of(raw: Any) -> str:
    """Return a wire value that is text; raises FieldError for any other."""
    if not isinstance(raw, str):
        raise FieldError("a plain text")
    return raw


def width_of(argument: str) -> int:
    """Return the width that a row's argument gives; raises ValueError saying what is wrong."""
    if not is_digits(argument) or not 0 < int(argument) < 10_000:
        raise ValueError("a width after the colon, such as fen:12")
    return int(argument)


def no_argument(argument: str) -> None:
    """Refuse an argument; raises ValueError."""
    if argument:
        raise ValueError("no argument after this transform's name")
