"""From a jPOS GenericPackager description (XML) to a spec of ours, for people who bring theirs along.

Pure: text in, text out.  Only the names of the field classes are known here, as rows of a table; whatever a
row does not cover becomes a note, so that nobody takes the result for more than it is.  No document type is
followed and no entity opened.
"""

import re
from typing import Any, NamedTuple

from lxml import etree

from qianzhi.wire.errors import WireError
from qianzhi.wire.packager_rows import BITMAP_CLASSES, CLASSES, MTI_CLASSES, NAMES, SECRETS, TRACKS, ClassRow
from qianzhi.wire.packager_toml import spec_text
from qianzhi.wire.rows import PREFIXES, is_digits

XML_BYTES_MAX = 4_000_000
FIELDS_MAX = 192
LENGTH_MAX = 9999
DEPTH_MAX = 6

Tree = dict[str, Any]


class PackagerError(WireError, ValueError):
    """What was given is no packager description."""


class Imported(NamedTuple):
    """A spec's text, which loads, and notes: what could not be carried over or must be looked at."""

    spec_text: str
    notes: list[str]


def import_packager(xml: bytes) -> Imported:
    """Turn a packager description into a spec.

    Raises PackagerError when the bytes are no such description or no field of it can be carried over.
    """
    root = _parse(xml)
    notes: list[str] = []
    fields = [one for one in root if one.tag in ("isofield", "isofieldpackager")]
    tree = _head(root, {_id(one): one for one in fields}, notes)
    tables = _fields(fields, notes)
    if not tables:
        raise PackagerError("no field of this description can be carried over")
    tree["bitmaps_max"] = max(tree["bitmaps_max"], (max(tables) + 63) // 64)
    tree["fields"] = {str(number): tables[number] for number in sorted(tables)}
    notes.append("sensitive is set by field number; say so too of private fields that hold secrets")
    return Imported(spec_text(tree), notes)


def _parse(xml: bytes) -> etree._Element:
    parser = etree.XMLParser(
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        dtd_validation=False,
        huge_tree=False,
        remove_comments=True,
        remove_pis=True,
    )
    if len(xml) > XML_BYTES_MAX:
        raise PackagerError(f"a description has at most {XML_BYTES_MAX} bytes")
    try:
        root = etree.fromstring(xml, parser)
    except etree.XMLSyntaxError as error:
        raise PackagerError(f"no well-formed XML in line {error.lineno}") from error
    internal: Any = root.getroottree().docinfo.internalDTD
    if internal is not None and any(True for _ in internal.iterentities()):
        raise PackagerError("a description declares no entities")
    if root.tag != "isopackager":
        raise PackagerError("the outermost element is not isopackager")
    return root


def _head(root: etree._Element, by_id: dict[int, etree._Element], notes: list[str]) -> Tree:
    """Return what a spec says before its fields."""
    mti = MTI_CLASSES.get(_class(by_id[0])) if 0 in by_id else "ascii"
    if mti is None:
        notes.append(f"the message type's class {_class(by_id[0])} is not known; it is read as ASCII digits")
    bitmap = BITMAP_CLASSES.get(_class(by_id[1])) if 1 in by_id else "binary"
    if bitmap is None:
        notes.append(f"the bitmap's class {_class(by_id[1])} is not known; it is read as raw bytes")
    size = _number(by_id[1].get("length")) if 1 in by_id else 16
    tree: Tree = {
        "kind": "iso8583",
        "name": "imported",
        "title": "Imported packager 导入的报文定义",
        "bitmap": bitmap or "binary",
        "bitmaps_max": min(max(size // 8, 1), 3),
        "defaults": {"mti": mti or "ascii", "digits": "ascii", "text": "ascii"},
    }
    header = _number(root.get("headerLength"))
    if header:
        tree["header"] = "parts"
        row = {"name": "data", "title": "Header 报文头", "type": "b", "length": min(header, LENGTH_MAX)}
        tree["header_parts"] = [row]
        notes.append(f"the header of {header} bytes is one part of bytes; write down its own parts")
    if root.get("thirdBitmapField"):
        notes.append("the third bitmap is read right behind the second, not in the order of the fields")
    if root.get("emitBitmap") == "false":
        notes.append("a packager without a bitmap is no ISO 8583 message by itself")
    return tree


def _fields(elements: list[etree._Element], notes: list[str]) -> dict[int, Tree]:
    tables: dict[int, Tree] = {}
    taken: set[str] = {"mti", "header", "bitmap", "message"}
    for one in elements:
        number = _id(one)
        if number in (0, 1, 65):
            continue
        if not 2 <= number <= FIELDS_MAX:
            notes.append(f"field {one.get('id', '')[:8]!r} has no number from 2 to {FIELDS_MAX}")
            continue
        if number in tables:
            notes.append(f"field {number} is there twice; the first counts")
            continue
        table = _field(one, f"field {number}", number, 0, notes)
        if table is not None:
            tables[number] = {"name": _name(one, number, taken), **table}
    return tables


def _field(one: etree._Element, where: str, number: int, depth: int, notes: list[str]) -> Tree | None:
    """Return the keys of a field or part but its name; None with a note when it cannot be carried over."""
    row = CLASSES.get(_class(one))
    if _class(one) == "IF_NOP":
        return None
    if row is None:
        notes.append(f"{where}: class {_class(one) or 'none'} is not known; the field is left out")
        return None
    if one.tag == "isofieldpackager":
        return _composite(one, row, where, number, depth, notes)
    return _simple(one, row, where, number, notes)


def _simple(one: etree._Element, row: ClassRow, where: str, number: int, notes: list[str]) -> Tree:
    kind, encoding = row.type, row.encoding
    if number in TRACKS and kind in ("n", "ans"):
        kind = "z"
    if encoding == "packed":
        encoding = "bcd" if one.get("pad") == "true" else "bcd_left"
    table: Tree = {"title": _title(one), "type": kind, "encoding": encoding}
    length, prefix = _length(one, row, where, notes), row.prefix
    table |= {"prefix": prefix, "length": length} if prefix else {"length": length}
    if row.unit:
        table["unit"] = row.unit
    if row.note:
        notes.append(f"{where}: {row.note}")
    if number in SECRETS:
        table["sensitive"] = SECRETS[number]
    return table


def _composite(
    one: etree._Element, row: ClassRow, where: str, number: int, depth: int, notes: list[str]
) -> Tree:
    """Return a field with subfields: parts in a row where that is what it is, else bytes."""
    elements = [part for part in one if part.tag in ("isofield", "isofieldpackager")]
    plain = row.encoding in ("raw", "ascii") and depth < DEPTH_MAX
    bare = one.get("emitBitmap") == "false" or _class_of(one.get("packager")) == "GenericSubFieldPackager"
    parts = _parts(elements, where, depth, notes) if plain and bare else None
    if not parts:
        notes.append(
            f"{where}: its subfields ({_class_of(one.get('packager'))}) are kept as they are, unopened"
        )
        kept = row if row.type == "b" else row._replace(type="b", encoding="raw", note="")
        return {**_simple(one, kept, where, 0, notes), "sensitive": "secret"}
    table: Tree = {"title": _title(one), "layout": "parts", "open": True}
    length = _length(one, row, where, notes)
    return {**table, **({"prefix": row.prefix} if row.prefix else {}), "length": length, "parts": parts}


def _parts(elements: list[etree._Element], where: str, depth: int, notes: list[str]) -> list[Tree] | None:
    """Return the parts in the order of their numbers; None when one of them cannot be carried over."""
    parts: list[Tree] = []
    taken: set[str] = {"rest"}
    for part in sorted(elements, key=_id):
        table = _field(part, f"{where}.{part.get('id', '')[:8]}", -1, depth + 1, notes)
        if table is None:
            return None
        parts.append({"name": _name(part, -1, taken), "tag": part.get("id", "")[:8], **table})
    return parts


def _length(one: etree._Element, row: ClassRow, where: str, notes: list[str]) -> int:
    """Return a length that the row's prefix can state; the value's own units are those of the class."""
    stated = _number(one.get("length"))
    room = PREFIXES[row.prefix].limit if row.prefix else LENGTH_MAX
    length = min(max(stated, 1), room, LENGTH_MAX)
    if length != stated:
        notes.append(f"{where}: the length {one.get('length', '')[:8]!r} became {length}")
    return row.size(length) if row.size else length


def _id(one: etree._Element) -> int:
    text = one.get("id", "")
    return int(text) if is_digits(text) and len(text) <= 4 else -1


def _number(text: str | None) -> int:
    return int(text) if text and is_digits(text) and len(text) <= 6 else 0


def _class(one: etree._Element) -> str:
    return _class_of(one.get("class"))


def _class_of(name: str | None) -> str:
    """Return the last step of a Java class name, shortened, without anything that a note should not hold."""
    return re.sub(r"[^A-Za-z0-9_]", "", (name or "").rpartition(".")[2])[:40]


def _title(one: etree._Element) -> str:
    return "".join(letter for letter in one.get("name", "") if letter.isprintable())[:80]


def _name(one: etree._Element, number: int, taken: set[str]) -> str:
    """Return a step of a path: the usual name of a field's number, else one made of its description."""
    words = re.findall(r"[a-z0-9]+", one.get("name", "").lower())
    base = NAMES.get(number) or "_".join(words)[:40].strip("_") or f"field_{max(number, 0)}"
    name, count = base, 2
    while name in taken:
        name, count = f"{base}_{count}", count + 1
    taken.add(name)
    return name
