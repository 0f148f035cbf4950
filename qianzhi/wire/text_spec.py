"""From a spec's tables to a compiled codec of text messages: fixed, delimited or pairs.

The order of the file is the order on the wire; `header`, `bodies` and `trailer` are lists of parts.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from qianzhi.wire.delimited import delimited_section, make_split
from qianzhi.wire.errors import Reason
from qianzhi.wire.fixed_body import fixed_section
from qianzhi.wire.items import About, Item
from qianzhi.wire.pairs import Inner, PairsCodec, PairsShape
from qianzhi.wire.rows import ENCODINGS, PADDINGS, PREFIXES, TYPES
from qianzhi.wire.simple import Simple, prefix_of, problem_of
from qianzhi.wire.spec import Table
from qianzhi.wire.text_message import TextCodec
from qianzhi.wire.text_parts import Part, Section, column_part, fixed_part
from qianzhi.wire.text_paths import BODY, UNREAD
from qianzhi.wire.text_shape import Body, Region, Regions, Shape

CHARSETS = ("gbk", "gb18030", "utf-8", "ascii")
ENDINGS = {"": b"", "\n": b"\n", "\r\n": b"\r\n"}
UNITS = ("", "digits", "bytes")  # what a length prefix counts; empty for the usual one
COMPUTED = ("", "total_bytes", "body_bytes")
LENGTH_MAX = 9999
ENTRIES_MAX = 999
DELIMITER = "one ASCII character that is no letter, digit, blank, full stop or minus"
SAMPLES = {"n": "1", "dec": "1", "xn": "C1"}
TEXT_TYPES = sorted(set(TYPES) - {"b"})


@dataclass
class Dialect:
    """What the whole message has in common while its spec is being read."""

    kind: str
    charset: str
    delimiter: str = ""
    inner: dict[str, Inner] = field(default_factory=dict)


def make_fixed_codec(root: Table) -> TextCodec:
    """Compile a dialect of fixed messages; problems are collected in the table."""
    return _text_codec(root, "fixed")


def make_delimited_codec(root: Table) -> TextCodec:
    """Compile a dialect of delimited messages; problems are collected in the table."""
    return _text_codec(root, "delimited")


def make_pairs_codec(root: Table) -> PairsCodec:
    """Compile a dialect of named values; problems are collected in the table."""
    dialect = Dialect("pairs", root.choice("charset", CHARSETS, "utf-8"))
    bytes_max = root.number("message_bytes_max", 16, 1_000_000, 65_536)
    header, bodies, trailer = _sections(root, dialect)
    return PairsCodec(PairsShape(header, bodies, trailer, dialect.inner, dialect.charset, bytes_max))


def _text_codec(root: Table, kind: str) -> TextCodec:
    dialect = Dialect(kind, root.choice("charset", CHARSETS, "gbk"))
    bytes_max = root.number("message_bytes_max", 16, 1_000_000, 65_536)
    ending = b""
    if kind == "delimited":
        dialect.delimiter = _delimiter(root)
        ending = ENDINGS[root.choice("ending", ENDINGS, "")]
    header, bodies, trailer = _sections(root, dialect)
    if kind == "delimited":
        cut = _cut_columns(dialect, header, trailer, len(ending))
    else:
        cut = _cut_bytes(header.size or 0, trailer.size or 0)
    return TextCodec(
        Shape(header, bodies, trailer, cut, dialect.delimiter.encode("ascii"), ending, bytes_max)
    )


def _delimiter(table: Table) -> str:
    text = table.text("delimiter", "|")
    if len(text) != 1 or not text.isascii() or text.isalnum() or text in " .-\r\n\0":
        table.problem("delimiter", text, DELIMITER)
        return "|"
    return text


def _sections(root: Table, dialect: Dialect) -> tuple[Section, tuple[Body, ...], Section]:
    header = _section(root, "header", "", dialect, outer=True)
    trailer = _section(root, "trailer", "", dialect, outer=True)
    for name in sorted(header.names & trailer.names):
        root.problem("trailer", name, "names that the header does not have")
    if not header.parts:
        root.problem("header", "nothing", "a list of parts")
    if dialect.kind == "pairs":
        _check_keys(root, "header", (header, trailer))
    bodies: list[Body] = []
    for table in root.tables("bodies"):
        body = _body(table, dialect, header)
        if body.name in {one.name for one in bodies}:
            table.problem("name", body.name, "a name of its own")
        if dialect.kind == "pairs":
            _check_keys(table, "parts", (header, trailer, body.section))
        bodies.append(body)
    return header, tuple(bodies), trailer


def _check_keys(table: Table, at: str, sections: tuple[Section, ...]) -> None:
    """In pairs a name on the wire says where its value belongs, so that each stands for one part."""
    keys = [part.item.about.tag or part.name for section in sections for part in section.parts]
    for key in sorted({key for key in keys if keys.count(key) > 1}):
        table.problem(at, key, "each name once in header, body and trailer")


def _body(table: Table, dialect: Dialect, header: Section) -> Body:
    name, title = table.name(), table.text("title")
    when: list[tuple[str, tuple[str, ...]]] = []
    rows = table.table("when")
    for key in rows.names():
        if key not in header.names:
            rows.problem(key, key, "a part of the header")
        when.append((key, _values(rows, key)))
    inside = dialect
    if dialect.kind == "fixed" and table.choice("layout", ("parts", "delimited"), "parts") == "delimited":
        inside = Dialect("delimited", dialect.charset, _delimiter(table))
    section = _section(table, "parts", BODY, inside)
    table.close()
    return Body(name, title, tuple(when), section)


def _values(rows: Table, key: str) -> tuple[str, ...]:
    value = rows.raw(key)
    values = value if isinstance(value, list) else [value]
    if not values or not all(isinstance(one, str) for one in values):
        rows.problem(key, value, "a value, * or a list of values")
        return ()
    return tuple(values)


def _section(table: Table, key: str, path: str, dialect: Dialect, *, outer: bool = False) -> Section:
    """Compile a list of parts; those of header and trailer (`outer`) may neither repeat nor vary in size."""
    parts: list[Part] = []
    for one in table.tables(key):
        part = _part(one, path, dialect, parts)
        if outer:
            _check_outer(one, part, dialect, key)
        if parts and (parts[-1].item.takes_rest and dialect.kind == "fixed"):
            one.problem("", part.name, "nothing behind a part that takes the rest")
        parts.append(part)
    if dialect.kind == "delimited":
        split = make_split(dialect.delimiter, dialect.charset)
        return delimited_section(path, tuple(parts), dialect.delimiter, split)
    return fixed_section(path, tuple(parts))


def _check_outer(table: Table, part: Part, dialect: Dialect, key: str) -> None:
    if table.text("layout") == "repeat":
        table.problem("layout", "repeat", "a list only in a body")
    if part.name == BODY:
        table.problem("name", BODY, "another name, since the body has this one")
    if dialect.kind == "fixed" and part.item.size is None:
        table.problem("prefix", part.name, "a fixed length, since the body's place rests on it")
    if part.computed and (key != "header" or dialect.kind == "pairs"):
        table.problem(
            "computed", part.computed, "nothing, outside the header of a fixed or delimited message"
        )


def _part(table: Table, path: str, dialect: Dialect, before: list[Part]) -> Part:
    name = table.name()
    if name in {part.name for part in before}:
        table.problem("name", name, "a name of its own")
    if path and name == UNREAD:
        table.problem("name", name, "another name, since unknown bodies have this one")
    about = _about(table, f"{path}.{name}" if path else name)
    if table.choice("layout", ("simple", "repeat"), "simple") == "repeat":
        part = _list(table, about, name, dialect, before)
    else:
        computed = table.choice("computed", COMPUTED, "")
        if path and computed:
            table.problem("computed", computed, "nothing, in a body")
        part = Part(_item(table, about, name, dialect), computed=computed)
        if computed and (part.item.binary or table.text("type") != "n"):
            table.problem("type", table.text("type"), "n, since the codec writes a number here")
    table.close()
    return part


def _about(table: Table, path: str) -> About:
    """Return what is said about a part; in pairs its `tag` is its name on the wire."""
    tag = table.name("tag") if table.has("tag") else ""
    return About(path, tag, table.text("title"), 0, table.sensitive())


def _list(table: Table, about: About, name: str, dialect: Dialect, before: list[Part]) -> Part:
    counted_by = table.text("counted_by")
    counts = {part.name for part in before if not part.group and not part.item.binary}
    if counted_by and (counted_by not in counts or dialect.kind == "pairs"):
        table.problem("counted_by", counted_by, "a part before the list, which is not in pairs")
    entries_max = table.number("entries_max", 1, ENTRIES_MAX, ENTRIES_MAX)
    if dialect.kind == "pairs":
        dialect.inner[about.path] = _inner(table, dialect)
    group: list[Item] = []
    for one in table.tables("parts"):
        inside = one.name()
        if inside in {item.name for item in group}:
            one.problem("name", inside, "a name of its own")
        item = _item(one, _about(one, f"{about.path}.{inside}"), inside, dialect)
        if dialect.kind == "fixed" and item.takes_rest:
            one.problem("prefix", "rest", "a length, inside a list")
        group.append(item)
        one.close()
    if not group:
        table.problem("parts", "nothing", "a list of parts")
    return Part(_list_item(about, name, not counted_by), tuple(group), counted_by, entries_max)


def _list_item(about: About, name: str, rest: bool) -> Item:
    """Return what names a list; its entries do the reading and writing."""

    def never(*_: object) -> Any:
        raise TypeError(f"{about.path} is a list, and read and written by its entries")

    return Item(about, name, None, never, never, never, never, never, takes_rest=rest)


def _inner(table: Table, dialect: Dialect) -> Inner:
    found = table.take("inner", list, "two delimiters", [";", ","])
    expected = f"two different delimiters, each {DELIMITER}"
    good = len(found) == 2 and found[0] != found[1] and all(_is_inner(one) for one in found)
    if not good:
        table.problem("inner", found, expected)
        found = [";", ","]
    entries, columns = (make_split(one, dialect.charset) for one in found)
    return Inner((found[0], found[1]), entries, columns)


def _is_inner(text: object) -> bool:
    return (
        isinstance(text, str)
        and len(text) == 1
        and text.isascii()
        and text.isprintable()
        and not text.isalnum()
    )


def _item(table: Table, about: About, name: str, dialect: Dialect) -> Item:
    """Compile a simple part of this dialect."""
    make: Callable[[About, str, Simple, bool], Item] = fixed_part
    types, prefixes = sorted(TYPES), ("fixed", "rest", *PREFIXES)
    if dialect.kind != "fixed":
        make, types, prefixes = column_part, TEXT_TYPES, ("rest",)
    kind = table.choice("type", types, "ans")
    if not table.has("type"):
        table.problem("type", "nothing", "one of " + ", ".join(types))
    row = TYPES[kind]
    fixed = dialect.kind == "fixed"
    prefix = table.choice("prefix", prefixes, prefixes[0])
    encoding = table.choice("encoding", _encodings(row.family, fixed), _encoding(row.family, dialect))
    padding = table.choice("padding", _paddings(kind), row.padding) if fixed else "none"
    unit = table.choice("unit", UNITS, "") if fixed else ""
    simple = Simple(kind, encoding, prefix, padding, 1, 1, unit)
    problem = problem_of(simple)
    if problem is not None:
        table.problem(*problem)
        simple = Simple(kind, _encoding(row.family, dialect), "fixed" if fixed else "rest", "none", 1, 1)
    length = _length(table, simple)
    return make(about, name, replace(simple, length=length, limit=length), table.flag("clip"))


def _length(table: Table, simple: Simple) -> int:
    prefix = prefix_of(simple)
    room = prefix.limit if prefix else LENGTH_MAX
    length = table.number("length", 1, min(room, LENGTH_MAX), 1)
    if not table.has("length"):
        table.problem("length", "nothing", "the greatest length in bytes")
    return length


def _paddings(kind: str) -> list[str]:
    """Return the paddings with which a value of this type can be read again: those that are taken off, or
    that may be part of the value."""
    check, sample = TYPES[kind].check, SAMPLES.get(kind, "A")
    found: list[str] = []
    for name, row in PADDINGS.items():
        padded = row.fill + sample if row.side == "left" else sample + row.fill
        if kind == "b" or row.strip or row.fill == "\0" or check(padded):
            found.append(name)
    return found


def _encodings(family: str, fixed: bool) -> list[str]:
    return [name for name, row in ENCODINGS.items() if family in row.families and (fixed or row.charset)]


def _encoding(family: str, dialect: Dialect) -> str:
    if family == "binary":
        return "raw"
    return "ascii" if family == "digits" else dialect.charset


def _cut_bytes(head: int, tail: int) -> Callable[[bytes], Regions]:
    """Header and trailer of a fixed message have fixed sizes, and the body what is left between them."""

    def cut(body: bytes) -> Regions:
        size = len(body)
        if size < head + tail:
            stop = min(head, size)
            return Regions((0, stop), (stop, stop), (stop, size))
        return Regions((0, head), (head, size - tail), (size - tail, size))

    return cut


def _cut_columns(
    dialect: Dialect, header: Section, trailer: Section, ending: int
) -> Callable[[bytes], Regions]:
    """Header and trailer of a delimited message have a fixed number of columns."""
    split = make_split(dialect.delimiter, dialect.charset)
    head, tail = len(header.parts), len(trailer.parts)

    def region(cells: list[Region], stop: int) -> Region:
        return (cells[0][0], cells[-1][1]) if cells else (stop, stop)

    def cut(body: bytes) -> Regions:
        stop = len(body) - ending
        cells = split(body, 0, stop)
        if len(cells) < head + tail:
            parts = [*header.parts, *trailer.parts]
            about = parts[len(cells)].item.about
            raise about.error(stop, "a column", "none", Reason.MISSING)
        inside = cells[head : len(cells) - tail]
        return Regions(
            region(cells[:head], 0),
            region(inside, stop) if inside else None,
            region(cells[len(cells) - tail :], stop),
        )

    return cut
