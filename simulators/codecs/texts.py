"""Fixed-width and delimited messages as the simulated bank writes and reads them, by Python's codecs.

    +--------+-----------------------------------+---------+
    | header | the body whose `when` fits it     | trailer |
    +--------+-----------------------------------+---------+

Fixed parts are cut from the bytes by width.  Delimited messages are decoded as a whole first and then split
as text, so that no second byte of a character can pass for a delimiter.  A blank place, or an empty column,
is an absent value.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from simulators.codecs.cells import Cell, Defaults, Row, Scalar, charset_of, scalar_of, simple_cell
from simulators.codecs.paths import value_at
from simulators.codecs.source import BankCodecError, Source

Message = dict[str, Any]

ENTRIES_MAX = 999
BLANKS = " \u3000\0"


@dataclass(frozen=True)
class Part:
    """One part: its cell, or the parts of an entry where it is a list."""

    name: str
    path: str
    scalar: Scalar | None
    cell: Cell | None
    group: tuple["Part", ...] = ()
    counted_by: str = ""
    computed: str = ""

    def blank(self) -> bytes:
        """Return a fixed place with nothing in it."""
        scalar = self.scalar
        if scalar is None or scalar.type == "b" or scalar.padding == "nul_right":
            return b"\0" * (scalar.length if scalar else 0)
        return " ".encode(charset_of(scalar.encoding)) * scalar.length


def part_of(row: Row, above: str, defaults: Defaults) -> Part:
    """Compile one row of a header, body or trailer."""
    name = str(row["name"])
    path = f"{above}.{name}" if above else name
    if row.get("layout") == "repeat":
        group = tuple(part_of(one, path, defaults) for one in row["parts"])
        return Part(name, path, None, None, group, str(row.get("counted_by", "")))
    scalar, cell = scalar_of(row, path, defaults), simple_cell(row, path, defaults)
    return Part(name, path, scalar, cell, computed=str(row.get("computed", "")))


class Span(NamedTuple):
    """Where a value stands."""

    path: str
    start: int
    stop: int


class Taker(Protocol):
    """Gives the parts of a section one after the other, whatever parts them."""

    @property
    def more(self) -> bool:
        """Whether something is left."""

    def take(self, part: Part) -> str | bytes | None:
        """Return the next value, None when it is absent."""

    def close(self, path: str) -> None:
        """Hear that `path` was the section's last part; raises BankCodecError where more is left."""


class FixedTaker:
    """Takes parts by width."""

    def __init__(self, source: Source, spans: list[Span]) -> None:
        self._source = source
        self._spans = spans

    @property
    def more(self) -> bool:
        """Whether something is left."""
        return self._source.left > 0

    def take(self, part: Part) -> Any:
        """Return the next value, None where its place is blank."""
        start = self._source.at
        if part.cell is None:
            raise BankCodecError(f"{part.path} is a list")
        value = part.cell.read(self._source)
        self._spans.append(Span(part.path, start, self._source.at))
        if isinstance(value, str):
            value = value if value.strip(BLANKS) else None
            scalar = part.scalar
            if value is not None and scalar is not None and scalar.padding in ("spaces_right", "spaces_left"):
                value = (
                    value.rstrip("\u3000 ") if scalar.padding == "spaces_right" else value.lstrip("\u3000 ")
                )
        return value

    def close(self, path: str) -> None:
        """What follows belongs to the next section."""


class ColumnTaker:
    """Takes parts from columns of text; `at` is where the first column starts in bytes."""

    def __init__(self, columns: list[str], at: int, charset: str, spans: list[Span]) -> None:
        self._columns = columns
        self._next = 0
        self._at = at
        self._charset = charset
        self._spans = spans

    @property
    def more(self) -> bool:
        """Whether something is left."""
        return self._next < len(self._columns)

    def take(self, part: Part) -> Any:
        """Return the next column, None when it is empty."""
        if not self.more:
            raise BankCodecError(f"{part.path} is missing")
        text = self._columns[self._next]
        size = len(text.encode(self._charset))
        self._spans.append(Span(part.path, self._at, self._at + size))
        self._next += 1
        self._at += size + 1
        if part.scalar is not None and part.scalar.length and size > part.scalar.length:
            raise BankCodecError(f"{part.path} is too long")
        return text or None

    def close(self, path: str) -> None:
        """Raise BankCodecError when columns are left."""
        if self.more:
            raise BankCodecError(f"columns behind {path}")


@dataclass(frozen=True)
class BodyRows:
    """One of the bodies, and the header that calls for it."""

    when: dict[str, list[str]]
    parts: tuple[Part, ...]
    delimiter: str = ""

    def fits(self, header: Message) -> bool:
        """Tell whether the header calls for this body."""
        return all(_allows(wanted, header.get(name)) for name, wanted in self.when.items())


def _allows(wanted: list[str], found: Any) -> bool:
    if found is None or not str(found).strip(BLANKS):
        return "" in wanted
    return "*" in wanted or found in wanted


class TextBankCodec:
    """Messages of one fixed or delimited spec that has been read into a tree."""

    def __init__(self, tree: Row) -> None:
        self._charset = str(tree.get("charset", "gbk")).lower()
        self._delimiter = str(tree.get("delimiter", "")) if tree["kind"] == "delimited" else ""
        self._ending = str(tree.get("ending", "")).encode("ascii")
        defaults = Defaults(self._charset, self._charset)
        self._defaults = defaults
        self._header = self._parts(tree.get("header", []), "", self._delimiter)
        self._trailer = self._parts(tree.get("trailer", []), "", self._delimiter)
        self._bodies = [self._body(row) for row in tree.get("bodies", [])]
        self.card_path = ""

    def _parts(self, rows: list[Row], above: str, delimiter: str) -> tuple[Part, ...]:
        """Compile rows; as columns they have no padding, and their length is a bound."""
        return tuple(part_of(_as_column(row) if delimiter else row, above, self._defaults) for row in rows)

    def _body(self, row: Row) -> BodyRows:
        delimiter = self._delimiter
        if row.get("layout") == "delimited":
            delimiter = str(row.get("delimiter", "|"))
        when = {name: [value] if isinstance(value, str) else value for name, value in row["when"].items()}
        return BodyRows(when, self._parts(row.get("parts", []), "body", delimiter), delimiter)

    # -- writing

    def encode(self, message: Message) -> bytes:
        """Return a message's bytes, its sizes filled in; raises BankCodecError."""
        known = {part.name for part in (*self._header, *self._trailer)} | {"body"}
        unknown = set(message) - known
        if unknown:
            raise BankCodecError(f"there is no part {min(unknown)}")
        body = self._written_body(message)
        trailer = self._section(self._trailer, message, self._delimiter)
        header = dict(message)
        for _ in range(2):  # once to learn the sizes, once with them
            data = self._joined(self._section(self._header, header, self._delimiter), body, trailer)
            sizes = {"total_bytes": len(data), "body_bytes": len(body or b"")}
            for part in self._header:
                if part.computed and part.scalar is not None:
                    header[part.name] = f"{sizes[part.computed]:0{part.scalar.length}d}"
        return self._joined(self._section(self._header, header, self._delimiter), body, trailer)

    def _written_body(self, message: Message) -> bytes | None:
        chosen = self._chosen(message)
        values = message.get("body", {})
        if chosen is None:
            if values and set(values) != {"unread"}:
                raise BankCodecError("the header calls for no body that this one could be")
            unread: bytes | None = values.get("unread")
            return unread
        unknown = set(values) - {part.name for part in chosen.parts}
        if unknown:
            raise BankCodecError(f"this message has no body.{min(unknown)}")
        return self._section(chosen.parts, values, chosen.delimiter)

    def _chosen(self, header: Message) -> BodyRows | None:
        return next((body for body in self._bodies if body.fits(header)), None)

    def _joined(self, *regions: bytes | None) -> bytes:
        glue = self._delimiter.encode("ascii")
        return glue.join([region for region in regions if region is not None]) + self._ending

    def _section(self, parts: tuple[Part, ...], values: Message, delimiter: str) -> bytes | None:
        counts = {part.counted_by: part for part in parts if part.counted_by}
        pieces: list[bytes] = []
        for part in parts:
            value = values.get(part.name)
            if value is None and part.name in counts and values.get(counts[part.name].name):
                value = f"{len(values[counts[part.name].name]):0{part.scalar.length if part.scalar else 1}d}"
            if part.group:
                for entry in value or []:
                    pieces += [_written(one, entry.get(one.name), delimiter) for one in part.group]
            else:
                pieces.append(_written(part, value, delimiter))
        if delimiter:
            return delimiter.encode("ascii").join(pieces) if pieces else None
        return b"".join(pieces)

    # -- reading

    def decode(self, data: bytes) -> Message:
        """Read a message; raises BankCodecError."""
        return self._read(data)[0]

    def _read(self, data: bytes) -> tuple[Message, list[Span]]:
        if self._ending:
            if not data.endswith(self._ending):
                raise BankCodecError("the message has another ending")
            data = data[: -len(self._ending)]
        spans: list[Span] = []
        read = self._read_columns if self._delimiter else self._read_fixed
        return read(data, spans), spans

    def _read_fixed(self, data: bytes, spans: list[Span]) -> Message:
        source = Source(data, 0, len(data) - _width(self._trailer))
        message = self._values(self._header, FixedTaker(source, spans))
        chosen = self._chosen(message)
        inner: Message = {}
        if chosen is None and source.left:
            inner = {"unread": source.take(source.left, "body")}
        elif chosen is not None and chosen.delimiter:
            at = source.at
            text = self._text(source.take(source.left, "body"))
            taker = ColumnTaker(text.split(chosen.delimiter), at, self._charset, spans)
            inner = self._values(chosen.parts, taker)
        elif chosen is not None:
            inner = self._values(chosen.parts, FixedTaker(source, spans))
        source.finish("body")
        end = Source(data, source.at)
        if inner:
            message["body"] = inner
        message.update(self._values(self._trailer, FixedTaker(end, spans)))
        end.finish("trailer")
        self._check_sizes(message, len(data) + len(self._ending), end.data, source.at)
        return message

    def _read_columns(self, data: bytes, spans: list[Span]) -> Message:
        columns = self._text(data).split(self._delimiter)
        last = len(columns) - len(self._trailer)
        regions = [columns[: len(self._header)], columns[len(self._header) : last], columns[last:]]
        starts = [0]
        for region in regions[:2]:
            starts.append(starts[-1] + sum(len(one.encode(self._charset)) + 1 for one in region))
        takers = [
            ColumnTaker(region, at, self._charset, spans) for region, at in zip(regions, starts, strict=True)
        ]
        message = self._values(self._header, takers[0])
        chosen = self._chosen(message)
        if chosen is not None:
            inner = self._values(chosen.parts, takers[1])
        else:
            unread = self._delimiter.join(regions[1]).encode(self._charset)
            inner = {"unread": unread} if unread else {}
        if inner:
            message["body"] = inner
        message.update(self._values(self._trailer, takers[2]))
        return message

    def _text(self, data: bytes) -> str:
        try:
            return data.decode(self._charset)
        except UnicodeDecodeError as error:
            raise BankCodecError(f"no {self._charset} text") from error

    def _values(self, parts: tuple[Part, ...], taker: Taker) -> Message:
        values: Message = {}
        for part in parts:
            if part.group:
                entries = list(self._entries(part, values, taker))
                if entries:
                    values[part.name] = entries
            else:
                value = taker.take(part)
                if value is not None:
                    values[part.name] = value
        taker.close(parts[-1].path if parts else "the message")
        return values

    def _entries(self, part: Part, values: Message, taker: Taker) -> Iterator[Message]:
        stated = str(values.get(part.counted_by, "0")) if part.counted_by else ""
        if stated and not (stated.isascii() and stated.isdigit()):
            raise BankCodecError(f"{part.counted_by} is no number")
        for _ in range(int(stated) if stated else ENTRIES_MAX):
            if not stated and not taker.more:
                return
            taken = [(one.name, taker.take(one)) for one in part.group]
            yield {name: value for name, value in taken if value is not None}

    def _check_sizes(self, message: Message, total: int, data: bytes, body_end: int) -> None:
        sizes = {"total_bytes": total, "body_bytes": body_end - _width(self._header)}
        for part in self._header:
            stated = str(message.get(part.name, ""))
            if part.computed and (not stated.isdigit() or int(stated) != sizes[part.computed]):
                raise BankCodecError(f"{part.path} says another size than {len(data)} bytes have")

    # -- for MACs

    def field(self, path: str, message: Message, *, with_prefix: bool = False) -> bytes | None:
        """Return a value as it stands on the wire with its padding, None when it is absent."""
        value = value_at(message, path)
        if value is None:
            return None
        part = self._part(path, message)
        if part.cell is None:
            raise BankCodecError(f"{path} is a list")
        return part.cell.write(value) if with_prefix else part.cell.bare(value)

    def _part(self, path: str, message: Message) -> Part:
        chosen = self._chosen(message)
        bodies = [chosen] if chosen is not None else self._bodies
        parts = (*self._header, *self._trailer, *(part for body in bodies for part in body.parts))
        for part in parts:
            if part.path == path:
                return part
        raise BankCodecError(f"there is no part {path}")

    def covered(self, data: bytes, path: str, side: str) -> bytes:
        """Return the bytes before or after the value at a path, with all delimiters."""
        for span in self._read(data)[1]:
            if span.path == path:
                return data[: span.start] if side == "before" else data[span.stop :]
        raise BankCodecError(f"{path} is not in this message")

    def binary(self, path: str) -> bool:
        """Tell whether a path's value is bytes."""
        bodies = (part for body in self._bodies for part in body.parts)
        parts = (*self._header, *self._trailer, *bodies)
        return any(
            part.path == path and part.scalar is not None and part.scalar.type == "b" for part in parts
        )


def _as_column(row: Row) -> Row:
    """Return a row without padding; its length is a bound then.  A list's parts are columns too."""
    if row.get("layout") == "repeat":
        return {**row, "parts": [_as_column(one) for one in row["parts"]]}
    return {**row, "prefix": "rest", "padding": "none"}


def _written(part: Part, value: Any, delimiter: str) -> bytes:
    """Return one part; an absent value is a blank place, or an empty column."""
    if part.cell is None:
        raise BankCodecError(f"{part.path} is a list")
    if value is None or (isinstance(value, str) and not value.strip(BLANKS)):
        return b"" if delimiter else part.blank()
    if delimiter and delimiter in str(value):
        raise BankCodecError(f"{part.path} contains the delimiter")
    return part.cell.bare(value) if delimiter else part.cell.write(value)


def _width(parts: tuple[Part, ...]) -> int:
    """Return how many bytes fixed parts take."""
    return sum(part.scalar.size(part.scalar.length) for part in parts if part.scalar is not None)
