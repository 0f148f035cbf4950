"""Layouts inside one field: parts in a row, repeats of a group, and values behind a tag.

    parts    | a | b | c | …            tagged    | tag | content …                     (length_digits 0)
    repeat   | a | b | a | b | …                  | tag | length | content | tag | …    (length_digits > 0)

A layout only fills the space between `start` and `stop`; `framed` puts the field's own length around it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from qianzhi.wire.errors import EncodeError, Reason, RemoteProtocolError, shown
from qianzhi.wire.items import About, Inside, Item, Message, Nest, Span, make_bounds, star_item
from qianzhi.wire.layout import Layout, star_layout
from qianzhi.wire.rows import ASCII_PREFIXES, PREFIXES, UNPREFIXED, is_digits


@dataclass(frozen=True)
class Frame:
    """The length around a layout; `shortest` and `limit` bound it in bytes."""

    prefix: str
    length: int
    limit: int
    shortest: int = 0


def framed(about: About, name: str, frame: Frame, layout: Layout) -> Item:
    """Put a field's own length around what stands inside."""
    prefix = PREFIXES.get(frame.prefix)
    units = {"fixed": frame.length, "rest": -1}.get(frame.prefix, frame.limit)
    bounds = make_bounds(about, prefix, units, None)

    def decode(body: bytes, start: int, end: int) -> tuple[Any, int]:
        begin, stop = bounds(body, start, end)
        if stop - begin < frame.shortest:
            raise about.truncated(begin, frame.shortest, stop - begin)
        return layout.decode(body, begin, stop), stop

    def bare(value: Any) -> bytes:
        data = layout.encode(value)
        if frame.prefix == "fixed" and len(data) != frame.length:
            raise EncodeError(about.path, f"exactly {frame.length} bytes", str(len(data)))
        if frame.prefix != "rest" and len(data) > frame.limit:
            raise EncodeError(about.path, f"at most {frame.limit} bytes", str(len(data)))
        return data

    def encode(value: Any) -> bytes:
        data = bare(value)
        return prefix.write(len(data)) + data if prefix else data

    def walk(body: bytes, start: int, end: int, spans: list[Span]) -> int:
        begin, stop = bounds(body, start, end)
        charset = "" if about.sensitive else None
        spans.append(Span(about.path, about.tag, about.title, about.sensitive, begin, stop, charset))
        if not about.sensitive:
            layout.walk(body, begin, stop, spans)
        return stop

    return Item(
        about=about,
        name=name,
        width=frame.length,
        decode=decode,
        encode=encode,
        bare=bare,
        walk=walk,
        bounds=bounds,
        size=frame.length if frame.prefix == "fixed" else None,
        takes_rest=frame.prefix == "rest",
        children=layout.children,
        hides=layout.hides,
        nest=_nest(frame, layout),
        star=layout.star,
    )


def _nest(frame: Frame, layout: Layout) -> Nest | None:
    digits = ASCII_PREFIXES.get(frame.prefix, 0)
    if layout.inside is None or not (digits or frame.prefix in UNPREFIXED):
        return None
    size = frame.length if frame.prefix == "fixed" else -1
    return Nest(digits, size, frame.limit, frame.shortest, layout.inside)


def parts(
    about: About, items: list[Item], rest: Item | None, shortest: int, counts: dict[str, str]
) -> Layout:
    """Lay parts in a row.

    With `rest` the row is open: it may end early, and what follows the last whole part decodes under
    `rest.name`. When an open row is encoded, parts left out between others (and up to `shortest` bytes) are
    filled with nothing. `counts` names parts that hold the number of entries of another part.
    """
    by_name = {item.name: item for item in items}
    known = set(by_name) | ({rest.name} if rest else set())

    def decode(body: bytes, start: int, stop: int) -> Message:
        value: Message = {}
        at = start
        for item in items:
            if at == stop and not item.takes_rest and rest:
                break
            if rest and item.blank is not None and at + len(item.blank) > stop:
                break
            value[item.name], at = item.decode(body, at, stop)
        if at < stop:
            if rest is None:
                raise about.error(at, "nothing more", f"{stop - at} bytes", Reason.TOTAL_LENGTH)
            value[rest.name], at = rest.decode(body, at, stop)
        _check_counts(about, counts, value, start)
        return value

    def encode(value: Any) -> bytes:
        table = as_table(about, value, known)
        if counts:
            table = _with_counts(about, counts, table, by_name)
        return _join_parts(about, items, rest, shortest, table)

    def walk(body: bytes, start: int, stop: int, spans: list[Span]) -> None:
        at = start
        for item in items:
            if rest and (at == stop or (item.blank is not None and at + len(item.blank) > stop)):
                break
            at = item.walk(body, at, stop, spans)
        if at < stop and rest:
            rest.walk(body, at, stop, spans)
        elif at < stop:
            raise about.error(at, "nothing more", f"{stop - at} bytes", Reason.TOTAL_LENGTH)

    blanks = [(item, len(item.blank) if item.blank is not None else 0) for item in items]

    def star(body: bytes, start: int, stop: int, masked: bytearray) -> None:
        at = start
        for item, blank in blanks:
            if rest and (at == stop or at + blank > stop):
                break
            at = star_item(item, body, at, stop, masked)
        if at < stop and rest:
            star_item(rest, body, at, stop, masked)
        elif at < stop:
            raise about.error(at, "nothing more", f"{stop - at} bytes", Reason.TOTAL_LENGTH)

    kind: Literal["open", "parts"] = "open" if rest else "parts"
    inside = None if counts else Inside(kind, tuple(items), rest, shortest)
    return Layout(decode, encode, walk, (*items, *([rest] if rest else [])), star=star, inside=inside)


def _join_parts(about: About, items: list[Item], rest: Item | None, shortest: int, table: Message) -> bytes:
    if rest is None:
        missing = [item.name for item in items if item.name not in table]
        if missing:
            raise EncodeError(f"{about.path}.{missing[0]}", "a value", "none")
        return b"".join([item.encode(table[item.name]) for item in items])
    last = max((at for at, item in enumerate(items) if item.name in table), default=-1)
    if rest.name in table and last < 0 and items:
        return rest.encode(table[rest.name])
    pieces: list[bytes] = []
    size = 0
    for at, item in enumerate(items):
        if at > last and size >= shortest:
            break
        if item.name in table:
            piece = item.encode(table[item.name])
        elif item.blank is not None:
            piece = item.blank
        else:
            raise EncodeError(item.about.path, "a value", "none")
        pieces.append(piece)
        size += len(piece)
    if rest.name in table:
        pieces.append(rest.encode(table[rest.name]))
    return b"".join(pieces)


def _check_counts(about: About, counts: dict[str, str], value: Message, offset: int) -> None:
    for name, counted in counts.items():
        stated, entries = value.get(name, "0"), value.get(counted, [])
        if not is_digits(stated) or int(stated) != len(entries):
            raise about.error(offset, f"{name} to count the {counted}", str(len(entries)), Reason.UNREADABLE)


def _with_counts(about: About, counts: dict[str, str], table: Message, by_name: dict[str, Item]) -> Message:
    """Fill in counts that are left out, and refuse those that are wrong."""
    table = dict(table)
    for name, counted in counts.items():
        entries = table.setdefault(counted, [])
        size = len(entries) if isinstance(entries, list) else 0
        stated = table.setdefault(name, f"{size:0{by_name[name].width or 1}d}")
        if not (isinstance(stated, str) and is_digits(stated) and int(stated) == size):
            raise EncodeError(f"{about.path}.{name}", f"the number of {counted} ({size})", shown(stated))
    return table


def as_table(about: About, value: Any, known: set[str]) -> Message:
    """Return the value as a dict that holds only known names; raises EncodeError."""
    if not isinstance(value, dict):
        raise EncodeError(about.path, "a table of parts", shown(value, about.sensitive))
    unknown = value.keys() - known
    if unknown:
        raise EncodeError(f"{about.path}.{min(map(str, unknown))}", "a part of this field", "an unknown name")
    return value


def repeat(about: About, group: Layout, items: list[Item], entries_max: int) -> Layout:
    """Repeat a group of parts until the space is used up; the value is a list of dicts."""

    def decode(body: bytes, start: int, stop: int) -> list[Message]:
        entries: list[Message] = []
        at = start
        while at < stop:
            if len(entries) == entries_max:
                raise about.error(at, f"at most {entries_max} entries", "more", Reason.LENGTH_TOO_LARGE)
            entry: Message = {}
            for item in items:
                entry[item.name], at = item.decode(body, at, stop)
            entries.append(entry)
        return entries

    def encode(value: Any) -> bytes:
        if not isinstance(value, list):
            raise EncodeError(about.path, "a list", shown(value, about.sensitive))
        if len(value) > entries_max:
            raise EncodeError(about.path, f"at most {entries_max} entries", str(len(value)))
        return b"".join([group.encode(entry) for entry in value])

    def walk(body: bytes, start: int, stop: int, spans: list[Span]) -> None:
        at = start
        while at < stop:
            for item in items:
                at = item.walk(body, at, stop, spans)

    inside = group.inside and Inside("repeat", tuple(items), entries_max=entries_max)
    return Layout(decode, encode, walk, tuple(items), inside=inside)


@dataclass(frozen=True)
class Tags:
    """How a tagged layout writes its tags; `length_digits` 0 means one tag whose content is all the rest."""

    tag_length: int
    length_digits: int


def tagged(about: About, tags: Tags, cases: dict[str, Layout], other: Callable[[str], Layout]) -> Layout:
    """Lay values behind printable tags; the value is `{tag: content}`, and `other(tag)` reads unlisted
    tags."""

    def layout_of(tag: str) -> Layout:
        return cases.get(tag) or other(tag)

    def read_tag(body: bytes, at: int, stop: int) -> tuple[str, int, int]:
        """Return the tag and where its content starts and stops."""
        begin = at + tags.tag_length
        if begin + tags.length_digits > stop:
            raise about.truncated(at, tags.tag_length + tags.length_digits, stop - at)
        raw = body[at:begin]
        if not raw.isalnum():
            raise about.error(at, "a tag of letters and digits", raw)
        if not tags.length_digits:
            return raw.decode("ascii"), begin, stop
        digits = body[begin : begin + tags.length_digits]
        begin += tags.length_digits
        if not digits.isdigit():
            found = digits.hex().upper()
            raise about.error(begin, "a length in digits", found, Reason.LENGTH_CHARACTER)
        end = begin + int(digits)
        if end > stop:
            raise about.truncated(begin, int(digits), stop - begin)
        return raw.decode("ascii"), begin, end

    def decode(body: bytes, start: int, stop: int) -> Message:
        value: Message = {}
        at = start
        while at < stop or at == start:
            tag, begin, end = read_tag(body, at, stop)
            if tag in value:
                raise about.error(at, "each tag once", f"{tag} twice", Reason.FORBIDDEN)
            value[tag] = layout_of(tag).decode(body, begin, end)
            at = end
        return value

    def encode(value: Any) -> bytes:
        if not isinstance(value, dict) or not value or (not tags.length_digits and len(value) != 1):
            raise EncodeError(about.path, "a table of one tag", shown(value, about.sensitive))
        return b"".join([_write_tag(about, tags, tag, layout_of, content) for tag, content in value.items()])

    def walk(body: bytes, start: int, stop: int, spans: list[Span]) -> None:
        at = start
        while at < stop or at == start:
            tag, begin, end = read_tag(body, at, stop)
            path = f"{about.path}.{tag}"
            spans.append(Span(path, tag, "", "", begin, end, None))
            layout_of(tag).walk(body, begin, end, spans)
            at = end

    def star(body: bytes, start: int, stop: int, masked: bytearray) -> None:
        at = start
        while at < stop or at == start:
            tag, begin, end = read_tag(body, at, stop)
            star_layout(layout_of(tag), body, begin, end, masked)
            at = end

    children = tuple(child for layout in cases.values() for child in layout.children)
    known = {tag: layout.inside for tag, layout in cases.items() if layout.inside is not None}
    inside = Inside("tagged", tag_length=tags.tag_length, length_digits=tags.length_digits, cases=known)
    return Layout(decode, encode, walk, children, hides=True, star=star, inside=inside)


def _write_tag(about: About, tags: Tags, tag: str, layout_of: Callable[[str], Layout], content: Any) -> bytes:
    if not (isinstance(tag, str) and tag.isascii() and tag.isalnum() and len(tag) == tags.tag_length):
        raise EncodeError(about.path, f"tags of {tags.tag_length} letters and digits", shown(tag))
    data = layout_of(tag).encode(content)
    if not tags.length_digits:
        return tag.encode("ascii") + data
    if len(data) >= 10**tags.length_digits:
        raise EncodeError(f"{about.path}.{tag}", f"a length of {tags.length_digits} digits", str(len(data)))
    return tag.encode("ascii") + b"%0*d" % (tags.length_digits, len(data)) + data


def whole(item: Item) -> Layout:
    """Read everything as one value: `{item.name: value}`; `item` takes the rest of its container."""

    def decode(body: bytes, start: int, stop: int) -> Message:
        return {item.name: item.decode(body, start, stop)[0]}

    def encode(value: Any) -> bytes:
        table = as_table(item.about, value, {item.name})
        if item.name not in table:
            raise EncodeError(item.about.path, "a value", "none")
        return item.encode(table[item.name])

    def walk(body: bytes, start: int, stop: int, spans: list[Span]) -> None:
        item.walk(body, start, stop, spans)

    return Layout(decode, encode, walk, (item,))


def with_fallback(layout: Layout, plain: Layout, name: str) -> Layout:
    """Read by `layout`, or whole under `name` where the content is something else."""

    def decode(body: bytes, start: int, stop: int) -> Any:
        try:
            return layout.decode(body, start, stop)
        except RemoteProtocolError:
            return plain.decode(body, start, stop)

    def encode(value: Any) -> bytes:
        is_plain = isinstance(value, dict) and value.keys() == {name}
        return plain.encode(value) if is_plain else layout.encode(value)

    def walk(body: bytes, start: int, stop: int, spans: list[Span]) -> None:
        """Show by the layout only what is read by it; what is starred already cannot be read again."""
        known = len(spans)
        try:
            layout.walk(body, start, stop, spans)
            if b"*" not in body[start:stop]:
                layout.decode(body, start, stop)
        except RemoteProtocolError:
            del spans[known:]
            plain.walk(body, start, stop, spans)

    return Layout(decode, encode, walk, (*layout.children, *plain.children), layout.hides or plain.hides)
