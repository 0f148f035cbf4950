"""What a simple field is: type, encoding, length prefix and padding; and its commonest form.  Pure."""

from dataclasses import dataclass

from qianzhi.wire.items import Quick
from qianzhi.wire.rows import (
    ENCODINGS,
    PADDINGS,
    PREFIXES,
    QUICK_PREFIXES,
    TYPES,
    UNPREFIXED,
    EncodingRow,
    PrefixRow,
    is_text,
    is_track,
    paddings_of,
    prefix_counting,
)


@dataclass(frozen=True)
class Simple:
    """One simple field as a spec states it, defaults filled in.

    `limit` is what is accepted, `length` the norm, both in characters, digits or bytes of the value; `unit`
    is what a length prefix counts, empty for the encoding's usual one.
    """

    type: str
    encoding: str
    prefix: str
    padding: str
    length: int
    limit: int
    unit: str = ""


def prefix_of(row: Simple) -> PrefixRow | None:
    """Return the field's length prefix as it counts the field's own units; None where it has none."""
    if row.prefix in UNPREFIXED:
        return None
    encoding = ENCODINGS[row.encoding]
    return prefix_counting(PREFIXES[row.prefix], row.encoding, row.unit or encoding.units[0])


def problem_of(row: Simple) -> tuple[str, str, str] | None:
    """Return what a spec has combined that no message could carry: key, what it says, what it may say."""
    encoding = ENCODINGS[row.encoding]
    if row.prefix == "rest" and "digits" in encoding.units and row.type != "b":
        return "prefix", row.prefix, "a length, because packed digits have no length of their own"
    if row.padding not in paddings_of(row.type, row.encoding):
        return "padding", row.padding, "one of " + ", ".join(paddings_of(row.type, row.encoding))
    if row.unit and (row.prefix in UNPREFIXED or row.unit not in encoding.units):
        return "unit", row.unit, "one of " + ", ".join(encoding.units) + ", behind a length prefix"
    return None


def quick_form(row: Simple, encoding: EncodingRow) -> Quick | None:
    """Return a field's commonest form where its bytes are characters, packed digits or nothing but bytes;
    None for every other field.
    """
    kind, padding = TYPES[row.type], PADDINGS[row.padding]
    form = QUICK_PREFIXES.get(row.prefix)
    packing = {"bcd": "left", "bcd_left": "right"}.get(row.encoding, "")
    if (form is None and row.prefix != "fixed") or row.unit:
        return None
    prefix, packed_prefix = form or (0, False)
    fixed = 0 if prefix else row.length
    if row.type == "b":
        return None if encoding.read else Quick("bytes", fixed, row.limit, prefix, packed_prefix)
    digits = kind.quick is bytes.isdigit
    if packing and (not digits or (prefix and not packed_prefix)):
        return None
    if not (encoding.charset or packing) or kind.quick not in (bytes.isdigit, bytes.isalnum):
        return None
    side = padding.side if fixed else ""
    return Quick(
        "digits" if digits else "printable" if kind.check in (is_text, is_track) else "letters",
        fixed,
        row.limit,
        prefix,
        packed_prefix,
        packing,  # type: ignore[arg-type]
        side,
        padding.fill if side else "",
        padding.strip and bool(side),
    )
