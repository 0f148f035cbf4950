"""How a value on a bank's wire becomes a value of the domain, and back: one row per way of writing it.

A profile's rows say `path|transform` or `path|transform:argument`, as in `amount|fen:12`.  A transform is a
pair of functions, so that the same row serves the front-end, which reads requests, and the bank's side, which
writes them. A new way of writing a value is a new row in TRANSFORMS, never a branch elsewhere.  Nothing here
knows a message, a bank or a clock: the instant is given as a `Moment`.
"""

from collections.abc import Callable
from datetime import datetime, tzinfo
from functools import lru_cache
from typing import Any, NamedTuple

from qianzhi.domain.dates import as_date, as_number, local_datetime, nearest_year
from qianzhi.domain.money import MoneyError, fen_from_yuan, yuan_from_fen
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
    form.
    """

    read: Read | None
    write: Write
    width: int = 0


def transform_of(text: str) -> Transform:
    """Return the transform named `name` or `name:argument`; raises ValueError saying what is wrong."""
    name, _, argument = text.partition(":")
    make = TRANSFORMS.get(name)
    if make is None:
        raise ValueError(f"a transform among {', '.join(sorted(TRANSFORMS))}")
    return make(argument)


def is_digits(text: str) -> bool:
    """Tell whether a text is ASCII digits only; `int` alone would take signs, spaces and underscores."""
    return text.isascii() and text.isdigit()


def _text(argument: str) -> Transform:
    _no_argument(argument)
    return Transform(lambda raw, _: _string(raw).strip(" "), lambda value, _, __: str(value))


def _digits(argument: str) -> Transform:
    width = _width(argument)

    def read(raw: Any, _: Moment) -> str:
        text = _string(raw).strip(" ")
        if len(text) != width or not is_digits(text):
            raise FieldError(f"{width} digits")
        return text

    return Transform(read, lambda value, _, __: str(value), width)


def _word(argument: str) -> Transform:
    width = _width(argument)

    def read(raw: Any, _: Moment) -> str:
        text = _string(raw).strip(" ")
        if not 0 < len(text) <= width or not (text.isascii() and text.isalnum()):
            raise FieldError(f"1 to {width} ASCII letters and digits")
        return text

    return Transform(read, lambda value, _, __: str(value), width)


def _fen(argument: str) -> Transform:
    width = _width(argument)

    def read(raw: Any, _: Moment) -> int:
        text = _string(raw).strip(" ")
        if not is_digits(text) or len(text) > width:
            raise FieldError(f"an amount in fen of up to {width} digits", _amount_result(text))
        return int(text)

    return Transform(read, lambda value, _, __: _whole(value, width), width)


def _yuan(argument: str) -> Transform:
    """An amount in yuan; a negative one, such as a book in arrears, has no form and is left out."""
    width = _width(argument)

    def read(raw: Any, _: Moment) -> int:
        text = _string(raw).strip(" ")
        try:
            return fen_from_yuan(text)
        except MoneyError as error:
            raise FieldError("an amount in yuan such as 50.00", _amount_result(text)) from error

    def write(value: int, _: Moment, __: Any) -> str | None:
        return yuan_from_fen(value) if value >= 0 else None

    return Transform(read, write, width)


def _amount_result(text: str) -> Result:
    """A number that is no amount is a wrong amount, anything else a format error."""
    sign, rest = text[:1], text[1:]
    body = rest if sign in {"-", "+"} else text
    return Result.BAD_AMOUNT if body and is_digits(body.replace(".", "", 1)) else Result.FORMAT


def _number(argument: str) -> Transform:
    width = _width(argument)

    def read(raw: Any, _: Moment) -> int:
        text = _string(raw).strip(" ")
        if not is_digits(text) or len(text) > width:
            raise FieldError(f"a number of up to {width} digits")
        return int(text)

    return Transform(read, lambda value, _, __: _whole(value, width), width)


def _count(argument: str) -> Transform:
    """How many entries a list has, in `argument` digits, or in as many as it takes."""
    width = _width(argument) if argument else 0
    return Transform(None, lambda value, _, __: _whole(len(value), width), width)


def _mmdd(argument: str) -> Transform:
    """Month and day at the head of a time stamp of `argument` digits; the year is the nearest one."""
    width = _width(argument)

    def read(raw: Any, moment: Moment) -> int:
        text = _string(raw)
        if len(text) != width or not is_digits(text):
            raise FieldError(f"{width} digits that begin with month and day")
        try:
            return nearest_year(text[:4], moment.today)
        except ValueError as error:
            raise FieldError("a month and day that exist") from error

    def write(value: int, _: Moment, old: Any) -> str:
        rest = old[4:] if isinstance(old, str) and len(old) == width else "0" * (width - 4)
        return f"{value % 10_000:04d}{rest}"

    return Transform(read, write, width)


def _date8(argument: str) -> Transform:
    _no_argument(argument)

    def read(raw: Any, _: Moment) -> int:
        text = _string(raw)
        if len(text) != 8 or not is_digits(text):
            raise FieldError("a date of eight digits, YYYYMMDD")
        try:
            as_date(int(text))
        except ValueError as error:
            raise FieldError("a date that exists, YYYYMMDD") from error
        return int(text)

    return Transform(read, lambda value, _, __: f"{value:08d}", 8)


def _flag(argument: str) -> Transform:
    _no_argument(argument)

    def read(raw: Any, _: Moment) -> bool:
        text = _string(raw)
        if text not in {"0", "1"}:
            raise FieldError("0 or 1")
        return text == "1"

    return Transform(read, lambda value, _, __: "1" if value else "0", 1)


def _zeros_left(argument: str) -> Transform:
    width = _width(argument)
    return Transform(
        lambda raw, _: _string(raw).lstrip("0"), lambda value, _, __: str(value).rjust(width, "0"), width
    )


def _spaces_right(argument: str) -> Transform:
    width = _width(argument)
    return Transform(
        lambda raw, _: _string(raw).rstrip(" "), lambda value, _, __: str(value).ljust(width, " "), width
    )


def _tail(argument: str) -> Transform:
    """The last characters of a longer value; what was cut off cannot be read back."""
    width = _width(argument)
    return Transform(None, lambda value, _, __: str(value)[-width:], width)


def _clock(argument: str) -> Transform:
    """The local time of the instant itself; the value that is given plays no part."""
    show = CLOCKS.get(argument)
    if show is None:
        raise ValueError(f"a clock among {', '.join(CLOCKS)}")
    return Transform(None, lambda _, moment, __: show(moment.local), len(argument))


def _date_mmdd(argument: str) -> Transform:
    """Month and day of a date, for stamps that are never read back."""
    _no_argument(argument)
    return Transform(None, lambda value, _, __: f"{value % 10_000:04d}", 4)


def _balance(argument: str) -> Transform:
    """One balance with its sign; the argument is `account type,amount type,currency`."""
    parts = argument.split(",")
    if len(parts) != 3:
        raise ValueError("a balance as balance:ACCOUNT_TYPE,AMOUNT_TYPE,CURRENCY")

    def read(raw: Any, _: Moment) -> int:
        entry = raw[0] if isinstance(raw, list) and raw else None
        if not isinstance(entry, dict) or not is_digits(_string(entry.get("amount"))):
            raise FieldError("a balance with sign and amount")
        return int(entry["amount"]) * (-1 if entry.get("sign") == "D" else 1)

    def write(value: int, _: Moment, __: Any) -> list[dict[str, str]]:
        sign = "D" if value < 0 else "C"
        amount = _whole(abs(value), 12)
        names = ("account_type", "amount_type", "currency", "sign", "amount")
        return [dict(zip(names, (*parts, sign, amount), strict=True))]

    return Transform(read, write)


def _response_mti(argument: str) -> Transform:
    """The message type that answers another: 0200 gives 0210, 0820 gives 0830."""
    _no_argument(argument)

    def write(value: Any, _: Moment, __: Any) -> str:
        text = str(value)
        if len(text) == 4 and is_digits(text) and int(text[2]) % 2 == 0:
            return f"{text[:2]}{int(text[2]) + 1}{text[3]}"
        return text

    return Transform(None, write, 4)


def _head(argument: str) -> Transform:
    """The first characters of a longer value, as the class in a message type."""
    width = _width(argument)
    return Transform(None, lambda value, _, __: str(value)[:width], width)


def _string(raw: Any) -> str:
    if not isinstance(raw, str):
        raise FieldError("a plain text")
    return raw


def _whole(value: int, width: int) -> str:
    """Write a number of fixed width; an invariant of ours, since a cut amount would be another amount."""
    text = str(value).rjust(width, "0")
    if value < 0 or (width and len(text) > width):
        raise ValueError(f"a number that does not fit {width} digits cannot be written")
    return text


def _width(argument: str) -> int:
    if not is_digits(argument) or not 0 < int(argument) < 10_000:
        raise ValueError("a width after the colon, such as fen:12")
    return int(argument)


def _no_argument(argument: str) -> None:
    if argument:
        raise ValueError("no argument after this transform's name")


CLOCKS: dict[str, Callable[[datetime], str]] = {
    "YYYYMMDD": lambda t: f"{t.year:04d}{t.month:02d}{t.day:02d}",
    "MMDDhhmmss": lambda t: f"{t.month:02d}{t.day:02d}{t.hour:02d}{t.minute:02d}{t.second:02d}",
    "MMDD": lambda t: f"{t.month:02d}{t.day:02d}",
    "hhmmss": lambda t: f"{t.hour:02d}{t.minute:02d}{t.second:02d}",
}

TRANSFORMS: dict[str, Callable[[str], Transform]] = {
    "text": _text,
    "digits": _digits,
    "word": _word,
    "fen": _fen,
    "yuan": _yuan,
    "number": _number,
    "count": _count,
    "mmdd": _mmdd,
    "date8": _date8,
    "date_mmdd": _date_mmdd,
    "flag": _flag,
    "zeros_left": _zeros_left,
    "spaces_right": _spaces_right,
    "tail": _tail,
    "head": _head,
    "clock": _clock,
    "balance": _balance,
    "response_mti": _response_mti,
}
