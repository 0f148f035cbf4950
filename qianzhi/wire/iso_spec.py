"""From a spec's tables to a compiled ISO 8583 codec: one table for each field, defaults at the top of the
file."""

from dataclasses import dataclass

from qianzhi.wire.composite import Frame, Layout, Tags, framed, parts, repeat, tagged, whole, with_fallback
from qianzhi.wire.fields import Simple, make_simple
from qianzhi.wire.iso8583 import FIELD_LAST, Iso8583Codec
from qianzhi.wire.items import About, Item
from qianzhi.wire.rows import ENCODINGS, PADDINGS, PREFIXES, TYPES, UNPREFIXED
from qianzhi.wire.spec import Table
from qianzhi.wire.tlv import is_tag, tlv

LENGTH_MAX = 9999
ENTRIES_MAX = 999
RESERVED_NAMES = frozenset({"mti", "header", "bitmap", "message"})


@dataclass(frozen=True)
class Defaults:
    """The encodings that fields of a family have unless they say otherwise."""

    digits: str
    text: str

    def of(self, family: str) -> str:
        """Return the encoding of a family."""
        return {"digits": self.digits, "text": self.text, "binary": "raw"}[family]


def make_iso_codec(root: Table) -> Iso8583Codec:
    """Compile the dialect; problems are collected in the table, and the result is only good when there are
    none."""
    has_header = root.choice("header", ("none", "cups"), "none") == "cups"
    required = root.flag("header_required", True)
    bytes_max = root.number("message_bytes_max", 12, LENGTH_MAX, LENGTH_MAX)
    root.choice("bitmap", ("binary",), "binary")
    top = root.table("defaults")
    defaults = Defaults(
        digits=top.choice("digits", _encodings("digits"), "ascii"),
        text=top.choice("text", _encodings("text"), "gbk"),
    )
    top.close()
    tables = root.table("fields")
    items: dict[int, Item] = {}
    for key in tables.names():
        item = _field(tables.table(key), key, defaults)
        if item is not None:
            items[item.about.number] = item
    if not items:
        root.problem("fields", "nothing", "at least one field")
    _check_names(tables, list(items.values()))
    return Iso8583Codec(items, has_header, required, bytes_max)


def _encodings(family: str) -> list[str]:
    return [name for name, row in ENCODINGS.items() if family in row.families]


def _check_names(tables: Table, items: list[Item]) -> None:
    seen: set[str] = set()
    for item in items:
        if item.name in seen or item.name in RESERVED_NAMES:
            tables.problem(f"{item.about.number}.name", item.name, "a name of its own")
        seen.add(item.name)


def _field(table: Table, key: str, defaults: Defaults) -> Item | None:
    if not (key.isascii() and key.isdigit() and 2 <= int(key) <= FIELD_LAST and int(key) != 65):
        table.problem("", key, f"a field number from 2 to {FIELD_LAST} but 65")
        return None
    number = int(key)
    name = table.name()
    about = About(name, key, table.text("title"), number, table.sensitive())
    return _item(table, about, name, defaults)


def _item(table: Table, about: About, name: str, defaults: Defaults) -> Item:
    """Compile a field or part, simple or composite."""
    layout = table.choice("layout", ("simple", "parts", "repeat", "tagged", "tlv"), "simple")
    item = (
        _simple(table, about, name, defaults)
        if layout == "simple"
        else _composite(table, about, name, layout, defaults)
    )
    table.close()
    return item


def _prefix(table: Table) -> str:
    return table.choice("prefix", (*UNPREFIXED, *PREFIXES), "fixed")


def _limits(table: Table, prefix: str) -> tuple[int, int]:
    """Return the field's length and what is accepted; `lenient` accepts whatever the prefix can state."""
    room = PREFIXES[prefix].limit if prefix in PREFIXES else LENGTH_MAX
    lenient = table.flag("lenient")
    if prefix == "rest" and not table.has("length"):
        return LENGTH_MAX, LENGTH_MAX
    length = table.number("length", 1, min(room, LENGTH_MAX), 1)
    if not table.has("length"):
        table.problem("length", "nothing", "the length in digits or bytes")
    if lenient and prefix == "fixed":
        table.problem("lenient", "true", "a field with a length prefix")
    return length, min(room, LENGTH_MAX) if lenient else length


def _simple(table: Table, about: About, name: str, defaults: Defaults) -> Item:
    kind = table.choice("type", TYPES, "ans")
    if not table.has("type"):
        table.problem("type", "nothing", "one of " + ", ".join(sorted(TYPES)))
    row = TYPES[kind]
    prefix = _prefix(table)
    length, limit = _limits(table, prefix)
    encoding = table.choice("encoding", _encodings(row.family), defaults.of(row.family))
    padding = table.choice("padding", PADDINGS, row.padding)
    if ENCODINGS[encoding].read and prefix == "rest":
        table.problem("prefix", prefix, "a length, because packed digits have no length of their own")
    return make_simple(about, name, Simple(kind, encoding, prefix, padding, length, limit))


def _composite(table: Table, about: About, name: str, layout: str, defaults: Defaults) -> Item:
    prefix = _prefix(table)
    length, limit = _limits(table, prefix)
    shortest = table.number("length_min", 1, length, 1) if table.has("length_min") else 0
    if layout == "parts":
        inside = _parts(table, about, shortest, defaults)
    elif layout == "repeat":
        items = _part_items(table, about, defaults)
        group = parts(about, items, None, 0, {})
        inside = repeat(about, group, items, table.number("entries_max", 1, ENTRIES_MAX, ENTRIES_MAX))
    elif layout == "tagged":
        inside = _tagged(table, about, defaults)
    else:
        inside = _tlv(table, about)
    fallback = table.choice("fallback", ("", "text", "bytes"), "")
    if fallback:
        inside = with_fallback(inside, _plain(about, fallback, defaults), fallback)
    return framed(about, name, Frame(prefix, length, limit, shortest), inside)


def _part_items(table: Table, about: About, defaults: Defaults) -> list[Item]:
    """Compile the parts of a composite, in order."""
    items: list[Item] = []
    for one in table.tables("parts"):
        name = one.name()
        if name in {item.name for item in items}:
            one.problem("name", name, "a name of its own")
        part = About(
            f"{about.path}.{name}", one.text("tag"), one.text("title"), about.number, one.sensitive()
        )
        items.append(_item(one, part, name, defaults))
    if not items:
        table.problem("parts", "nothing", "a list of parts")
    return items


def _parts(table: Table, about: About, shortest: int, defaults: Defaults) -> Layout:
    is_open = table.flag("open")
    counts_table = table.table("counts")
    counts = {key: counts_table.text(key) for key in counts_table.names()}
    items = _part_items(table, about, defaults)
    names = {item.name for item in items}
    for key, counted in counts.items():
        if key not in names or counted not in names:
            counts_table.problem(key, counted, "two names of parts")
    rest = _rest(about, "rest", "text", defaults) if is_open else None
    return parts(about, items, rest, shortest, counts)


def _rest(about: About, name: str, form: str, defaults: Defaults) -> Item:
    """Return an item that takes all the rest as text or bytes.

    What no spec describes may hold anything, a card number too, so it is never shown.
    """
    inner = About(f"{about.path}.{name}", "", "", about.number, about.sensitive or "secret")
    kind, encoding = ("b", "raw") if form == "bytes" else ("ans", defaults.text)
    return make_simple(inner, name, Simple(kind, encoding, "rest", "none", LENGTH_MAX, LENGTH_MAX))


def _plain(about: About, form: str, defaults: Defaults) -> Layout:
    return whole(_rest(about, form, form, defaults))


def _tagged(table: Table, about: About, defaults: Defaults) -> Layout:
    tags = Tags(table.number("tag_length", 1, 8, 2), table.number("length_digits", 0, 4, 0))
    other = table.choice("other", ("text", "bytes"), "text")
    tables = table.table("cases")
    cases: dict[str, Layout] = {}
    for tag in tables.names():
        case = tables.table(tag)
        if len(tag) != tags.tag_length or not (tag.isascii() and tag.isalnum()):
            case.problem("", tag, f"a tag of {tags.tag_length} letters and digits")
        inner = About(f"{about.path}.{tag}", tag, case.text("title"), about.number)
        cases[tag] = _parts(case, inner, 0, defaults)
        case.close()

    def unlisted(tag: str) -> Layout:
        inner = About(f"{about.path}.{tag}", tag, "", about.number, about.sensitive)
        return _plain(inner, other, defaults)

    return tagged(about, tags, cases, unlisted)


def _tlv(table: Table, about: About) -> Layout:
    tables = table.table("tags")
    known: dict[str, Item] = {}
    for tag in tables.names():
        one = tables.table(tag)
        if not is_tag(tag):
            one.problem("", tag, "a BER tag in upper-case hex")
        length = one.number("length", 1, LENGTH_MAX, LENGTH_MAX)
        inner = About(f"{about.path}.{tag}", tag, one.text("title"), about.number, one.sensitive())
        known[tag] = make_simple(inner, tag, Simple("b", "raw", "rest", "none", length, length))
        one.close()
    return tlv(about, known)
