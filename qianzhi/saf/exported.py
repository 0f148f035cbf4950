"""The day-end file of what could not be settled online, for the other side to book by hand.  Pure.

    {"type":"header","format":"qianzhi-saf-1","site":…,"node":…,"destination":…,"date":YYYYMMDD}
    {"type":"entry","id":…,"kind":…,"key":…,"own_serial":…,"phone":…,"amount_fen":…,"reason":…,…}
    …
    {"type":"trailer","entries":N,"amount_fen":SUM,"sha256":"of all bytes before this line"}

One JSON object a line, UTF-8, LF.  `id` is the same in every file that holds the entry, for ever: whoever
imports books it once, and nothing of a file whose trailer does not fit.  The same entries give the same
bytes.
"""

import hashlib
from collections.abc import Collection, Iterable
from typing import Any, NamedTuple

import msgspec

from qianzhi.saf.rows import Entry

FORMAT = "qianzhi-saf-1"


class ExportError(Exception):
    """A file of which nothing may be imported; the text says what is wrong with it."""


class Head(NamedTuple):
    """Whose entries a file holds; `date` 0 stands for all business dates."""

    site: str
    node: str
    destination: str
    date: int


class Line(msgspec.Struct, frozen=True, tag="entry", kw_only=True):
    """One entry as the other side is told of it."""

    id: str
    kind: str
    key: str
    own_serial: str
    phone: str
    amount_fen: int
    reason: str
    made_us: int
    tries: int
    state: str
    why: str


class _Header(msgspec.Struct, frozen=True, tag="header", kw_only=True):
    format: str
    site: str
    node: str
    destination: str
    date: int


class _Trailer(msgspec.Struct, frozen=True, tag="trailer", kw_only=True):
    entries: int
    amount_fen: int
    sha256: str


class Export(NamedTuple):
    """A file that was read, whole and sound."""

    head: Head
    lines: list[Line]
    amount_fen: int
    sha256: str


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(_Header | Line | _Trailer).decode


def export(head: Head, entries: Iterable[Entry]) -> bytes:
    """Return the file of these entries, in the order of their ids."""
    lines = [_line(entry) for entry in sorted(entries, key=lambda entry: entry.id)]
    rows: list[Any] = [_Header(format=FORMAT, **head._asdict()), *lines]
    text = b"".join(_encode(row) + b"\n" for row in rows)
    trailer = _Trailer(
        entries=len(lines), amount_fen=sum(line.amount_fen for line in lines), sha256=_hash(text)
    )
    return text + _encode(trailer) + b"\n"


def read_export(data: bytes) -> Export:
    """Read a file; raises ExportError when anything of it is missing, changed or of another format."""
    *body, last = data.splitlines(keepends=True) or [b""]
    if len(body) < 1 or not last.endswith(b"\n"):
        raise ExportError("the file is cut off")
    try:
        header, *lines = [_decode(row) for row in body]
        trailer = _decode(last)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ExportError(f"a line cannot be read: {error}") from error
    if not isinstance(header, _Header) or header.format != FORMAT:
        raise ExportError(f"the first line is no header of format {FORMAT}")
    if not isinstance(trailer, _Trailer):
        raise ExportError("the last line is no trailer: the file is cut off")
    entries = [line for line in lines if isinstance(line, Line)]
    amount_fen = sum(line.amount_fen for line in entries)
    if len(entries) != len(lines) or trailer.entries != len(entries) or trailer.amount_fen != amount_fen:
        raise ExportError("the trailer's totals are not those of the lines")
    if trailer.sha256 != _hash(b"".join(body)):
        raise ExportError("the lines are not those that were written: the hash differs")
    head = Head(header.site, header.node, header.destination, header.date)
    return Export(head, entries, amount_fen, trailer.sha256)


def bring_in(read: Export, booked: Collection[str]) -> list[Line]:
    """Return the lines that are still to be booked, each once; `booked` are the ids of all before.

    The caller books each and notes its id in one transaction: then a file may be imported as often as one
    likes, and files that overlap, in any order.
    """
    new: dict[str, Line] = {}
    for line in read.lines:
        if line.id not in booked:
            new.setdefault(line.id, line)
    return list(new.values())


def _line(entry: Entry) -> Line:
    request = entry.request
    return Line(
        id=entry.id,
        kind=request.kind.name.lower(),
        key=request.key.text,
        own_serial=request.own_serial,
        phone=request.phone,
        amount_fen=request.amount_fen,
        reason=request.reason,
        made_us=entry.made_us,
        tries=entry.tries,
        state=entry.state.value,
        why=entry.why,
    )


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
