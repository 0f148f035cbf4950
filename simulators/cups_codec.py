"""CUPS messages as the simulated bank writes and reads them: pyiso8583 for the fields, own code around it.

    +-----------+--------------------------------------------------+
    | header 46 | MTI 4 | bitmap 8 | [bitmap 8] | fields in order  |
    +-----------+--------------------------------------------------+

Why here again: both ends of a line must not share one bug, so nothing of `wire` is used; only the spec file
is the same.  Messages have the same form as wire's: names of the spec, text as str, binary as bytes, inner
parts as dicts.
"""

from dataclasses import dataclass
from typing import Any

import iso8583

from simulators.cups_parts import PARTS, Parts

HEADER_BYTES = 46
BINARY = "b"

Message = dict[str, Any]
SpecDict = dict[str, dict[str, Any]]


class BankCodecError(ValueError):
    """A message that the bank cannot read or write; names the field, never its value."""


@dataclass(frozen=True)
class Column:
    """One field of the spec; `digits` of its length prefix, 0 when the length is fixed."""

    name: str
    number: str
    type: str
    length: int
    digits: int
    parts: Parts | None


class CupsCodec:
    """Bytes to fields and back, for one spec file that has been read into a tree."""

    def __init__(self, tree: dict[str, Any]) -> None:
        """Raises BankCodecError when the tree is no spec of this kind."""
        self.columns = [_column(number, row) for number, row in _rows(tree)]
        self._by_name = {column.name: column for column in self.columns}
        self._by_number = {column.number: column for column in self.columns}
        self._charset = str(tree.get("defaults", {}).get("text", "gbk"))
        self._spec = _spec_dict(self.columns)

    def encode(self, message: Message) -> bytes:
        """Return header and body; raises BankCodecError naming the field that does not fit."""
        fields = {"t": str(message["mti"])}
        for name, value in message.items():
            if name not in ("mti", "header") and value is not None:
                column = self._column(name)
                fields[column.number] = self._text(column, value)
        try:
            body, _ = iso8583.encode(fields, self._spec)
        except iso8583.EncodeError as error:
            raise BankCodecError(f"field {self._name_of(error.field)} cannot be written") from error
        return write_header(message.get("header", {}), len(body)) + bytes(body)

    def decode(self, data: bytes) -> Message:
        """Read header and body; raises BankCodecError naming the field that cannot be read."""
        message: Message = {"header": read_header(data)}
        try:
            fields, _ = iso8583.decode(data[HEADER_BYTES:], self._spec)
        except (iso8583.DecodeError, KeyError) as error:
            raise BankCodecError(
                f"field {self._name_of(getattr(error, 'field', ''))} cannot be read"
            ) from error
        message["mti"] = fields["t"]
        for number, text in fields.items():
            if number.isdigit() and number != "1":
                column = self._by_number[number]
                message[column.name] = self._value(column, text)
        return message

    def prefixed(self, name: str, value: str) -> str:
        """Return a value with its length digits in front, as it stands on the wire."""
        digits = self._column(name).digits
        return f"{len(value):0{digits}d}{value}" if digits else value

    def _column(self, name: str) -> Column:
        try:
            return self._by_name[name]
        except KeyError as error:
            raise BankCodecError(f"there is no field {name} in the spec") from error

    def _name_of(self, number: str) -> str:
        column = self._by_number.get(number)
        return column.name if column else number or "unknown"

    def _text(self, column: Column, value: Any) -> str:
        """Return what pyiso8583 wants: hex for all that is not plain ASCII text of its own."""
        if column.parts is not None:
            return column.parts.write(value, self._charset).hex().upper()
        if isinstance(value, bytes):
            return value.hex().upper()
        data = str(value).encode(self._charset)
        if not column.digits:
            data = data.rjust(column.length, b"0") if column.type == "n" else data.ljust(column.length)
        return data.hex().upper()

    def _value(self, column: Column, text: str) -> Any:
        data = bytes.fromhex(text)
        if column.parts is not None:
            return column.parts.read(data, self._charset)
        if column.type == BINARY:
            return data
        value = data.decode(self._charset, "replace")
        return value.rstrip(" ") if column.type in ("an", "ans") and not column.digits else value


def _spec_dict(columns: list[Column]) -> SpecDict:
    """Return pyiso8583's table; every field travels as hex through it, so that it alone cuts and joins."""
    fixed = {"len_enc": "ascii", "len_type": 0, "desc": ""}
    spec: SpecDict = {
        "h": {**fixed, "data_enc": "ascii", "max_len": 0},
        "t": {**fixed, "data_enc": "ascii", "max_len": 4},
        "p": {**fixed, "data_enc": "b", "max_len": 8},
        "1": {**fixed, "data_enc": "b", "max_len": 8},
    }
    for column in columns:
        longest = 10**column.digits - 1 if column.digits else column.length
        spec[column.number] = {**fixed, "data_enc": "b", "len_type": column.digits, "max_len": longest}
    return spec


def write_header(header: Message, body_bytes: int) -> bytes:
    """Return the 46 bytes in front of a body; `destination` and `source` are institution codes."""
    return b"".join(
        (
            bytes((HEADER_BYTES, int(header.get("version", 2)))),
            b"%04d" % (HEADER_BYTES + body_bytes),
            str(header.get("destination", "")).encode("ascii").ljust(11),
            str(header.get("source", "")).encode("ascii").ljust(11),
            header.get("reserved", bytes(3)),
            bytes((int(header.get("batch", 0)),)),
            str(header.get("transaction_info", "00000000")).encode("ascii"),
            header.get("user_info", b"\0"),
            str(header.get("reject_code", "00000")).encode("ascii"),
        )
    )


def read_header(data: bytes) -> Message:
    """Read the 46 bytes; raises BankCodecError when they are no header."""
    if len(data) < HEADER_BYTES or data[0] != HEADER_BYTES or not data[2:6].isdigit():
        raise BankCodecError("the header cannot be read")
    if int(data[2:6]) != len(data):
        raise BankCodecError("the header's total length is not the message's")
    return {
        "version": data[1],
        "destination": data[6:17].decode("ascii", "replace").rstrip(" "),
        "source": data[17:28].decode("ascii", "replace").rstrip(" "),
        "reserved": data[28:31],
        "batch": data[31],
        "transaction_info": data[32:40].decode("ascii", "replace"),
        "user_info": data[40:41],
        "reject_code": data[41:46].decode("ascii", "replace"),
    }


def _rows(tree: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    rows = tree.get("fields")
    if not isinstance(rows, dict) or tree.get("header") != "cups":
        raise BankCodecError("the spec has no [fields], or is none of a CUPS line")
    return [(number, row) for number, row in rows.items() if isinstance(row, dict)]


def _column(number: str, row: dict[str, Any]) -> Column:
    name, prefix = str(row["name"]), str(row.get("prefix", "fixed"))
    digits = {"fixed": 0, "LL": 2, "LLL": 3}.get(prefix)
    if digits is None:
        raise BankCodecError(f"field {name} has a length prefix that CUPS does not have")
    simple = row.get("layout", "simple") == "simple"
    kind = str(row.get("type", BINARY)) if simple else BINARY
    return Column(name, number, kind, int(row["length"]), digits, PARTS.get(name))
