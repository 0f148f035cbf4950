"""From a spec's tables to compiled fields: simple ones, and composites of any depth.

Every kind of spec that counts characters, digits or bytes describes its fields in these words.
"""

from dataclasses import dataclass, replace

from qianzhi.wire.composite import Frame, Tags, framed, parts, repeat, tagged, whole, with_fallback
from qianzhi.wire.fields import make_simple
from qianzhi.wire.items import About, Item
from qianzhi.wire.layout import Layout
from qianzhi.wire.packed import PACKINGS, Packed, packed
from qianzhi.wire.rows import ENCODINGS, PADDINGS, PREFIXES, TYPES, UNPREFIXED, prefix_counting
from qianzhi.wire.simple import Simple, prefix_of, problem_of
from qianzhi.wire.spec import Table
from qianzhi.wire.tlv import is_tag, tlv

LENGTH_MAX = 9999
ENTRIES_MAX = 999
UNITS = ("", "digits", "bytes")


@dataclass(frozen=True)
class Defaults:
    """The encodings that fields of a family have unless they say otherwise."""

    digits: str
    text: str
    binary: str = "raw"

    def of(self, family: str) -> str:
        """Return the encoding of a family; track data is text."""
        return {"digits": self.digits, "binary": self.binary}.get(family, self.text)


def read_defaults(top: Table) -> Defaults:
    """Read the keys of a table of defaults; the caller closes it."""
    return Defaults(
        digits=top.choice("digits", encodings_of("digits"), "ascii"),
        text=top.choice("text", encodings_of("text"), "gbk"),
        binary=top.choice("binary", encodings_of("binary"), "raw"),
    )


def encodings_of(family: str) -> list[str]:
    """Return the encodings that a family of types can have."""
    return [name for name, row in ENCODINGS.items() if family in row.families]


def make_item(table: Table, about: About, name: str, defaults: Defaults) -> Item:
    """Compile a field or part, simple or composite; closes its table."""
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


def _limits(table: Table, prefix: str, room: int) -> tuple[int, int]:
    """Return the field's length and what is accepted; `lenient` accepts whatever the prefix can state."""
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
    encoding = table.choice("encoding", encodings_of(row.family), defaults.of(row.family))
    padding = table.choice("padding", PADDINGS, row.padding)
    unit = table.choice("unit", UNITS, "")
    simple = Simple(kind, encoding, prefix, padding, 1, 1, unit)
    problem = problem_of(simple)
    if problem is not None:
        table.problem(*problem)
        simple = Simple(kind, encoding, prefix, "none", 1, 1)
    counting = prefix_of(simple)
    length, limit = _limits(table, prefix, counting.limit if counting else LENGTH_MAX)
    return make_simple(about, name, replace(simple, length=length, limit=limit))


def _composite(table: Table, about: About, name: str, layout: str, defaults: Defaults) -> Item:
    prefix = _prefix(table)
    packing = table.choice("encoding", ("", *PACKINGS), "")
    unit = table.choice("unit", UNITS, "")
    if packing and prefix == "rest":
        table.problem("prefix", prefix, "a length, because packed digits have no length of their own")
    if unit and (prefix in UNPREFIXED or not packing):
        table.problem("unit", unit, "packed parts behind a length prefix")
    counting = prefix_counting(PREFIXES[prefix], packing, unit) if prefix in PREFIXES else None
    length, limit = _limits(table, prefix, counting.limit if counting else LENGTH_MAX)
    shortest = table.number("length_min", 1, length, 1) if table.has("length_min") else 0
    if packing:  # its parts are laid out as characters, and the whole is packed
        defaults = Defaults("ascii", "ascii", "hex")
    inside = _inside(table, about, layout, shortest, defaults)
    fallback = table.choice("fallback", ("", "text", "bytes"), "")
    if fallback:
        inside = with_fallback(inside, _plain(about, fallback, defaults), fallback)
    if packing:
        return packed(about, name, Packed(packing, counting, length, limit, prefix == "fixed"), inside)
    return framed(about, name, Frame(prefix, length, limit, shortest), inside)


def _inside(table: Table, about: About, layout: str, shortest: int, defaults: Defaults) -> Layout:
    if layout == "parts":
        return _parts(table, about, shortest, defaults)
    if layout == "repeat":
        items = make_items(table, about, defaults)
        group = parts(about, items, None, 0, {})
        return repeat(about, group, items, table.number("entries_max", 1, ENTRIES_MAX, ENTRIES_MAX))
    return _tagged(table, about, defaults) if layout == "tagged" else _tlv(table, about)


def make_items(table: Table, about: About, defaults: Defaults, key: str = "parts") -> list[Item]:
    """Compile the list of parts at `key`, in order."""
    items: list[Item] = []
    for one in table.tables(key):
        name = one.name()
        if name in {item.name for item in items}:
            one.problem("name", name, "a name of its own")
        part = About(
            f"{about.path}.{name}", one.text("tag"), one.text("title"), about.number, one.sensitive()
        )
        items.append(make_item(one, part, name, defaults))
    if not items:
        table.problem(key, "nothing", "a list of parts")
    return items


def _parts(table: Table, about: About, shortest: int, defaults: Defaults) -> Layout:
    is_open = table.flag("open")
    counts_table = table.table("counts")
    counts = {key: counts_table.text(key) for key in counts_table.names()}
    items = make_items(table, about, defaults)
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
