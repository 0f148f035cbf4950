"""ISO 8583 messages as the simulated bank writes and reads them: pyiso8583 for fields, own code inside them.

    +--------+-----+----------+--------------+--------------------------------+
    | header | MTI | bitmap   | [2nd] [3rd]  | fields in order                |
    +--------+-----+----------+--------------+--------------------------------+

Each field of the spec becomes a row of pyiso8583's table, in that library's own encodings; the inside of a
composite field travels through it as hex.  Messages have the same shape as wire's.
"""

from typing import Any

import iso8583

from simulators.codecs.cells import (
    EBCDIC,
    HEX,
    PACKED,
    PREFIXES,
    Defaults,
    Row,
    Scalar,
    charset_of,
    scalar_of,
)
from simulators.codecs.header import header_of
from simulators.codecs.layouts import make_cell
from simulators.codecs.paths import inner_cell, value_at
from simulators.codecs.source import BankCodecError, Source

Message = dict[str, Any]
SpecDict = dict[str, dict[str, Any]]

MTI_ROWS = {
    "ascii": {"data_enc": "ascii", "max_len": 4},
    "bcd": {"data_enc": "b", "max_len": 2},
    "ebcdic": {"data_enc": EBCDIC, "max_len": 4},
}
BITMAP_ROWS = {"binary": {"data_enc": "b", "max_len": 8}, "hex": {"data_enc": "ascii", "max_len": 16}}
FIXED = {"len_enc": "ascii", "len_type": 0, "desc": ""}


class Column:
    """One field: its cell, for what stands in it, and its scalar where it is simple."""

    def __init__(self, number: str, row: Row, defaults: Defaults) -> None:
        self.number = number
        self.name = str(row["name"])
        simple = row.get("layout", "simple") == "simple"
        self.packed = not simple and row.get("encoding") in PACKED
        inner = Defaults("ascii", "ascii") if self.packed else defaults
        self.cell = make_cell(row, self.name, inner)
        self.scalar: Scalar | None = scalar_of(row, self.name, defaults) if simple else None

    def text(self, value: Any) -> str:
        """Return a value as pyiso8583 wants it: text in its characters, everything else in hex."""
        scalar = self.scalar
        if self.packed:  # its parts are digits, and the library packs them
            return self.cell.bare(value).decode("ascii")
        if scalar is None:
            return self.cell.bare(value).hex().upper()
        if scalar.type == "b":
            if not isinstance(value, bytes):
                raise BankCodecError(f"{self.name} wants bytes")
            return (scalar.filled(value) if scalar.prefix == "fixed" else value).hex().upper()
        text = str(value)
        if scalar.encoding in PACKED:
            text = text.replace("=", "D")
            return str(scalar.filled(text)) if scalar.prefix == "fixed" else _whole_bytes(text, scalar)
        return scalar.encode(text).decode(charset_of(scalar.encoding))

    def value(self, text: str) -> Any:
        """Return what pyiso8583's text means."""
        scalar = self.scalar
        if self.cell.content is not None:
            source = Source(text.encode("ascii") if self.packed else bytes.fromhex(text))
            value = self.cell.content(source)
            source.finish(self.name)
            return value
        if scalar is None or scalar.type == "b":
            return bytes.fromhex(text)
        return text.upper().replace("D", "=") if scalar.encoding in PACKED else scalar.stripped(text)

    def library_row(self, row: Row) -> dict[str, Any]:
        """Return this field in pyiso8583's table; raises BankCodecError for what that library cannot."""
        found: dict[str, Any] = {
            **FIXED,
            "data_enc": "b",
            "max_len": int(row.get("length", 0)),
            "len_count": "bytes",
        }
        prefix = str(row.get("prefix", "fixed"))
        if prefix == "rest":
            raise BankCodecError(f"field {self.name} takes the rest, which pyiso8583 has not")
        if prefix != "fixed":
            size, form = PREFIXES[prefix]
            found |= {"len_enc": form, "len_type": size, "max_len": 256**size if form == "b" else 10**4}
        scalar = self.scalar
        if self.packed and row.get("unit") == "bytes":
            raise BankCodecError(f"field {self.name} counts bytes of packed parts, which is not built here")
        if self.packed or (scalar is not None and scalar.encoding in PACKED and scalar.unit != "bytes"):
            encoding = row["encoding"] if scalar is None else scalar.encoding
            found |= {"len_count": "nibbles", "left_pad" if encoding == "bcd" else "right_pad": "0"}
        elif scalar is not None and scalar.type == "b" and scalar.encoding == HEX:
            if scalar.unit == "bytes":
                raise BankCodecError(f"field {self.name} counts bytes of hex, which pyiso8583 does not")
            found |= {"data_enc": "ascii", "max_len": 2 * found["max_len"] if prefix == "fixed" else 10**4}
        elif scalar is not None and scalar.type != "b" and scalar.encoding not in PACKED:
            found["data_enc"] = charset_of(scalar.encoding)
        elif scalar is not None and scalar.encoding in PACKED and prefix == "fixed":
            found["max_len"] = (found["max_len"] + 1) // 2
        return found


def _whole_bytes(text: str, scalar: Scalar) -> str:
    """Fill up an odd digit where the library counts bytes."""
    if scalar.unit != "bytes" or len(text) % 2 == 0:
        return text
    return "0" + text if scalar.encoding == "bcd" else text + "0"


class IsoBankCodec:
    """Bytes to fields and back, for one spec that has been read into a tree."""

    def __init__(self, tree: Row) -> None:
        """Raises BankCodecError when the tree is no spec of this kind, or beyond what pyiso8583 can."""
        tables = tree.get("defaults", {})
        defaults = Defaults(
            str(tables.get("digits", "ascii")),
            str(tables.get("text", "gbk")),
            str(tables.get("binary", "raw")),
        )
        rows = {number: row for number, row in tree.get("fields", {}).items() if isinstance(row, dict)}
        if not rows:
            raise BankCodecError("the spec has no [fields]")
        columns = [Column(number, row, defaults) for number, row in rows.items()]
        self._by_name = {column.name: column for column in columns}
        self._by_number = {column.number: column for column in columns}
        self._header = header_of(tree, defaults)
        self._card_path = str(rows["2"]["name"]) if rows.get("2", {}).get("sensitive") == "pan" else ""
        bitmap = {**FIXED, **BITMAP_ROWS[str(tree.get("bitmap", "binary"))]}
        self._spec: SpecDict = {
            "h": {**FIXED, "data_enc": "ascii", "max_len": 0},
            "t": {**FIXED, **MTI_ROWS[str(tables.get("mti", "ascii"))]},
            "p": bitmap,
            "1": bitmap,
            **{column.number: column.library_row(rows[column.number]) for column in columns},
        }

    def encode(self, message: Message) -> bytes:
        """Return header and body; raises BankCodecError naming the field that does not fit."""
        fields = {"t": str(message["mti"])}
        for name, value in message.items():
            if name not in ("mti", "header") and value is not None:
                column = self._column(name)
                fields[column.number] = column.text(value)
        try:
            body, _ = iso8583.encode(fields, self._spec)
        except iso8583.EncodeError as error:
            raise BankCodecError(f"field {self._name_of(error.field)} cannot be written") from error
        return self._header.write(message.get("header", {}), len(body)) + bytes(body)

    def decode(self, data: bytes) -> Message:
        """Read header and body; raises BankCodecError naming the field that cannot be read."""
        header, fields, _, _ = self._read(data)
        message: Message = {} if header is None else {"header": header}
        message["mti"] = fields["t"]
        for number, text in fields.items():
            if number.isdigit() and number != "1":
                column = self._by_number[number]
                message[column.name] = column.value(text)
        return message

    def _read(self, data: bytes) -> tuple[Message | None, dict[str, str], dict[str, dict[str, bytes]], int]:
        source = Source(data)
        header = self._header.read(source)
        try:
            fields, pieces = iso8583.decode(data[source.at :], self._spec)
        except (iso8583.DecodeError, KeyError) as error:
            name = self._name_of(str(getattr(error, "field", "")))
            raise BankCodecError(f"field {name} cannot be read") from error
        return header, fields, pieces, source.at

    def field(self, path: str, message: Message, *, with_prefix: bool = False) -> bytes | None:
        """Return a value as it stands on the wire, None when it is absent."""
        value = value_at(message, path)
        if value is None:
            return None
        if path == "mti":
            form = str(self._spec["t"]["data_enc"])
            return bytes.fromhex(value) if form == "b" else str(value).encode(form)
        first, *rest = path.split(".")
        cell = inner_cell(self._column(first).cell, rest)
        return cell.write(value) if with_prefix else cell.bare(value)

    def covered(self, data: bytes, path: str, side: str) -> bytes:
        """Return the bytes from the message type to a field's content, or those behind it."""
        _, _, pieces, start = self._read(data)
        number = self._column(path).number
        order = ["t", "p", "1", *sorted((name for name in pieces if name.isdigit() and name != "1"), key=int)]
        at = start
        for name in order:
            piece = pieces.get(name, {"len": b"", "data": b""})
            begin = at + len(piece["len"])
            at = begin + len(piece["data"])
            if name == number:
                return data[start:begin] if side == "before" else data[at:]
        raise BankCodecError(f"field {path} is not in this message")

    def binary(self, path: str) -> bool:
        """Tell whether a path's value is bytes."""
        first, *rest = path.split(".")
        return inner_cell(self._column(first).cell, rest).binary

    @property
    def card_path(self) -> str:
        """Return where a card number stands, empty for nowhere."""
        return self._card_path

    def _column(self, name: str) -> Column:
        try:
            return self._by_name[name]
        except KeyError as error:
            raise BankCodecError(f"there is no field {name} in the spec") from error

    def _name_of(self, number: str) -> str:
        column = self._by_number.get(number)
        return column.name if column else number or "unknown"
