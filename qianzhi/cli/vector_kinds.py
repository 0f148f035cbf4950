"""Defects that only one kind of message can have: bits and prefixes, elements, columns, pairs."""

from qianzhi.cli.vector_spoiling import BAD_CHARACTER, NUL, Good, Spoil, more, replaced


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
