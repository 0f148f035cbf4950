"""How a value on a bank's wire becomes a value of the domain, and back: one row per way of writing it.

A profile's rows say `path|transform` or `path|transform:argument`, as in `amount|fen:12`.  A transform is a
pair of functions, so that the same row serves the front-end, which reads requests, and the bank's side, which
writes them. A new way of writing a value is a new row in TRANSFORMS, never a branch elsewhere.  Nothing here
knows a message, a bank or a clock: the instant is given as a `Moment`.  Dates are in `transform_dates`.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

from frontends.transform_dates import DATES
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
from qianzhi.domain.money import MoneyError, fen_from_yuan, yuan_from_fen
from qianzhi.domain.results import Result

__all__ = ["SECOND_US", "TRANSFORMS", "FieldError", "Moment", "Transform", "moment_of_second", "transform_of"]


def transform_of(text: str) -> Transform:
    """Return the transform named `name` or `name:argument`; raises ValueError saying what is wrong."""
    name, _, argument = text.partition(":")
    make = TRANSFORMS.get(name)
    if make is None:
        raise ValueError(f"a transform among {', '.join(sorted(TRANSFORMS))}")
    return make(argument)


def _text(argument: str) -> Transform:
    no_argument(argument)
    return Transform(lambda raw, _: string_of(raw).strip(" "), lambda value, _, __: str(value), text="whole")


def _digits(argument: str) -> Transform:
    width = width_of(argument)

    def read(raw: Any, _: Moment) -> str:
        text = string_of(raw).strip(" ")
        if len(text) != width or not is_digits(text):
            raise FieldError(f"{width} digits")
        return text

    return Transform(read, lambda value, _, __: str(value), width, "digits", text="whole")


def _word(argument: str) -> Transform:
    width = width_of(argument)

    def read(raw: Any, _: Moment) -> str:
        text = string_of(raw).strip(" ")
        if not 0 < len(text) <= width or not (text.isascii() and text.isalnum()):
            raise FieldError(f"1 to {width} ASCII letters and digits")
        return text

    return Transform(read, lambda value, _, __: str(value), width, text="whole")


def _fen(argument: str) -> Transform:
    width = width_of(argument)

    def read(raw: Any, _: Moment) -> int:
        text = string_of(raw).strip(" ")
        if not is_digits(text) or len(text) > width:
            raise FieldError(f"an amount in fen of up to {width} digits", _amount_result(text))
        return int(text)

    return Transform(read, lambda value, _, __: _whole(value, width), width, "number")


def _fen_bare(argument: str) -> Transform:
    """An amount in fen without leading zeros; a negative one has no form and is left out."""
    read = _fen(argument).read
    width = width_of(argument)

    def write(value: int, _: Moment, __: Any) -> str | None:
        return _bare(value, width) if value >= 0 else None

    return Transform(read, write, width, "number")


def _yuan(argument: str) -> Transform:
    """An amount in yuan; a negative one, such as a book in arrears, has no form and is left out."""
    width = width_of(argument)

    def read(raw: Any, _: Moment) -> int:
        text = string_of(raw).strip(" ")
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
    width = width_of(argument)

    def read(raw: Any, _: Moment) -> int:
        text = string_of(raw).strip(" ")
        if not is_digits(text) or len(text) > width:
            raise FieldError(f"a number of up to {width} digits")
        return int(text)

    return Transform(read, lambda value, _, __: _whole(value, width), width, "number")


def _number_bare(argument: str) -> Transform:
    """A number without leading zeros."""
    width = width_of(argument)
    return Transform(_number(argument).read, lambda value, _, __: _bare(value, width), width, "number")


def _count(argument: str) -> Transform:
    """How many entries a list has, in `argument` digits, or in as many as it takes."""
    width = width_of(argument) if argument else 0
    return Transform(None, lambda value, _, __: _whole(len(value), width), width)


def _flag(argument: str) -> Transform:
    no_argument(argument)

    def read(raw: Any, _: Moment) -> bool:
        text = string_of(raw)
        if text not in {"0", "1"}:
            raise FieldError("0 or 1")
        return text == "1"

    return Transform(read, lambda value, _, __: "1" if value else "0", 1)


def _zeros_left(argument: str) -> Transform:
    width = width_of(argument)
    return Transform(
        lambda raw, _: string_of(raw).lstrip("0"), lambda value, _, __: str(value).rjust(width, "0"), width
    )


def _spaces_right(argument: str) -> Transform:
    width = width_of(argument)
    return Transform(
        lambda raw, _: string_of(raw).rstrip(" "), lambda value, _, __: str(value).ljust(width, " "), width
    )


def _tail(argument: str) -> Transform:
    """The last characters of a longer value; what was cut off cannot be read back."""
    width = width_of(argument)
    return Transform(None, lambda value, _, __: str(value)[-width:], width, text="tail")


def _balance(argument: str) -> Transform:
    """One balance with its sign; the argument is `account type,amount type,currency`."""
    parts = argument.split(",")
    if len(parts) != 3:
        raise ValueError("a balance as balance:ACCOUNT_TYPE,AMOUNT_TYPE,CURRENCY")

    def read(raw: Any, _: Moment) -> int:
        entry = raw[0] if isinstance(raw, list) and raw else None
        if not isinstance(entry, dict) or not is_digits(string_of(entry.get("amount"))):
            raise FieldError("a balance with sign and amount")
        return int(entry["amount"]) * (-1 if entry.get("sign") == "D" else 1)

    account, amounts, currency = parts

    def write(value: int, _: Moment, __: Any) -> list[dict[str, str]]:
        return [
            {
                "account_type": account,
                "amount_type": amounts,
                "currency": currency,
                "sign": "D" if value < 0 else "C",
                "amount": _whole(abs(value), 12),
            }
        ]

    return Transform(read, write)


def _response_mti(argument: str) -> Transform:
    """The message type that answers another: 0200 gives 0210, 0820 gives 0830."""
    no_argument(argument)

    return Transform(None, lambda value, _, __: _answering(str(value)), 4)


@lru_cache(maxsize=256)  # there are few, and each message asks
def _answering(mti: str) -> str:
    if len(mti) == 4 and is_digits(mti) and int(mti[2]) % 2 == 0:
        return f"{mti[:2]}{int(mti[2]) + 1}{mti[3]}"
    return mti


def _head(argument: str) -> Transform:
    """The first characters of a longer value, as the class in a message type."""
    width = width_of(argument)
    return Transform(None, lambda value, _, __: str(value)[:width], width)


def _whole(value: int, width: int) -> str:
    """Write a number of fixed width; an invariant of ours, since a cut amount would be another amount."""
    text = str(value).zfill(width)
    if value < 0 or (width and len(text) > width):
        raise ValueError(f"a number that does not fit {width} digits cannot be written")
    return text


def _bare(value: int, width: int) -> str:
    """Write a number as short as it is, within its width."""
    return str(value) if len(str(value)) <= width else _whole(value, width)


TRANSFORMS: dict[str, Callable[[str], Transform]] = {
    "text": _text,
    "digits": _digits,
    "word": _word,
    "fen": _fen,
    "fen_bare": _fen_bare,
    "yuan": _yuan,
    "number": _number,
    "number_bare": _number_bare,
    "count": _count,
    "flag": _flag,
    "zeros_left": _zeros_left,
    "spaces_right": _spaces_right,
    "tail": _tail,
    "head": _head,
    "balance": _balance,
    "response_mti": _response_mti,
    **DATES,
}
