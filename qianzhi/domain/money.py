"""Amounts in fen: reading them from people's and banks' text, and writing them for people."""

# The widest amount that anything here accepts; a field of a message or a bank's limit is often narrower.
AMOUNT_FEN_MAX = 99_999_999_99


class MoneyError(ValueError):
    """A text that is no amount; the message never repeats the text."""


def fen_from_yuan(text: str) -> int:
    """Read yuan with at most two decimals, as people write it (`50`, `50.5`, `50.00`); no sign, no spaces."""
    whole, dot, decimals = text.partition(".")
    digits = whole + decimals
    if (
        not whole
        or not (digits.isascii() and digits.isdigit())
        or len(decimals) > 2
        or (dot and not decimals)
    ):
        raise MoneyError("an amount in yuan is digits with at most two decimals, such as 50.00")
    if len(whole) > 10:
        raise MoneyError("an amount in yuan has at most ten digits before the point")
    return int(whole) * 100 + int(decimals.ljust(2, "0") or "0")


def yuan_from_fen(amount_fen: int) -> str:
    """Write fen as yuan with two decimals and no separators."""
    sign = "-" if amount_fen < 0 else ""
    return f"{sign}{abs(amount_fen) // 100}.{abs(amount_fen) % 100:02d}"
