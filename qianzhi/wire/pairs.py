"""Messages of named values, `code=030012&phone=18200001234&…`, percent-encoded in the dialect's charset.

They are written in the order of the spec and read in any; absent and empty values are left out.  A blank is
written as %20 and read as that or as a plus, which itself is always written as %2B.  A name twice and a name
that the message may not have are errors.  A list is one value: entries and their columns between two inner
delimiters.
"""

import re
from dataclasses import dataclass
from typing import Any

from qianzhi.wire.delimited import Cells, Split, read_entry, write_column
from qianzhi.wire.errors import EncodeError, Reason, RemoteProtocolError
from qianzhi.wire.items import FieldView, Message, Side, mask_bytes
from qianzhi.wire.paths import get_path
from qianzhi.wire.rows import is_digits
from qianzhi.wire.text_message import fault_view
from qianzhi.wire.text_parts import Part, Section, Table, entry_tables, too_many
from qianzhi.wire.text_paths import BODY, UNREAD, UNREAD_PATH, paths_of, sensitive_of, width_of
from qianzhi.wire.text_shape import Body, too_long

PAIR, EQUALS = b"&", b"="
_PLAIN = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_READABLE = re.compile(rb"(?:[!-$'-<>-~]|%[0-9A-Fa-f]{2})*")  # no & and no =: one would be a lost pair
_ESCAPED = re.compile(rb"%([0-9A-Fa-f]{2})|\+")


@dataclass(frozen=True)
class Inner:
    """How a list is written inside one value: `entries` parts it, `columns` parts an entry."""

    between: tuple[str, str]
    entries: Split
    columns: Split


@dataclass(frozen=True)
class PairsShape:
    """A dialect of named values, compiled; `inner` is for the parts that are lists, by their path."""

    header: Section
    bodies: tuple[Body, ...]
    trailer: Section
    inner: dict[str, Inner]
    charset: str
    bytes_max: int

    def body_of(self, header: Message) -> Body | None:
        """Return the first body that the header calls for."""
        return next((body for body in self.bodies if body.fits(header)), None)


@dataclass(frozen=True)
class Pair:
    """One name and where it and its value stand."""

    name: str
    start: int
    begin: int
    stop: int


class PairsCodec:
    """A compiled dialect of named values."""

    def __init__(self, shape: PairsShape) -> None:
        self._shape = shape
        self._sections = (shape.header, *(body.section for body in shape.bodies), shape.trailer)
        self._by_path = paths_of(self._sections)
        self._outer = _by_key(shape.header) | _by_key(shape.trailer)
        self._inside = {body.name: _by_key(body.section) for body in shape.bodies}
        self._secret = self._secrets()

    def _secrets(self) -> dict[str, str]:
        """Return how each known name's value is masked; what holds a secret anywhere is one in every body."""
        kinds: dict[str, str] = {}
        for section in self._sections:
            for key, part in _by_key(section).items():
                kind = "secret" if any(item.about.sensitive for item in part.group) else ""
                kinds[key] = kinds.get(key) or part.item.about.sensitive or kind
        return kinds

    # -- decode --

    def decode(self, body: bytes) -> Message:
        """Read a message; raises only RemoteProtocolError, whatever the bytes are."""
        message: Message = {}
        try:
            self._read(body, message)
        except RemoteProtocolError as error:
            error.partial = message
            raise
        return message

    def _read(self, body: bytes, message: Message) -> None:
        inside: list[Pair] = []
        for pair in self._pairs(body):
            part = self._outer.get(pair.name)
            if part is None:
                inside.append(pair)
            else:
                self._put(body, pair, part, message)
        if inside:
            self._read_body(body, inside, message)
        if not message:
            raise RemoteProtocolError("message", len(body), "a value", "none", Reason.MISSING)

    def _read_body(self, body: bytes, inside: list[Pair], message: Message) -> None:
        inner: Message = {}
        message[BODY] = inner
        chosen = self._shape.body_of(message)
        if chosen is None:
            inner[UNREAD] = PAIR.join([body[pair.start : pair.stop] for pair in inside])
            return
        known = self._inside[chosen.name]
        for pair in inside:
            part = known.get(pair.name)
            if part is None:
                raise RemoteProtocolError(
                    BODY, pair.start, f"names of {chosen.name}", "another name", Reason.FORBIDDEN
                )
            self._put(body, pair, part, inner)
        if not inner:
            del message[BODY]

    def _pairs(self, body: bytes) -> list[Pair]:
        """Return all pairs in their order, each name once; raises RemoteProtocolError."""
        if len(body) > self._shape.bytes_max:
            raise too_long(self._shape.bytes_max, len(body))
        pairs: list[Pair] = []
        names: set[str] = set()
        at = 0
        for raw in body.split(PAIR):
            name, equals, _ = raw.partition(EQUALS)
            if not equals or not name.replace(b"_", b"a").isalnum():
                raise RemoteProtocolError("message", at, "name=value", "something else", Reason.UNREADABLE)
            text = name.decode("ascii")
            if text in names:
                raise RemoteProtocolError("message", at, "each name once", "one twice", Reason.FORBIDDEN)
            names.add(text)
            pairs.append(Pair(text, at, at + len(name) + 1, at + len(raw)))
            at += len(raw) + 1
        return pairs

    def _put(self, body: bytes, pair: Pair, part: Part, into: Message) -> None:
        """Read one value into a table; an empty one is absent."""
        about = part.item.about
        raw = body[pair.begin : pair.stop]
        readable = _READABLE.match(raw)
        stop = readable.end() if readable else 0
        if stop < len(raw):
            raise about.error(pair.begin + stop, "a percent-encoded value", raw[stop : stop + 1])
        plain = _unescaped(raw)
        try:
            value = self._list(plain, part) if part.group else part.item.decode(plain, 0, len(plain))[0]
        except RemoteProtocolError as error:  # its offset counts in the value, which is written otherwise
            raise RemoteProtocolError(
                error.field, pair.begin, error.expected, error.found, error.reason
            ) from error
        if value:
            into[part.name] = value

    def _list(self, plain: bytes, part: Part) -> list[Message]:
        inner = self._shape.inner[part.item.about.path]
        entries: list[Message] = []
        for start, stop in inner.entries(plain, 0, len(plain)) if plain else []:
            if len(entries) == part.entries_max:
                raise too_many(part, start)
            cells = Cells(inner.columns(plain, start, stop), stop)
            entries.append(read_entry(part, plain, cells))
            cells.close(part.group[-1].about.path)
        return entries

    # -- encode --

    def encode(self, message: Message) -> bytes:
        """Write a message; raises EncodeError naming the path that the dialect cannot carry."""
        shape = self._shape
        unknown = message.keys() - shape.header.names - shape.trailer.names - {BODY}
        if unknown:
            raise EncodeError(min(map(str, unknown)), "a known name", "an unknown one")
        pairs = self._written(shape.header, "", _only(message, shape.header.names))
        pairs += self._encode_body(message)
        pairs += self._written(shape.trailer, "", _only(message, shape.trailer.names))
        data = PAIR.join(pairs)
        if not pairs or len(data) > shape.bytes_max:
            raise EncodeError("message", f"1 to {shape.bytes_max} bytes", str(len(data)))
        return data

    def _encode_body(self, message: Message) -> list[bytes]:
        value = message.get(BODY, {})
        chosen = self._shape.body_of(message)
        if chosen is not None:
            return self._written(chosen.section, BODY, value)
        if value == {}:
            return []
        unread = value.get(UNREAD) if isinstance(value, dict) and len(value) == 1 else None
        if type(unread) is not bytes:
            raise EncodeError(BODY, "a header that calls for a body", "one that fits none")
        return [unread]

    def _written(self, section: Section, path: str, value: Any) -> list[bytes]:
        table = Table(path, section.parts).checked(value)
        pairs: list[bytes] = []
        for part in section.parts:
            data = self._bare(part, table.get(part.name))
            if data:
                pairs.append(_key(part).encode("ascii") + EQUALS + _escaped(data))
        return pairs

    def _bare(self, part: Part, value: Any) -> bytes:
        """Return a value in the dialect's character set, not percent-encoded."""
        if not part.group:
            return part.item.bare(value)
        between = self._shape.inner[part.item.about.path].between
        entries: list[bytes] = []
        entry = entry_tables((part,))[part.name]
        for one in value or []:
            table = entry.checked(one)
            columns = [write_column(item, table.get(item.name), *between) for item in part.group]
            entries.append(between[1].encode("ascii").join(columns))
        return between[0].encode("ascii").join(entries)

    def field_bytes(self, path: str, message: Message, with_prefix: bool) -> bytes | None:
        """Return a value in the dialect's character set, not percent-encoded; None when it is absent.

        With its prefix it is `name=value`; `body` is all pairs of the body as they stand on the wire.
        """
        value = get_path(message, path)
        if value is None:
            return None
        if path in (BODY, UNREAD_PATH):
            return PAIR.join(self._encode_body(message))
        part = self._part(path, message)
        data = part.item.bare(value) if not part.group else self._bare(part, value)
        return _key(part).encode("ascii") + EQUALS + data if with_prefix else data

    def _part(self, path: str, message: Message) -> Part:
        """Return the part at a path, of the body that this message has where several have such a path."""
        plain = ".".join(step for step in path.split(".") if not is_digits(step))
        chosen = self._shape.body_of(message)
        sections = (*([chosen.section] if chosen else []), *self._sections)
        for section in sections:
            for part in section.parts:
                if part.item.about.path == plain:
                    return part
                for item in part.group:
                    if item.about.path == plain:
                        return Part(item)
        raise EncodeError(path, "a known name", "an unknown one")

    def covered(self, body: bytes, path: str, side: Side) -> bytes:
        """Return the bytes before or after the value at a path, names and all; raises EncodeError."""
        for part in (part for section in self._sections for part in section.parts):
            if part.item.about.path == path:
                for name, begin, stop in _values(body):
                    if name == _key(part):
                        return body[:begin] if side == "before" else body[stop:]
        raise EncodeError(path, "a part of this message", "none")

    def measure(self, buffer: bytes) -> int | None:
        """Raise RemoteProtocolError: only a frame says where named values end."""
        raise RemoteProtocolError(
            "message", 0, "a message that delimits itself", "another", Reason.UNREADABLE
        )

    # -- show --

    def describe(self, body: bytes) -> list[FieldView]:
        """Return a readable, masked dump, values as they are meant; never raises."""
        views: list[FieldView] = []
        by_key = {key: part for section in self._sections for key, part in _by_key(section).items()}
        masked = self.mask(body)
        for name, begin, stop in _values(body):
            part = by_key.get(name)
            if part is None:
                views.append(
                    FieldView(BODY, "", "Unknown name 未知名称", begin, stop - begin, "*" * (stop - begin))
                )
                continue
            raw = masked[begin:stop]
            value = raw if self._secret[name] else _unescaped(raw)
            text = value.decode(self._shape.charset, "replace")
            views.append(
                FieldView(part.item.about.path, name, part.item.about.title, begin, stop - begin, text)
            )
        try:
            self.decode(body)
        except RemoteProtocolError as error:
            starred = b"*" in body and error.reason not in (Reason.UNREADABLE, Reason.FORBIDDEN)
            views += [] if starred else [fault_view(error, len(body))]
        return views

    def mask(self, body: bytes, *, decoded: bool = False) -> bytes:
        """Return the body with sensitive values starred, of the same length; never raises.

        What stands behind an unknown name, or without one, is starred with it.
        """
        masked = bytearray(body)
        at = 0
        for raw in body.split(PAIR):
            stop = at + len(raw)
            name, equals, value = raw.partition(EQUALS)
            kind = self._secret.get(name.decode("latin-1")) if equals else None
            if kind is None:
                masked[at:stop] = b"*" * len(raw)
            elif kind or not _READABLE.fullmatch(value):
                plain = value.replace(b"*", b"").isalnum()
                shown = mask_bytes(value, kind, "ascii") if kind and plain else b"*" * len(value)
                masked[stop - len(value) : stop] = shown
            at = stop + 1
        return bytes(masked)

    # -- what it can carry --

    def paths(self) -> set[str]:
        """Return every path that a message of this dialect can have."""
        return set(self._by_path) | {BODY, UNREAD_PATH}

    def sensitive(self, path: str) -> str | None:
        """Return the kind of secrecy of a path (`pan`, `phone`, `name`, `secret`), or None."""
        return sensitive_of(self._by_path, path)

    def width(self, path: str) -> int | None:
        """Return the greatest length of a path's value in bytes before it is percent-encoded, or
        None."""
        return width_of(self._by_path, path)

    def binary(self, path: str) -> bool:
        """Tell whether a path's value is bytes; only what is kept unread is."""
        return path == UNREAD_PATH


def _key(part: Part) -> str:
    """Return the name on the wire: the part's tag, or its own name."""
    return part.item.about.tag or part.name


def _by_key(section: Section) -> dict[str, Part]:
    return {_key(part): part for part in section.parts}


def _only(message: Message, names: set[str]) -> Message:
    return {name: value for name, value in message.items() if name in names}


def _values(body: bytes) -> list[tuple[str, int, int]]:
    """Return (name, start and stop of the value) of whatever looks like a pair."""
    found: list[tuple[str, int, int]] = []
    at = 0
    for raw in body.split(PAIR):
        name, equals, _ = raw.partition(EQUALS)
        if equals:
            found.append((name.decode("latin-1"), at + len(name) + 1, at + len(raw)))
        at += len(raw) + 1
    return found


def _escaped(data: bytes) -> bytes:
    return b"".join([b"%c" % byte if byte in _PLAIN else b"%%%02X" % byte for byte in data])


def _unescaped(raw: bytes) -> bytes:
    return _ESCAPED.sub(lambda found: bytes.fromhex(found[1].decode()) if found[1] else b" ", raw)
