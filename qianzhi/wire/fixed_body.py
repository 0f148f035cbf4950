"""Parts by width: each has its place in bytes, one after the other, with lists of entries among them.

    | code 6 | date 8 | serial 20 | amount 12 | count 3 | bill 1: serial 20, month 6 … | bill 2 … |

Widths count bytes of the character set, never characters, and no character is ever cut in half: a part that
begins or ends inside one is an error of the peer's.
"""

from typing import Any

from qianzhi.wire.errors import Reason, RemoteProtocolError
from qianzhi.wire.items import Message, Span
from qianzhi.wire.text_parts import Part, Section, Table, entries_stated, entry_tables, too_many


def fixed_section(path: str, parts: tuple[Part, ...]) -> Section:
    """Lay parts by width; `path` is where they stand in the message, empty at the top."""
    counts = {part.counted_by for part in parts if part.counted_by}
    whole, entries = Table(path, parts), entry_tables(parts)

    def fill(body: bytes, start: int, stop: int, into: Message) -> None:
        at = start
        for part in parts:
            if part.group:
                at = _fill_list(part, body, at, stop, into)
                continue
            value, at = part.item.decode(body, at, stop)
            if value is not None:
                into[part.name] = value
        _check_end(path, at, stop)

    def encode(value: Any) -> bytes:
        table = whole.checked(value)
        pieces: list[bytes] = []
        for part in parts:
            if part.group:
                for one in table[part.name]:
                    entry = entries[part.name].checked(one)
                    pieces += [item.encode(entry.get(item.name)) for item in part.group]
            else:
                pieces.append(part.item.encode(table.get(part.name)))
        return b"".join(pieces)

    def walk(body: bytes, start: int, stop: int, spans: list[Span]) -> None:
        at = start
        known: Message = {}
        for part in parts:
            if part.group:
                at = _walk_list(part, body, at, stop, known, spans)
                continue
            if part.name in counts:
                known[part.name] = part.item.decode(body, at, stop)[0] or "0"
            at = part.item.walk(body, at, stop, spans)
        _check_end(path, at, stop)

    return Section(parts, fill, encode, walk, _size(parts))


def _size(parts: tuple[Part, ...]) -> int | None:
    sizes = [None if part.group else part.item.size for part in parts]
    return None if None in sizes else sum(size for size in sizes if size is not None)


def _check_end(path: str, at: int, stop: int) -> None:
    if at < stop:
        found = f"{stop - at} bytes"
        raise RemoteProtocolError(path or "message", at, "nothing more", found, Reason.TOTAL_LENGTH)


def _fill_list(part: Part, body: bytes, at: int, stop: int, into: Message) -> int:
    stated = entries_stated(part, into, at)
    entries: list[Message] = []
    while at < stop if stated is None else len(entries) < stated:
        if len(entries) == part.entries_max:
            raise too_many(part, at)
        entry: Message = {}
        for item in part.group:
            value, at = item.decode(body, at, stop)
            if value is not None:
                entry[item.name] = value
        entries.append(entry)
    if entries:
        into[part.name] = entries
    return at


def _walk_list(part: Part, body: bytes, at: int, stop: int, counts: Message, spans: list[Span]) -> int:
    stated = entries_stated(part, counts, at)
    number = 0
    while at < stop if stated is None else number < stated:
        if number == part.entries_max:
            raise too_many(part, at)
        for item in part.group:
            at = item.walk(body, at, stop, spans)
        number += 1
    return at
