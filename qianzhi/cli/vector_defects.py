"""Broken vectors of a bank, derived by rule from good ones: the same defects for every dialect.

A defect is a row: a name, and a function from a good message to a broken one (None where the dialect has no
such thing).  Some spoil bytes; some spoil a value and write the message anew, with a right MAC, so that it
is the value that is judged.
"""

import copy
import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from msgspec.structs import replace

from frontends.mapping_rows import split_row, values_of
from qianzhi.cli.sample_requests import message_of, request_of
from qianzhi.cli.vector_making import Bench, Vector
from qianzhi.wire.paths import get_path, put_path
from simulators.codecs import BankCodecError

if TYPE_CHECKING:
    from qianzhi.wire.items import FieldView

Message = dict[str, Any]

BAD_CHARACTER = b"\xff"  # no character in any of our charsets
NUL = b"\0"


class Good(NamedTuple):
    """A good message: its vector, its values, and where each of its values stands."""

    bench: Bench
    vector: Vector
    message: Message
    views: "dict[str, FieldView]"
    paths: dict[str, str]  # of the request's fields

    @property
    def body(self) -> bytes:
        """Its bytes."""
        return self.vector.body

    def at(self, field: str) -> "FieldView | None":
        """Return where a field of the request stands in the bytes."""
        return self.views.get(self.paths.get(field, ""))

    def value(self, field: str) -> str:
        """Return a field of the request as the message has it, empty for none."""
        found = get_path(self.message, self.paths[field]) if field in self.paths else None
        return found if isinstance(found, str) else ""


Spoil = Callable[[Good], bytes | None]


def good_of(bench: Bench, vector: Vector, message: Message) -> Good:
    """Take a good message apart."""
    views = {view.path: view for view in bench.profile.codec.describe(vector.body)}
    rows = bench.profile.table.transactions[vector.what.partition(".")[2]]
    taken = {**bench.profile.table.request.take, **rows.take}
    paths = {field: split_row(values_of(row)[0])[0] for field, row in taken.items()}
    return Good(bench, vector, message, views, paths)


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


# Bytes


def cut(keep: Callable[[int], int]) -> Spoil:
    """Return a defect that keeps only so many bytes."""
    return lambda good: good.body[: keep(len(good.body))]


def more(tail: bytes) -> Spoil:
    """Return a defect that puts bytes behind the end."""
    return lambda good: good.body + tail


def first_byte(field: str, byte: bytes) -> Spoil:
    """Return a defect in the first byte of a field's value."""

    def spoil(good: Good) -> bytes | None:
        view = good.at(field)
        return (
            good.body[: view.offset] + byte + good.body[view.offset + 1 :] if view and view.length else None
        )

    return spoil


def no_digit(field: str) -> Spoil:
    """Return a defect that puts a letter, or two nibbles that are no digits, where a field begins."""

    def spoil(good: Good) -> bytes | None:
        view = good.at(field)
        packed = view is not None and not good.body[view.offset : view.offset + view.length].isalnum()
        return first_byte(field, b"\xfa" if packed else b"A")(good)

    return spoil


def replaced(old: bytes, new: bytes) -> Spoil:
    """Return a defect that writes other bytes for the first place of some."""
    return lambda good: good.body.replace(old, new, 1)


def with_mac(change: Callable[[Any], Any]) -> Spoil:
    """Return a defect that writes another MAC; None takes it out."""

    def spoil(good: Good) -> bytes | None:
        mac = good.bench.profile.mac
        if mac is None or not good.vector.mac_key:
            return None
        message = good.bench.bank.decode(good.body)
        value = change(get_path(message, mac.field))
        if value is None:
            drop(message, mac.field)
        else:
            put_path(message, mac.field, value)
        try:
            return good.bench.bank.encode(message)
        except (BankCodecError, ValueError):
            return None

    return spoil


def flipped(mac: str | bytes) -> str | bytes:
    """Return a MAC with another first character or byte."""
    if isinstance(mac, bytes):
        return bytes([mac[0] ^ 1]) + mac[1:]
    return ("1" if mac.startswith("0") else "0") + mac[1:]


# Values, with a right MAC


def written(good: Good, changes: Message) -> bytes | None:
    """Write the message anew with other values (None takes one out); None for what it cannot carry."""
    message = copy.deepcopy(good.message)
    for path, value in changes.items():
        if value is None:
            drop(message, path)
        else:
            put_path(message, path, value)
    try:
        return good.bench.by_bank(message)
    except (BankCodecError, ValueError):
        return None


def drop(message: Message, path: str) -> None:
    """Take a value out of a message."""
    *steps, last = path.split(".")
    for step in steps:
        message = message.get(step, {})
    message.pop(last, None)


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
    if not good.value("amount_fen"):
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


# What only one kind of message can have


def bitmap_bit(good: Good) -> bytes | None:
    """Set the bit of a field that the spec does not have."""
    view = good.views.get("bitmap")
    known = {int(number) for number in good.bench.profile.spec["fields"]}
    free = [number for number in range(2, 65) if number not in known]
    if view is None or not free:
        return None
    as_hex = good.bench.profile.spec.get("bitmap") == "hex"
    place = good.body[view.offset : view.offset + view.length]
    bits = bytearray(bytes.fromhex(place.decode("ascii")) if as_hex else place)
    bits[(free[-1] - 1) // 8] |= 0x80 >> (free[-1] - 1) % 8
    new = bits.hex().upper().encode("ascii") if as_hex else bytes(bits)
    return good.body[: view.offset] + new + good.body[view.offset + view.length :]


def bitmap_empty(good: Good) -> bytes | None:
    """Clear every bit, so that all fields are bytes too many."""
    view = good.views.get("bitmap")
    if view is None:
        return None
    blank = (b"0" if good.bench.profile.spec.get("bitmap") == "hex" else NUL) * view.length
    return good.body[: view.offset] + blank + good.body[view.offset + view.length :]


def bad_prefix(good: Good) -> bytes | None:
    """Spoil the length that stands before the first field that has one."""
    for field in good.bench.profile.spec["fields"].values():
        view = good.views.get(field.get("name", ""))
        if view is not None and field.get("prefix", "fixed") not in ("fixed", "rest"):
            return good.body[: view.offset - 1] + BAD_CHARACTER + good.body[view.offset :]
    return None


def bad_type(good: Good) -> bytes | None:
    """Spoil the message type."""
    view = good.views.get("mti")
    return good.body[: view.offset] + b"\xfa" + good.body[view.offset + 1 :] if view else None


def xml_root(good: Good) -> str:
    """Return the name of the document's root element."""
    return str(good.bench.profile.spec.get("root", ""))


def before_end(text: bytes) -> Spoil:
    """Return a defect that puts something before the root's end tag."""

    def spoil(good: Good) -> bytes | None:
        end = b"</" + xml_root(good).encode("ascii")
        return good.body.replace(end, text + end, 1)

    return spoil


def doctype(good: Good) -> bytes | None:
    """Put a document type with an entity before the root element."""
    start = b"<" + xml_root(good).encode("ascii")
    return good.body.replace(start, b'<!DOCTYPE x [<!ENTITY a "b">]>' + start, 1)


def other_root(good: Good) -> bytes | None:
    """Give the document another root element."""
    return good.body.replace(xml_root(good).encode("ascii"), b"Other")


def delimiter_of(good: Good) -> bytes:
    """Return the character between the columns."""
    return str(good.bench.profile.spec.get("delimiter", "|")).encode("ascii")


def another_column(good: Good) -> bytes | None:
    """Put one column too many in front."""
    return delimiter_of(good) + good.body


def column_gone(good: Good) -> bytes | None:
    """Take the first delimiter away, so that two columns become one."""
    return good.body.replace(delimiter_of(good), b"", 1)


def pair_twice(good: Good) -> bytes | None:
    """Say the first name and value once more."""
    return good.body + b"&" + good.body.split(b"&", 1)[0]


def bad_size(good: Good) -> bytes | None:
    """State another size than the message has, where its header states one."""
    for part in good.bench.profile.spec.get("header", []):
        view = good.views.get(part["name"]) if part.get("computed") else None
        if view is not None:
            return good.body[: view.offset] + b"9" * view.length + good.body[view.offset + view.length :]
    return None


OF_KIND: dict[str, dict[str, Spoil]] = {
    "iso8583": {
        "unknown_bit": bitmap_bit,
        "no_bits": bitmap_empty,
        "bad_length_prefix": bad_prefix,
        "bad_message_type": bad_type,
    },
    "xml": {
        "end_tag_missing": replaced(b"</", b"<"),
        "unknown_element": before_end(b"<Unknown>1</Unknown>"),
        "text_between": before_end(b"text"),
        "unknown_entity": before_end(b"&nothing;"),
        "document_type": doctype,
        "other_root": other_root,
    },
    "fixed": {"wrong_size": bad_size},
    "delimited": {"column_more": another_column, "column_less": column_gone, "wrong_size": bad_size},
    "pairs": {
        "pair_twice": pair_twice,
        "unknown_name": more(b"&unknown=1"),
        "name_alone": more(b"&alone"),
        "bad_percent": more(b"%G1"),
        "nothing_between": replaced(b"&", b"&&"),
    },
}
