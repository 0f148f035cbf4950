"""What the text dialects share: one part of a message, blank meaning absent, and a run of parts as a section.

A part is a simple field (`fields`) with one thing more: where its place is blank there is no value, and where
there is no value its place is blank.  `fixed_body` lays parts by width, `delimited` between delimiters,
`pairs` behind their names.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from qianzhi.wire.errors import EncodeError, Reason, RemoteProtocolError, shown
from qianzhi.wire.fields import make_simple
from qianzhi.wire.items import About, Decode, Encode, Item, Message, Span
from qianzhi.wire.rows import ENCODINGS, PADDINGS, PREFIXES, TYPES, is_digits
from qianzhi.wire.simple import Simple
from qianzhi.wire.text import clip

BLANKS = " \u3000"  # the full-width blank too: banks pad Chinese names with it


@dataclass(frozen=True)
class Part:
    """One part of a section; `group` is what an entry holds where the part is a list of entries.

    `counted_by` names the part before it that holds the number of entries (empty: the list takes all the
    rest), `computed` says which size the codec itself writes here and checks.
    """

    item: Item
    group: tuple[Item, ...] = ()
    counted_by: str = ""
    entries_max: int = 0
    computed: str = ""

    @property
    def name(self) -> str:
        """The step of the path."""
        return self.item.name


# (body, start, stop, the message or body being read): everything between the two must be used up.
Fill = Callable[[bytes, int, int, Message], None]
WalkSection = Callable[[bytes, int, int, list[Span]], None]


@dataclass(frozen=True)
class Section:
    """Header, body or trailer of a text message, compiled; `encode` gives None for no columns at all."""

    parts: tuple[Part, ...]
    fill: Fill
    encode: Callable[[Message], bytes | None]
    walk: WalkSection
    size: int | None = None  # in bytes, where it is always the same

    @property
    def names(self) -> set[str]:
        """What a message may hold here."""
        return {part.name for part in self.parts}

    @property
    def columns_min(self) -> int:
        """How many columns there are at least."""
        return sum(1 for part in self.parts if not part.group)


def fixed_part(about: About, name: str, row: Simple, clipped: bool) -> Item:
    """Compile a part of a fixed message: its place is blank where the value is absent."""
    item = make_simple(about, name, row)
    absent: bytes | None
    if row.prefix == "fixed" and ENCODINGS[row.encoding].charset:
        decode, absent = _read_padded(about, row), _blank(row)
    else:
        decode, absent = _read_sized(item), _nothing(item, row)
    return _with_absence(item, decode, absent, _clipper(about, row, clipped))


def column_part(about: About, name: str, row: Simple, clipped: bool) -> Item:
    """Compile a column, whose prefix is `rest`: an empty one is an absent value; blanks are kept."""
    item = make_simple(about, name, row)

    def decode(body: bytes, start: int, end: int) -> tuple[Any, int]:
        if start == end:
            return None, end
        if end - start > row.limit:
            expected = f"at most {row.limit} bytes"
            raise about.error(start, expected, str(end - start), Reason.LENGTH_TOO_LARGE)
        return item.decode(body, start, end)

    return _with_absence(item, decode, b"", _clipper(about, row, clipped))


def _with_absence(item: Item, decode: Decode, absent: bytes | None, cut: Callable[[Any], Any] | None) -> Item:
    """Return the item reading a blank place as None and writing None (or blanks) as a blank place.

    Where nothing at all stands for None, blanks are a value: they are written as they were read.
    """
    blanks = BLANKS if absent != b"" else ""

    def written(write: Encode) -> Encode:
        def encode(value: Any) -> bytes:
            if value is None or (value.__class__ is str and not value.strip(blanks)):
                if absent is None:
                    raise EncodeError(item.about.path, "a value", "none")
                return absent
            return write(cut(value) if cut else value)

        return encode

    about, charset = item.about, item.charset

    def walk(body: bytes, start: int, end: int, spans: list[Span]) -> int:
        if about.sensitive:  # may be starred already, so only its place is looked at
            begin, stop = item.bounds(body, start, end)
        else:
            _, stop = decode(body, start, end)
            begin = start if item.size is not None else item.bounds(body, start, end)[0]
        spans.append(Span(about.path, about.tag, about.title, about.sensitive, begin, stop, charset))
        return stop

    return Item(
        about=about,
        name=item.name,
        width=item.width,
        decode=decode,
        encode=written(item.encode),
        bare=written(item.bare),
        walk=walk,
        bounds=item.bounds,
        charset=charset,
        size=item.size,
        binary=item.binary,
        takes_rest=item.takes_rest,
    )


def _read_padded(about: About, row: Simple) -> Decode:
    """Read text of a fixed size: cut off the padding, then check what is left."""
    size, charset = row.length, ENCODINGS[row.encoding].charset
    kind = TYPES[row.type]
    check, quick, expected = kind.check, kind.quick, f"{row.length} bytes of {kind.expected}"
    strip, blanks = _stripper(row), BLANKS + PADDINGS[row.padding].fill.strip("0")

    def decode(body: bytes, start: int, end: int) -> tuple[str | None, int]:
        stop = start + size
        if stop > end:
            raise about.truncated(start, size, end - start)
        chunk = body[start:stop]
        if quick(chunk):
            return chunk.decode(), stop
        try:
            text = chunk.decode() if chunk.isascii() else str(chunk, charset)
        except UnicodeDecodeError as error:
            raise about.error(start + error.start, f"{charset} text", chunk[error.start :]) from error
        value = strip(text)
        if not value.strip(blanks):
            return None, stop
        if not check(value):
            raise about.error(start, expected, chunk)
        return value, stop

    return decode


def _stripper(row: Simple) -> Callable[[str], str]:
    padding = PADDINGS[row.padding]
    if not padding.strip and padding.fill != "\0":
        return lambda text: text
    taken = "\0" if padding.fill == "\0" else BLANKS
    if padding.side == "left":
        return lambda text: text.lstrip(taken)
    return lambda text: text.rstrip(taken)


def _blank(row: Simple) -> bytes:
    """Return the place of an absent value: its padding, or blanks where zeros would be a number."""
    fill = PADDINGS[row.padding].fill
    return (fill if fill == "\0" else " ").encode("ascii") * row.length


def _read_sized(item: Item) -> Decode:
    """Read what has a length of its own, or no blank form; a length of zero is an absent value."""
    plain, bounds, fixed = item.decode, item.bounds, item.size is not None

    def decode(body: bytes, start: int, end: int) -> tuple[Any, int]:
        if not fixed:
            begin, stop = bounds(body, start, end)
            if begin == stop:
                return None, stop
        return plain(body, start, end)

    return decode


def _nothing(item: Item, row: Simple) -> bytes | None:
    if row.prefix in PREFIXES:
        return PREFIXES[row.prefix].write(0)
    return item.blank


def _clipper(about: About, row: Simple, clipped: bool) -> Callable[[Any], Any] | None:
    charset = ENCODINGS[row.encoding].charset
    if not clipped or not charset:
        return None

    def cut(value: Any) -> Any:
        try:
            return clip(value, row.length, charset) if len(value.encode(charset)) > row.length else value
        except (AttributeError, UnicodeEncodeError):
            return value  # the field says what is wrong with it

    return cut


def entries_stated(part: Part, counts: Message, at: int) -> int | None:
    """Return how many entries the count says, None for a list that takes the rest.

    Raises RemoteProtocolError where the count is no number or more than the list may have.
    """
    if not part.counted_by:
        return None
    stated = counts.get(part.counted_by, "0")
    about = part.item.about
    if not is_digits(stated):
        raise about.error(at, f"digits in {part.counted_by}", "others", Reason.UNREADABLE)
    if len(stated) > 9 or int(stated) > part.entries_max:
        raise too_many(part, at)
    return int(stated)


def too_many(part: Part, at: int) -> RemoteProtocolError:
    """Return the error of a list with more entries than it may have."""
    expected = f"at most {part.entries_max} entries"
    return part.item.about.error(at, expected, "more", Reason.LENGTH_TOO_LARGE)


class Table:
    """What may stand in a table that is to be encoded; made once for each section and each list."""

    def __init__(self, path: str, parts: tuple[Part, ...]) -> None:
        self._path = path
        self._parts = {part.name: part for part in parts}
        self._lists = [part for part in parts if part.group]

    def checked(self, value: Any) -> Message:
        """Return the table, its counts filled in; raises EncodeError for what does not belong there."""
        path = self._path
        if value.__class__ is not dict:
            raise EncodeError(path or "message", "a table of parts", shown(value, "secret"))
        table: Message = value
        for name in table:
            if name not in self._parts:
                raise EncodeError(f"{path}.{name}".lstrip("."), "a known part", "an unknown name")
        for part in self._lists:
            table = _counted(part, table, self._parts)
        return table


def entry_tables(parts: tuple[Part, ...]) -> dict[str, Table]:
    """Return what may stand in an entry of each list among the parts."""
    return {
        part.name: Table(part.item.about.path, tuple(Part(item) for item in part.group))
        for part in parts
        if part.group
    }


def _counted(part: Part, table: Message, parts: dict[str, Part]) -> Message:
    """Fill in the count of a list where it is left out, and refuse a wrong one."""
    entries = table.get(part.name)
    about = part.item.about
    if entries is None:
        entries = []
    if not isinstance(entries, list):
        raise EncodeError(about.path, "a list", shown(entries, about.sensitive))
    if len(entries) > part.entries_max:
        raise EncodeError(about.path, f"at most {part.entries_max} entries", str(len(entries)))
    table = {**table, part.name: entries}
    if part.counted_by:
        stated = table.get(part.counted_by)
        if stated is None and entries:
            stated = f"{len(entries):0{parts[part.counted_by].item.width or 1}d}"
            table[part.counted_by] = stated
        if stated is not None and not (
            isinstance(stated, str) and is_digits(stated) and int(stated) == len(entries)
        ):
            path = parts[part.counted_by].item.about.path
            raise EncodeError(path, f"the number of {part.name} ({len(entries)})", shown(stated))
    return table
