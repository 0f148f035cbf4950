"""What may be seen of card numbers, phones and secrets; pure, used by logs, events and everything that is
shown.

A card number 主账号 keeps its first six and last four digits, a phone its first three and last four, a secret
nothing. A card number is found anywhere by its shape (13 to 19 digits with a right check digit, PCI DSS
3.4.1); phones and secrets are found by the name of the field that holds them, because eleven digits may be
anything.
"""

import re
from collections.abc import Mapping
from typing import Any

PAN_DIGITS_MIN, PAN_DIGITS_MAX = 13, 19
DEPTH_MAX = 8

PAN_FIELDS = frozenset({"pan", "card", "card_no", "cardno", "account1", "account2"})
PHONE_FIELDS = frozenset({"phone", "msisdn", "mobile"})
SECRET_FIELDS = frozenset(
    {
        "pin",
        "pin_block",
        "track1",
        "track2",
        "track3",
        "cvv",
        "cvn",
        "mac_key",
        "pin_key",
        "master_key",
        "password",
    }
    | {"secret", "token", "key_data", "working_key", "site_key"}
)

# Our own and the banks' names of requests: long runs of digits that operators must be able to read and search
# for.
IDENTIFIER_FIELDS = frozenset({"key", "serial", "order", "trace"})

# Digits that may be parted by single blanks or dashes, as people write card numbers.
_DIGIT_RUN = re.compile(r"\d(?:[ -]?\d){12,}", re.ASCII)
_DOUBLED = (0, 2, 4, 6, 8, 1, 3, 5, 7, 9)


def mask_pan(text: str) -> str:
    """Show the first six and last four digits; anything of fewer than thirteen characters disappears
    whole."""
    if len(text) < PAN_DIGITS_MIN:
        return "*" * len(text)
    return text[:6] + "*" * (len(text) - 10) + text[-4:]


def mask_phone(text: str) -> str:
    """Show the first three and last four characters of a phone number; short ones disappear whole."""
    if len(text) < 8:
        return "*" * len(text)
    return text[:3] + "*" * (len(text) - 7) + text[-4:]


def is_pan(digits: str) -> bool:
    """Tell whether these digits have the length and the check digit (Luhn) of a card number."""
    if not PAN_DIGITS_MIN <= len(digits) <= PAN_DIGITS_MAX:
        return False
    total = 0
    for place, digit in enumerate(reversed(digits)):
        total += _DOUBLED[int(digit)] if place % 2 else int(digit)
    return total % 10 == 0


def mask_text(text: str, *, inside_runs: bool = True) -> str:
    """Mask every card number in a text, also between blanks or dashes.

    A run of 13 to 19 digits is one if its check digit is right; a longer run may hold one anywhere, unless
    `inside_runs` is false.
    """
    if len(text) < PAN_DIGITS_MIN:
        return text
    return _DIGIT_RUN.sub(lambda found: _mask_run(found.group(), inside_runs), text)


def _mask_run(run: str, inside_runs: bool) -> str:
    places = [at for at, character in enumerate(run) if character.isdigit()]
    digits = "".join(run[at] for at in places)
    shown = list(run)
    for start, length in _pans_in(digits, inside_runs):
        for at in places[start + 6 : start + length - 4]:
            shown[at] = "*"
    return "".join(shown)


def _pans_in(digits: str, inside_runs: bool) -> list[tuple[int, int]]:
    """Find (start, length) of card numbers: the whole run, or every window of a run too long to be one
    number."""
    if len(digits) <= PAN_DIGITS_MAX:
        return [(0, len(digits))] if is_pan(digits) else []
    if not inside_runs:
        return []
    return [
        (start, length)
        for length in range(PAN_DIGITS_MIN, PAN_DIGITS_MAX + 1)
        for start in range(len(digits) - length + 1)
        if is_pan(digits[start : start + length])
    ]


def mask_value(value: Any, name: str = "", depth: int = 0) -> Any:
    """Mask a value of a log line: by its field's `name`, by what its text holds, and inside dicts and
    lists."""
    field = name.lower()
    if field in SECRET_FIELDS:
        return "***"
    if depth >= DEPTH_MAX:
        return "…"
    if isinstance(value, Mapping):
        return {mask_text(str(key)): mask_value(item, str(key), depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [mask_value(item, name, depth + 1) for item in value]
    if isinstance(value, bool) or value is None or isinstance(value, float):
        return value
    if isinstance(value, int):
        shown = _mask_named(str(value), field)
        return value if shown == str(value) else shown
    if isinstance(value, bytes | bytearray | memoryview):
        return f"<{len(value)} bytes>"
    return _mask_named(str(value), field)


def _mask_named(text: str, field: str) -> str:
    if field in PAN_FIELDS:
        return mask_pan(text)
    if field in PHONE_FIELDS:
        return mask_phone(text)
    return mask_text(text, inside_runs=field not in IDENTIFIER_FIELDS)
