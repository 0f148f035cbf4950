"""Broken vectors of a bank, derived by rule from good ones: the same defects for every dialect.

A defect is a row: a name, and a function from a good message to a broken one (None where the dialect has no
such thing).
"""

import re
from collections.abc import Callable, Iterator

from msgspec.structs import replace

from frontends.mapping_rows import values_of
from qianzhi.cli.sample_requests import message_of, request_of
from qianzhi.cli.vector_kinds import OF_KIND
from qianzhi.cli.vector_spoiling import (
    BAD_CHARACTER,
    NUL,
    OUTWARD,
    Good,
    Spoil,
    cut,
    first_byte,
    flipped,
    good_of,
    more,
    no_digit,
    with_mac,
    written,
)
from qianzhi.wire.paths import get_path

__all__ = ["FOR_THE_CORE", "broken", "broken_wire", "good_of"]


def broken(good: Good) -> Iterator[tuple[str, bytes]]:
    """Yield (name of the defect, body) of every defect that this dialect can have."""
    kind = str(good.bench.profile.spec.get("kind", ""))
    seen = {good.body}
    for name, spoil in {**DEFECTS, **OF_KIND.get(kind, {})}.items():
        body = spoil(good)
        if body is not None and body not in seen:
            seen.add(body)
            yield name, body


def broken_wire(good: Good) -> Iterator[tuple[str, bytes]]:
    """Yield (name of the defect, bytes of the line) of every defect that this framing can have."""
    spec = good.bench.profile.frame
    if spec.kind in ("none", "message"):
        return
    whole = good.bench.wire(good.body)
    header, rest = whole[: spec.size], whole[spec.size :]
    if spec.kind != "binary":
        yield "length_not_digits", (b"X" * spec.size if spec.kind == "ascii" else b"\xaa" * spec.size) + rest
    if not spec.heartbeat:
        yield "length_zero", (b"0" if spec.kind == "ascii" else NUL) * spec.size + rest
    if spec.kind == "ascii" and spec.frame_bytes_max < 10**spec.size - 1:
        yield "length_too_large", b"9" * spec.size + rest
    if (
        spec.kind != "ascii"
        and spec.frame_bytes_max < (256 if spec.kind == "binary" else 100) ** spec.size - 1
    ):
        yield "length_too_large", (b"\xff" if spec.kind == "binary" else b"\x99") * spec.size + rest
    yield "frame_not_whole", header + rest[: len(rest) // 2]


def other_value(field: str, change: Callable[[str], str]) -> Spoil:
    """Return a defect that writes another value of a field."""

    def spoil(good: Good) -> bytes | None:
        value = good.value(field)
        return written(good, {good.paths[field]: change(value)}) if value else None

    return spoil


def without(field: str) -> Spoil:
    """Return a defect that leaves a field away."""
    return lambda good: written(good, {good.paths[field]: None}) if good.value(field) else None


def unknown_transaction(good: Good) -> bytes | None:
    """Ask for a transaction that the profile does not have."""
    table = good.bench.profile.table
    if good.vector.what.startswith(OUTWARD):
        return None
    rows = table.transactions[good.vector.what.partition(".")[2]]
    used = {
        value
        for each in table.transactions.values()
        for row in each.when.values()
        for value in values_of(row)
    }
    for path, row in reversed(rows.when.items()):
        value = values_of(row)[0]
        free = next(
            (text for text in (re.sub(r".", digit, value) for digit in "9876") if text not in used), None
        )
        if value not in ("", "*") and free:
            body = written(good, {path: free})
            if body is not None:
                return body
    return None


def month_13(value: str) -> str:
    """Return a date of a month that no year has."""
    return value.replace("1122", "1322", 1)


def zeros(value: str) -> str:
    """Return the amount of nothing, written as this one is."""
    return re.sub(r"[0-9]", "0", value)


def over_limit(good: Good) -> bytes | None:
    """Ask for one fen more than the profile allows."""
    name = good.vector.what.partition(".")[2]
    profile = good.bench.profile
    if not good.value("amount_fen") or good.vector.what.startswith(OUTWARD):
        return None
    request = replace(request_of(profile, name), amount_fen=profile.limits.amount_fen_max + 1)
    value = get_path(message_of(profile, name, request), good.paths["amount_fen"])
    return written(good, {good.paths["amount_fen"]: value})


def nines(value: str) -> str:
    """Return the greatest number of as many digits."""
    return re.sub(r"[0-9]", "9", value)


DEFECTS: dict[str, Spoil] = {
    "empty": cut(lambda size: 0),
    "one_byte": cut(lambda size: 1),
    "half": cut(lambda size: size // 2),
    "one_byte_short": cut(lambda size: size - 1),
    "one_byte_more": more(b"0"),
    "nul_behind": more(NUL),
    "twice": lambda good: good.body + good.body,
    "nul_in_phone": first_byte("phone", NUL),
    "no_character_in_phone": first_byte("phone", BAD_CHARACTER),
    "no_digit_in_serial": no_digit("serial"),
    "nul_in_serial": first_byte("serial", NUL),
    "no_digit_in_date": no_digit("date"),
    "no_digit_in_amount": no_digit("amount_fen"),
    "wrong_mac": with_mac(flipped),
    "no_mac": with_mac(lambda mac: None),
    "unknown_transaction": unknown_transaction,
    "wrong_number": other_value("bank_number", nines),
    "bad_date": other_value("date", month_13),
    "zero_amount": other_value("amount_fen", zeros),
    "amount_over_limit": over_limit,
    "negative_amount": other_value("amount_fen", lambda value: "-" + value[1:]),
    "short_phone": other_value("phone", lambda value: value[:-1]),
    "letter_in_phone": other_value("phone", lambda value: value[:-1] + "A"),
    "long_phone": other_value("phone", lambda value: value + "0" * 60),
    "no_phone": without("phone"),
    "no_amount": without("amount_fen"),
    "no_serial": without("serial"),
    "no_date": without("date"),
}
FOR_THE_CORE = frozenset({"zero_amount"})  # a request that can be read, and that the core refuses for good
