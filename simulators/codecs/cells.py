"""One value of a message in its own bytes, as the bank writes and reads it, made from a row of a spec.

Why here again: both ends of a line must not share one bug, so nothing of `wire` is used; only the spec's
tables are the same.  Text goes through Python's codecs, packed digits through bytes.fromhex.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from simulators.codecs.source import BankCodecError, Source

Row = dict[str, Any]

EBCDIC = "cp500"
PACKED = ("bcd", "bcd_left")  # the filler of an odd digit stands in front, or behind
HEX = "hex"
RAW = "raw"
PAD_SIDES = {
    "zeros_left": ("left", "0"),
    "spaces_right": ("right", " "),
    "spaces_left": ("left", " "),
    "spaces_kept": ("right", " "),
    "nul_right": ("right", "\0"),
}
STRIPPED = frozenset({"spaces_right", "spaces_left", "nul_right"})
USUAL_PADDING = {"n": "zeros_left", "an": "spaces_right", "ans": "spaces_right"}


@dataclass(frozen=True)
class Defaults:
    """The encodings of digits, texts and bytes where a row names none."""

    digits: str
    text: str
    binary: str = RAW

    def of(self, row: Row) -> str:
        """Return the encoding of a row."""
        if row.get("type") == "b":
            return str(row.get("encoding", self.binary))
        return str(row.get("encoding", self.digits if row.get("type") == "n" else self.text))


@dataclass(frozen=True)
class Cell:
    """One value: `write` with its length prefix and `bare` without, `read` takes it off a source.

    `content` reads a field's inside without its prefix, None for a simple value.  `blank` is what stands
    where nothing is given, None where a value must be; `inside` are the cells below.
    """

    name: str
    read: Callable[[Source], Any]
    write: Callable[[Any], bytes]
    bare: Callable[[Any], bytes]
    content: Callable[[Source], Any] | None = None
    blank: bytes | None = None
    binary: bool = False
    takes_rest: bool = False
    inside: dict[str, "Cell"] = field(default_factory=dict)


@dataclass(frozen=True)
class Scalar:
    """How one simple value is written: its row with the defaults filled in."""

    path: str
    type: str
    encoding: str
    prefix: str
    length: int
    padding: str
    unit: str

    def encode(self, value: Any) -> bytes:
        """Return the value without a prefix, filled up where its length is fixed."""
        if self.type == "b":
            if not isinstance(value, bytes):
                raise BankCodecError(f"{self.path} wants bytes")
            data: bytes = self.filled(value) if self.prefix == "fixed" else value
            return data.hex().upper().encode("ascii") if self.encoding == HEX else data
        text = str(value)
        if self.encoding in PACKED:
            return _pack(self.filled(text) if self.prefix == "fixed" else text, self.encoding, self.path)
        try:
            data = text.encode(charset_of(self.encoding))
        except UnicodeEncodeError as error:
            raise BankCodecError(f"{self.path} has a character that cannot be written") from error
        if self.prefix == "fixed":
            whole: bytes = self.filled(data)
            return whole
        if self.length and len(data) > self.length:
            raise BankCodecError(f"{self.path} is too long")
        return data

    def filled(self, value: Any) -> Any:
        """Bring text or bytes to the fixed length, counted in its own units."""
        short = self.length - len(value)
        if short < 0:
            raise BankCodecError(f"{self.path} is too long")
        if not short:
            return value
        if self.padding not in PAD_SIDES:
            raise BankCodecError(f"{self.path} is too short")
        side, filler = PAD_SIDES[self.padding]
        fill: Any = filler if isinstance(value, str) else filler.encode(charset_of(self.encoding))
        return fill * short + value if side == "left" else value + fill * short

    def decode(self, data: bytes, units: int) -> Any:
        """Return the value that these bytes are; `units` is its length in digits where digits are packed."""
        if self.type == "b":
            return _from_hex(data, self.path) if self.encoding == HEX else data
        if self.encoding in PACKED:
            nibbles = data.hex().upper().replace("D", "=")
            return (nibbles[-units:] if self.encoding == "bcd" else nibbles[:units]) if units else ""
        try:
            text = data.decode(charset_of(self.encoding))
        except UnicodeDecodeError as error:
            raise BankCodecError(f"{self.path} is no {self.encoding} text") from error
        return self.stripped(text)

    def stripped(self, text: str) -> str:
        """Take the filler of a fixed length off again, where it is no part of the value."""
        if self.padding not in STRIPPED or self.prefix != "fixed":
            return text
        side, filler = PAD_SIDES[self.padding]
        return text.rstrip(filler) if side == "right" else text.lstrip(filler)

    def size(self, units: int) -> int:
        """Return how many bytes so many units are."""
        if self.encoding in PACKED:
            return (units + 1) // 2
        return 2 * units if self.type == "b" and self.encoding == HEX else units

    def count(self, value: Any, data: bytes) -> int:
        """Return what the length prefix says of a value and its bytes."""
        if self.encoding in PACKED:
            return len(data) if self.unit == "bytes" else len(str(value))
        return len(data) // 2 if self.encoding == HEX and self.unit == "bytes" else len(data)

    def units(self, counted: int) -> int:
        """Return the value's units from what its prefix counts."""
        if self.encoding in PACKED:
            return 2 * counted if self.unit == "bytes" else counted
        return counted // 2 if self.encoding == HEX and self.unit != "bytes" else counted


def charset_of(encoding: str) -> str:
    """Return the name of Python's codec for a text encoding."""
    return {"ebcdic": EBCDIC, RAW: "ascii", HEX: "ascii"}.get(encoding, encoding)


def scalar_of(row: Row, path: str, defaults: Defaults) -> Scalar:
    """Fill in a row's defaults."""
    kind = str(row.get("type", "ans"))
    return Scalar(
        path=path,
        type=kind,
        encoding=defaults.of(row),
        prefix=str(row.get("prefix", "fixed")),
        length=int(row.get("length", 0)),
        padding=str(row.get("padding", USUAL_PADDING.get(kind, "none"))),
        unit=str(row.get("unit", "")),
    )


def simple_cell(row: Row, path: str, defaults: Defaults) -> Cell:
    """Return the cell of a simple row."""
    scalar = scalar_of(row, path, defaults)

    def write(value: Any) -> bytes:
        data = scalar.encode(value)
        return write_prefix(scalar.prefix, scalar.count(value, data), path) + data

    def read(source: Source) -> Any:
        if scalar.prefix == "rest":
            return scalar.decode(source.take(source.left, path), source.left)
        counted = read_prefix(scalar.prefix, source, path)
        units = scalar.length if counted is None else scalar.units(counted)
        return scalar.decode(source.take(scalar.size(units), path), units)

    return Cell(
        name=str(row["name"]),
        read=read,
        write=write,
        bare=scalar.encode,
        blank=_blank(scalar),
        binary=scalar.type == "b",
        takes_rest=scalar.prefix == "rest",
    )


def _blank(scalar: Scalar) -> bytes | None:
    if scalar.prefix == "rest":
        return b""
    if scalar.prefix != "fixed":
        return None
    if scalar.type == "b":
        return scalar.encode(bytes(scalar.length))
    if scalar.padding not in PAD_SIDES:
        return None
    return scalar.encode(PAD_SIDES[scalar.padding][1] * scalar.length)


def _pack(text: str, encoding: str, path: str) -> bytes:
    digits = text.replace("=", "D")
    if not all(digit in "0123456789D" for digit in digits):
        raise BankCodecError(f"{path} cannot be packed")
    if len(digits) % 2:
        digits = "0" + digits if encoding == "bcd" else digits + "0"
    return bytes.fromhex(digits)


def _from_hex(data: bytes, path: str) -> bytes:
    try:
        return bytes.fromhex(data.decode("ascii"))
    except ValueError as error:
        raise BankCodecError(f"{path} is no hex") from error


# -- length prefixes: how each is written, by its name in a spec; (digits or bytes, way of writing them)

PREFIXES: dict[str, tuple[int, str]] = {
    "L": (1, "ascii"),
    "LL": (2, "ascii"),
    "LLL": (3, "ascii"),
    "LLLL": (4, "ascii"),
    "LL_bcd": (1, "bcd"),
    "LLL_bcd": (2, "bcd"),
    "LL_ebcdic": (2, EBCDIC),
    "LLL_ebcdic": (3, EBCDIC),
    "binary_1": (1, "b"),
    "binary_2": (2, "b"),
}


def write_prefix(name: str, count: int, path: str) -> bytes:
    """Return a length as its prefix states it, nothing where there is none."""
    if name not in PREFIXES:
        return b""
    size, form = PREFIXES[name]
    try:
        if form == "b":
            return count.to_bytes(size, "big")
        digits = f"{count:0{size * 2 if form == 'bcd' else size}d}"
        data = bytes.fromhex(digits) if form == "bcd" else digits.encode(form)
    except (OverflowError, ValueError) as error:
        raise BankCodecError(f"{path} is too long for its prefix") from error
    if len(data) != size:
        raise BankCodecError(f"{path} is too long for its prefix")
    return data


def read_prefix(name: str, source: Source, path: str) -> int | None:
    """Read what a prefix counts, None where there is none."""
    if name not in PREFIXES:
        return None
    size, form = PREFIXES[name]
    data = source.take(size, path)
    if form == "b":
        return int.from_bytes(data, "big")
    text = data.hex() if form == "bcd" else data.decode(form, "replace")
    if not (text.isascii() and text.isdigit()):
        raise BankCodecError(f"{path} has a length that is no number")
    return int(text)
