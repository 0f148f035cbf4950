"""A good message taken apart, and the ways to spoil it that the defects of every dialect are made of.

Some spoil bytes; some spoil a value and write the message anew, with a right MAC, so that the value
is what is judged.
"""

import copy
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from frontends.mapping_rows import split_row, values_of
from frontends.mapping_tables import TransactionTable
from frontends.outward_tables import OutwardTransactionTable
from qianzhi.cli.vector_making import Bench, Vector
from qianzhi.wire.paths import get_path, put_path
from simulators.codecs import BankCodecError

if TYPE_CHECKING:
    from qianzhi.wire.items import FieldView

Message = dict[str, Any]

OUTWARD = "outward.transactions"
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
    rows = rows_of(bench, vector)
    taken = {**bench.profile.table.request.take, **rows.take}
    paths = {field: split_row(values_of(row)[0])[0] for field, row in taken.items()}
    return Good(bench, vector, message, views, paths)


def rows_of(bench: Bench, vector: Vector) -> TransactionTable | OutwardTransactionTable:
    """Return the rows of the transaction that a vector is of, the bank's or ours."""
    place, _, name = vector.what.rpartition(".")
    table, outward = bench.profile.table, bench.profile.table.outward
    if place == OUTWARD and outward is not None:
        return outward.transactions[name]
    return table.transactions[name]


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
