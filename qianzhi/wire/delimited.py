"""Parts between delimiters: every one is a column without padding, an empty column an absent value.

    030012|20261122|18200001234||5000|…|MAC

In GBK the second byte of a character may be an ASCII letter or the bar itself (0x7C), so that columns are
parted by characters, never by searching for a byte.
"""

import re
from collections.abc import Callable
from typing import Any

from qianzhi.wire.errors import EncodeError, Reason, RemoteProtocolError
from qianzhi.wire.items import Item, Message, Span
from qianzhi.wire.text_parts import Part, Section, Table, entries_stated, entry_tables, too_many

Cell = tuple[int, int]  # where a column starts and stops
Split = Callable[[bytes, int, int], list[Cell]]

# Characters whose second byte may look like ASCII.  Those of GB18030 with four bytes have only digits there,
# and a digit delimits nothing.
_WIDE = rb"[\x81-\xfe][\x40-\x7e\x80-\xfe]"
_WITH_WIDE = frozenset({"gbk", "gb18030"})


def make_split(delimiter: str, charset: str) -> Split:
    """Return a function that finds the columns of a text; a text without delimiters is one column."""
    byte = delimiter.encode("ascii")
    has_wide = charset in _WITH_WIDE
    pattern = re.compile(_WIDE + b"|" + re.escape(byte), re.DOTALL)

    def split(body: bytes, start: int, stop: int) -> list[Cell]:
        cells: list[Cell] = []
        at = start
        chunk = body[start:stop]
        if not has_wide or chunk.isascii():
            for column in chunk.split(byte):
                cells.append((at, at + len(column)))
                at += len(column) + 1
            return cells
        for found in pattern.finditer(body, start, stop):
            if found.group() == byte:
                cells.append((at, found.start()))
                at = found.end()
        cells.append((at, stop))
        return cells

    return split


def delimited_section(path: str, parts: tuple[Part, ...], delimiter: str, split: Split) -> Section:
    """Lay parts as columns; `path` is where they stand in the message, empty at the top.

    An empty text is no column where there may be none, else one empty column.
    """
    glue = delimiter.encode("ascii")
    counts = {part.counted_by for part in parts if part.counted_by}
    whole, entries = Table(path, parts), entry_tables(parts)
    fewest = sum(1 for part in parts if not part.group)

    def cells_of(body: bytes, start: int, stop: int) -> list[Cell]:
        return split(body, start, stop) if start < stop or fewest else []

    def fill(body: bytes, start: int, stop: int, into: Message) -> None:
        cells = Cells(cells_of(body, start, stop), stop)
        for part in parts:
            if part.group:
                _fill_list(part, body, cells, into)
                continue
            value = part.item.decode(body, *cells.take(part.item))[0]
            if value is not None:
                into[part.name] = value
        cells.close(parts[-1].item.about.path if parts else path)

    def encode(value: Any) -> bytes | None:
        table = whole.checked(value)
        columns: list[bytes] = []
        for part in parts:
            if part.group:
                for one in table[part.name]:
                    entry = entries[part.name].checked(one)
                    columns += [write_column(item, entry.get(item.name), delimiter) for item in part.group]
            else:
                columns.append(write_column(part.item, table.get(part.name), delimiter))
        return glue.join(columns) if columns else None

    def walk(body: bytes, start: int, stop: int, spans: list[Span]) -> None:
        cells = Cells(cells_of(body, start, stop), stop)
        known: Message = {}
        for part in parts:
            if part.group:
                _walk_list(part, body, cells, known, spans)
                continue
            cell = cells.take(part.item)
            if part.name in counts:
                known[part.name] = part.item.decode(body, *cell)[0] or "0"
            part.item.walk(body, *cell, spans)
        cells.close(parts[-1].item.about.path if parts else path)

    return Section(parts, fill, encode, walk)


class Cells:
    """The columns of one text, taken one after the other."""

    def __init__(self, cells: list[Cell], stop: int) -> None:
        self._cells = cells
        self._stop = stop
        self._next = 0

    @property
    def at(self) -> int:
        """Where the next column starts, or the end."""
        return self._cells[self._next][0] if self.left else self._stop

    @property
    def left(self) -> int:
        """How many columns are left."""
        return len(self._cells) - self._next

    def take(self, item: Item) -> Cell:
        """Return the next column, which is this item's; raises RemoteProtocolError when there is none."""
        if not self.left:
            raise missing(item, self._stop)
        self._next += 1
        return self._cells[self._next - 1]

    def close(self, path: str) -> None:
        """Raise RemoteProtocolError when columns are left, naming the one that should have been the last."""
        if self.left:
            expected = "the last column"
            raise RemoteProtocolError(path, self.at, expected, f"{self.left} more", Reason.TOTAL_LENGTH)


def missing(item: Item, at: int) -> RemoteProtocolError:
    """Return the error of a column that is not there."""
    return item.about.error(at, "a column", "none", Reason.MISSING)


def _fill_list(part: Part, body: bytes, cells: Cells, into: Message) -> None:
    stated = entries_stated(part, into, cells.at)
    entries: list[Message] = []
    while cells.left if stated is None else len(entries) < stated:
        if len(entries) == part.entries_max:
            raise too_many(part, cells.at)
        entries.append(read_entry(part, body, cells))
    if entries:
        into[part.name] = entries


def read_entry(part: Part, body: bytes, cells: Cells) -> Message:
    """Read one entry of a list from its columns."""
    entry: Message = {}
    for item in part.group:
        value = item.decode(body, *cells.take(item))[0]
        if value is not None:
            entry[item.name] = value
    return entry


def _walk_list(part: Part, body: bytes, cells: Cells, counts: Message, spans: list[Span]) -> None:
    stated = entries_stated(part, counts, cells.at)
    number = 0
    while cells.left if stated is None else number < stated:
        if number == part.entries_max:
            raise too_many(part, cells.at)
        for item in part.group:
            item.walk(body, *cells.take(item), spans)
        number += 1


def write_column(item: Item, value: Any, *delimiters: str) -> bytes:
    """Return a column's bytes; raises EncodeError for a value that a delimiter would cut in two."""
    data = item.bare(value)
    for delimiter in delimiters if value.__class__ is str else ():
        if delimiter in value:
            raise EncodeError(item.about.path, "a value without the delimiter", "one with it")
    return data
