"""Messages of named values as the simulated bank writes and reads them: `name=value&name=value`.

A value is text in Python's codec for the character set, then percent-encoded; a blank is %20, and read as
that or as a plus.  What is absent or empty is left out.  A list is one value with two inner delimiters.
"""

from typing import Any

from simulators.codecs.cells import Defaults, Row
from simulators.codecs.paths import value_at
from simulators.codecs.source import BankCodecError
from simulators.codecs.texts import BodyRows, Part, part_of

Message = dict[str, Any]

PLAIN = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~"
INNER = (";", ",")


class Name:
    """One name of a section: the part, its key on the wire, and the inner delimiters of a list."""

    def __init__(self, row: Row, above: str, defaults: Defaults) -> None:
        column = {"prefix": "rest", "padding": "none"}
        is_list = row.get("layout") == "repeat"
        parts = [{**one, **column} for one in row.get("parts", [])]
        self.part: Part = part_of({**row, "parts": parts} if is_list else {**row, **column}, above, defaults)
        self.key = str(row.get("tag") or row["name"])
        self.entries, self.columns = row.get("inner", INNER)


class PairsBankCodec:
    """Messages of one spec that has been read into a tree."""

    def __init__(self, tree: Row) -> None:
        self._charset = str(tree.get("charset", "utf-8")).lower()
        defaults = Defaults(self._charset, self._charset)
        self._header = [Name(row, "", defaults) for row in tree.get("header", [])]
        self._trailer = [Name(row, "", defaults) for row in tree.get("trailer", [])]
        self._bodies: list[tuple[BodyRows, list[Name]]] = []
        for row in tree.get("bodies", []):
            when = {name: [value] if isinstance(value, str) else value for name, value in row["when"].items()}
            names = [Name(part, "body", defaults) for part in row.get("parts", [])]
            self._bodies.append((BodyRows(when, tuple(name.part for name in names)), names))
        self.card_path = ""

    def encode(self, message: Message) -> bytes:
        """Return the pairs in the order of the spec; raises BankCodecError."""
        unknown = set(message) - {name.part.name for name in self._outer} - {"body"}
        if unknown:
            raise BankCodecError(f"there is no name {min(unknown)}")
        inside, values = self._inside(message), message.get("body", {})
        if set(values) == {"unread"}:
            body = [values["unread"]]
        else:
            strange = set(values) - {name.part.name for name in inside}
            if strange:
                raise BankCodecError(f"this message has no body.{min(strange)}")
            body = self._pairs(inside, values)
        return b"&".join([*self._pairs(self._header, message), *body, *self._pairs(self._trailer, message)])

    @property
    def _outer(self) -> list[Name]:
        return [*self._header, *self._trailer]

    def _inside(self, message: Message) -> list[Name]:
        return next((names for body, names in self._bodies if body.fits(message)), [])

    def _pairs(self, names: list[Name], values: Message) -> list[bytes]:
        given = [(name, values.get(name.part.name)) for name in names]
        return [
            f"{name.key}={quoted(self._plain(name, value))}".encode("ascii")
            for name, value in given
            if value not in (None, "", [])
        ]

    def _plain(self, name: Name, value: Any) -> bytes:
        """Return a value's bytes before they are percent-encoded."""
        if not name.part.group:
            return self._scalar(name.part, value)
        entries = []
        for entry in value:
            columns = [self._scalar(part, entry.get(part.name, "")) for part in name.part.group]
            entries.append(str(name.columns).encode("ascii").join(columns))
        return str(name.entries).encode("ascii").join(entries)

    def _scalar(self, part: Part, value: Any) -> bytes:
        if part.cell is None:
            raise BankCodecError(f"{part.path} is a list")
        return part.cell.bare(value) if value != "" else b""

    def decode(self, data: bytes) -> Message:
        """Read the pairs in any order; raises BankCodecError."""
        if not data.isascii():
            raise BankCodecError("a byte that is not percent-encoded")
        found: dict[str, str] = {}
        for pair in data.decode("ascii").split("&"):
            key, equals, value = pair.partition("=")
            if not equals or key in found:
                raise BankCodecError("a pair that is none, or a name twice")
            found[key] = value
        message = self._values(self._outer, found)
        inside = self._inside(message)
        if inside:
            inner = self._values(inside, found)
            if found:
                raise BankCodecError("a name that this message may not have")
        else:
            unread = "&".join(f"{key}={value}" for key, value in found.items())
            inner = {"unread": unread.encode("ascii")} if unread else {}
        return message | ({"body": inner} if inner else {})

    def _values(self, names: list[Name], found: dict[str, str]) -> Message:
        """Take what is there of these names."""
        values: Message = {}
        for name in names:
            raw = found.pop(name.key, "")
            if not raw:
                continue
            text = self._text(unquoted(raw))
            if name.part.group:
                rows = [entry.split(name.columns) for entry in text.split(name.entries)]
                values[name.part.name] = [_entry(name, columns) for columns in rows]
            else:
                values[name.part.name] = text
        return values

    def _text(self, data: bytes) -> str:
        try:
            return data.decode(self._charset)
        except UnicodeDecodeError as error:
            raise BankCodecError(f"no {self._charset} text") from error

    def field(self, path: str, message: Message, *, with_prefix: bool = False) -> bytes | None:
        """Return a value in its character set, not percent-encoded, None when it is absent."""
        value = value_at(message, path)
        if value is None:
            return None
        for name in [*self._outer, *self._inside(message)]:
            if name.part.path == path:
                data = self._plain(name, value)
                return f"{name.key}=".encode("ascii") + data if with_prefix else data
        raise BankCodecError(f"there is no name {path}")

    def covered(self, data: bytes, path: str, side: str) -> bytes:
        """Return the bytes before or after the value at a path, names and all."""
        keys = [
            name.key for name in [*self._outer, *self._inside(self.decode(data))] if name.part.path == path
        ]
        at = 0
        for pair in data.split(b"&"):
            key, _, value = pair.partition(b"=")
            start, at = at + len(key) + 1, at + len(pair) + 1
            if keys and key == keys[0].encode("ascii"):
                return data[:start] if side == "before" else data[start + len(value) :]
        raise BankCodecError(f"{path} is not in this message")

    def binary(self, path: str) -> bool:
        """Tell whether a path's value is bytes: only what is kept unread is."""
        return path == "body.unread"


def _entry(name: Name, columns: list[str]) -> Message:
    if len(columns) != len(name.part.group):
        raise BankCodecError(f"{name.part.path} has another number of columns")
    return {part.name: value for part, value in zip(name.part.group, columns, strict=True) if value}


def quoted(data: bytes) -> str:
    """Return bytes percent-encoded, everything but letters, digits and four signs."""
    return "".join([chr(byte) if chr(byte) in PLAIN else f"%{byte:02X}" for byte in data])


def unquoted(text: str) -> bytes:
    """Read percent-encoded bytes, a plus as a blank; raises BankCodecError."""
    head, *rest = text.replace("+", " ").split("%")
    try:
        return head.encode("ascii") + b"".join(
            [bytes.fromhex(piece[:2]) + piece[2:].encode("ascii") for piece in rest]
        )
    except ValueError as error:
        raise BankCodecError("a value that is not percent-encoded") from error
