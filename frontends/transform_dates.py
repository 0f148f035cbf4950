"""Dates and clocks on the wire: the rows of `transforms` that read or write them.  Pure."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from frontends.transform_parts import (
    SECOND_US,
    FieldError,
    Moment,
    Transform,
    is_digits,
    moment_of_second,
    no_argument,
    string_of,
    width_of,
)
from qianzhi.domain.dates import as_date, date_of


def _mmdd(argument: str) -> Transform:
    """Month and day at the head of a time stamp of `argument` digits; the year is that of `dates.date_of`."""
    width = width_of(argument)
    if width < 4:
        raise ValueError("a width of at least the date's 4 digits, such as mmdd:10")

    def read(raw: Any, moment: Moment) -> int:
        text = string_of(raw)
        if len(text) != width or not is_digits(text):
            raise FieldError(f"{width} digits that begin with month and day")
        try:
            return date_of(text[:4], moment.today)
        except ValueError as error:
            raise FieldError("a month and day that exist") from error

    def write(value: int, _: Moment, old: Any) -> str:
        rest = old[4:] if isinstance(old, str) and len(old) == width else "0" * (width - 4)
        return f"{value % 10_000:04d}{rest}"

    return Transform(read, write, width, looks=True)


def _date8(argument: str) -> Transform:
    no_argument(argument)

    def read(raw: Any, _: Moment) -> int:
        text = string_of(raw)
        if len(text) != 8 or not is_digits(text):
            raise FieldError("a date of eight digits, YYYYMMDD")
        return _existing(text, "YYYYMMDD")

    return Transform(read, lambda value, _, __: f"{value:08d}", 8)


def _date6(argument: str) -> Transform:
    """A date of six digits, YYMMDD, of this century."""
    no_argument(argument)

    def read(raw: Any, _: Moment) -> int:
        text = string_of(raw)
        if len(text) != 6 or not is_digits(text):
            raise FieldError("a date of six digits, YYMMDD")
        return _existing(f"20{text}", "YYMMDD")

    return Transform(read, lambda value, _, __: f"{value % 1_000_000:06d}", 6)


def _date_head(argument: str) -> Transform:
    """Year, month and day at the head of a time stamp of `argument` digits, YYYYMMDDhhmmss for one."""
    width = width_of(argument)
    if width < 8:
        raise ValueError("a width of at least the date's 8 digits, such as date_head:14")

    def read(raw: Any, _: Moment) -> int:
        text = string_of(raw)
        if len(text) != width or not is_digits(text):
            raise FieldError(f"{width} digits that begin with YYYYMMDD")
        return _existing(text[:8], "YYYYMMDD")

    def write(value: int, _: Moment, old: Any) -> str:
        rest = old[8:] if isinstance(old, str) and len(old) == width else "0" * (width - 8)
        return f"{value:08d}{rest}"

    return Transform(read, write, width, looks=True)


def _existing(text: str, form: str) -> int:
    """Return eight digits as a date; raises FieldError when there is no such day."""
    try:
        as_date(int(text))
    except ValueError as error:
        raise FieldError(f"a date that exists, {form}") from error
    return int(text)


def _clock(argument: str) -> Transform:
    """The local time of the instant itself; the value that is given plays no part."""
    show = CLOCKS.get(argument)
    if show is None:
        raise ValueError(f"a clock among {', '.join(CLOCKS)}")
    return Transform(None, lambda _, moment, __: show(moment.local), len(argument))


def _stamp(argument: str) -> Transform:
    """The local time of an instant in microseconds; a date that stands there already is left as it is."""
    show = CLOCKS.get(argument)
    if show is None or not argument.endswith(TIME):
        raise ValueError(f"a clock among {', '.join(name for name in CLOCKS if name.endswith(TIME))}")

    def write(value: int, moment: Moment, old: Any) -> str | None:
        if not value:
            return None
        text = show(moment_of_second(value // SECOND_US, moment.local.tzinfo or UTC).local)
        dated = isinstance(old, str) and len(old) == len(text)
        return old[: -len(TIME)] + text[-len(TIME) :] if dated else text

    return Transform(None, write, len(argument), looks=True)


def _date_mmdd(argument: str) -> Transform:
    """Month and day of a date, for stamps that are never read back."""
    no_argument(argument)
    return Transform(None, lambda value, _, __: f"{value % 10_000:04d}", 4)


TIME = "hhmmss"
CLOCKS: dict[str, Callable[[datetime], str]] = {
    "YYYYMMDD": lambda t: f"{t.year:04d}{t.month:02d}{t.day:02d}",
    "YYMMDD": lambda t: f"{t.year % 100:02d}{t.month:02d}{t.day:02d}",
    "YYYYMMDDhhmmss": lambda t: t.strftime("%Y%m%d%H%M%S"),
    "YYMMDDhhmmss": lambda t: t.strftime("%y%m%d%H%M%S"),
    "MMDDhhmmss": lambda t: f"{t.month:02d}{t.day:02d}{t.hour:02d}{t.minute:02d}{t.second:02d}",
    "MMDD": lambda t: f"{t.month:02d}{t.day:02d}",
    "hhmmss": lambda t: f"{t.hour:02d}{t.minute:02d}{t.second:02d}",
}

DATES: dict[str, Callable[[str], Transform]] = {
    "mmdd": _mmdd,
    "date8": _date8,
    "date6": _date6,
    "date_head": _date_head,
    "date_mmdd": _date_mmdd,
    "clock": _clock,
    "stamp": _stamp,
}
