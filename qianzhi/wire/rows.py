"""The four tables that a field is made of: type × encoding × length prefix × padding.

A new variant of a dialect is a new row here, never a new class.  `fields` combines the rows into one closure
per field when a spec is loaded.
"""

import re
from collections.abc import Callable
from typing import Any, NamedTuple

_ALPHANUMERIC = re.compile(r"[A-Za-z0-9 ]*").fullmatch
_SIGNED = re.compile(r"[CD][0-9]+").fullmatch
_DECIMAL = re.compile(r"[0-9]+(?:\.[0-9]+)?").fullmatch


class TypeRow(NamedTuple):
    """What a value may hold: a check of its text, in words, its family (which encoding it takes) and padding.

    `quick` proves the commonest values right from their bytes alone, in any charset that contains ASCII.
    """

    expected: str
    family: str
    check: Callable[[str], bool]
    padding: str
    quick: Callable[[bytes], bool]


def is_digits(text: str) -> bool:
    """Tell whether these are ASCII digits and at least one; `int` alone accepts blanks, signs and other
    scripts."""
    return text.isdigit() and text.isascii()


def is_alphanumeric(text: str) -> bool:
    """Tell whether these are ASCII letters, digits and blanks."""
    return (text.isalnum() and text.isascii()) or _ALPHANUMERIC(text) is not None


def is_text(text: str) -> bool:
    """Tell whether this is text without control characters, NUL or lone surrogates."""
    return text.isprintable() or text.replace("\u3000", " ").isprintable()


def is_track(text: str) -> bool:
    """Tell whether this can be magnetic stripe data: printable ASCII."""
    return text.isprintable() and text.isascii()


def is_signed(text: str) -> bool:
    """Tell whether this is `C` or `D` and digits."""
    return _SIGNED(text) is not None


def is_decimal(text: str) -> bool:
    """Tell whether these are digits with at most one full stop between them."""
    return _DECIMAL(text) is not None


def _never(data: bytes) -> bool:
    return False


TYPES: dict[str, TypeRow] = {
    "n": TypeRow("digits", "digits", is_digits, "zeros_left", bytes.isdigit),
    "an": TypeRow("letters and digits", "text", is_alphanumeric, "spaces_right", bytes.isalnum),
    "ans": TypeRow("text without control characters", "text", is_text, "spaces_right", bytes.isalnum),
    "z": TypeRow("track data", "track", is_track, "none", bytes.isalnum),
    "xn": TypeRow("C or D and digits", "text", is_signed, "none", _never),
    "dec": TypeRow("a decimal number", "text", is_decimal, "none", bytes.isdigit),
    "b": TypeRow("bytes", "binary", is_text, "none", _never),
}


class EncodingRow(NamedTuple):
    """How a value stands in bytes.

    `charset` names Python's codec when one byte is one unit of length and ASCII characters are themselves;
    otherwise `read(chunk, units)` and `write(value)` do the work and `size(units)` is the number of bytes.
    All raise ValueError.  `shown` names the codec that makes bytes readable in a dump, where there is one.
    `units` are what a length prefix can count, the usual one first.
    """

    families: frozenset[str]
    charset: str = ""
    read: Callable[[bytes, int], Any] | None = None
    write: Callable[[Any], bytes] | None = None
    size: Callable[[int], int] | None = None
    shown: str = ""
    units: tuple[str, ...] = ("bytes",)


# Track data has its separator as nibble D.
_SEPARATOR, _SEPARATOR_NIBBLE = "=", "D"
_PACKED = re.compile(r"[0-9=]*").fullmatch


def _read_bcd(chunk: bytes, units: int) -> str:
    return _unpack(chunk.hex()[-units:]) if units else ""


def _read_bcd_left(chunk: bytes, units: int) -> str:
    return _unpack(chunk.hex()[:units])


def _unpack(nibbles: str) -> str:
    """Return digits and separators; raises ValueError for the nibbles that are neither."""
    text = nibbles.upper().replace(_SEPARATOR_NIBBLE, _SEPARATOR)
    if not _PACKED(text):
        raise ValueError("only digits and separators can be unpacked")
    return text


def _write_bcd(text: str) -> bytes:
    return _pack(text if len(text) % 2 == 0 else "0" + text)


def _write_bcd_left(text: str) -> bytes:
    return _pack(text if len(text) % 2 == 0 else text + "0")


def _pack(text: str) -> bytes:
    """Pack digits and separators; raises ValueError for anything else, also for what hex would take."""
    if not _PACKED(text):
        raise ValueError("only digits and separators can be packed")
    return bytes.fromhex(text.replace(_SEPARATOR, _SEPARATOR_NIBBLE))


def _bcd_bytes(units: int) -> int:
    return (units + 1) // 2


def _read_ebcdic(chunk: bytes, _units: int) -> str:
    return str(chunk, EBCDIC)


def _write_ebcdic(text: str) -> bytes:
    return text.encode(EBCDIC)


def _ebcdic_bytes(units: int) -> int:
    return units


def _read_hex(chunk: bytes, _units: int) -> bytes:
    if chunk and not chunk.isalnum():  # fromhex would take blanks
        raise ValueError("only hex digits")
    return bytes.fromhex(chunk.decode("ascii"))


def _write_hex(value: bytes) -> bytes:
    return value.hex().upper().encode("ascii")


def _hex_bytes(units: int) -> int:
    return 2 * units


EBCDIC = "cp500"  # International EBCDIC; letters, digits and blanks are the same in all its relatives
_TEXTS = frozenset({"digits", "text", "track"})
_PACKABLE = frozenset({"digits", "track"})
_NIBBLES = ("digits", "bytes")

ENCODINGS: dict[str, EncodingRow] = {
    "ascii": EncodingRow(_TEXTS, charset="ascii", shown="ascii"),
    "gbk": EncodingRow(_TEXTS, charset="gbk", shown="gbk"),
    "gb18030": EncodingRow(_TEXTS, charset="gb18030", shown="gb18030"),
    "utf-8": EncodingRow(_TEXTS, charset="utf-8", shown="utf-8"),
    "bcd": EncodingRow(_PACKABLE, "", _read_bcd, _write_bcd, _bcd_bytes, units=_NIBBLES),
    "bcd_left": EncodingRow(_PACKABLE, "", _read_bcd_left, _write_bcd_left, _bcd_bytes, units=_NIBBLES),
    "ebcdic": EncodingRow(_TEXTS, "", _read_ebcdic, _write_ebcdic, _ebcdic_bytes, shown=EBCDIC),
    "raw": EncodingRow(frozenset({"binary"})),
    "hex": EncodingRow(
        frozenset({"binary"}), "", _read_hex, _write_hex, _hex_bytes, shown="ascii", units=_NIBBLES
    ),
}


class PrefixRow(NamedTuple):
    """How a variable field says its length: `size` bytes, read into a number or None when they are none."""

    size: int
    limit: int
    read: Callable[[bytes], int | None]
    write: Callable[[int], bytes]


def _read_bcd_number(data: bytes) -> int | None:
    digits = data.hex()
    return int(digits) if is_digits(digits) else None


def _read_binary(data: bytes) -> int | None:
    return int.from_bytes(data, "big")


def _ascii_prefix(digits: int) -> PrefixRow:
    """A table of all its spellings reads a prefix fastest, and what is no number is simply not in it."""
    spellings = {b"%0*d" % (digits, length): length for length in range(10**digits)}
    return PrefixRow(digits, 10**digits - 1, spellings.get, list(spellings).__getitem__)


def _ebcdic_prefix(digits: int) -> PrefixRow:
    spellings = {(f"{length:0{digits}d}").encode(EBCDIC): length for length in range(10**digits)}
    return PrefixRow(digits, 10**digits - 1, spellings.get, list(spellings).__getitem__)


def _bcd_prefix(size: int) -> PrefixRow:
    return PrefixRow(
        size, 100**size - 1, _read_bcd_number, lambda length: bytes.fromhex(f"{length:0{2 * size}d}")
    )


def _binary_prefix(size: int) -> PrefixRow:
    return PrefixRow(size, 256**size - 1, _read_binary, lambda length: length.to_bytes(size, "big"))


# `fixed` has no length on the wire; `rest` takes what its container has left.
UNPREFIXED = frozenset({"fixed", "rest"})

# Those that are written in ASCII digits, and in how many; and those of two digits in a byte.
ASCII_PREFIXES = {"L": 1, "LL": 2, "LLL": 3, "LLLL": 4}
QUICK_PREFIXES = {
    **{name: (digits, False) for name, digits in ASCII_PREFIXES.items()},
    "LL_bcd": (1, True),
    "LLL_bcd": (2, True),
}

PREFIXES: dict[str, PrefixRow] = {
    "L": _ascii_prefix(1),
    "LL": _ascii_prefix(2),
    "LLL": _ascii_prefix(3),
    "LLLL": _ascii_prefix(4),
    "LL_bcd": _bcd_prefix(1),
    "LLL_bcd": _bcd_prefix(2),
    "LL_ebcdic": _ebcdic_prefix(2),
    "LLL_ebcdic": _ebcdic_prefix(3),
    "binary_1": _binary_prefix(1),
    "binary_2": _binary_prefix(2),
}


def prefix_counting(prefix: PrefixRow, encoding: str, unit: str) -> PrefixRow:
    """Return the prefix as it counts a field's own units (digits of packed text, bytes of a binary value).

    Packed digits may be counted in bytes of two digits, and bytes written as hex in hex digits.
    """
    if encoding in ("bcd", "bcd_left") and unit == "bytes":
        return _scaled(prefix, 2)
    if encoding == "hex" and unit == "digits":
        return _halved(prefix)
    return prefix


def _scaled(prefix: PrefixRow, factor: int) -> PrefixRow:
    def read(data: bytes) -> int | None:
        number = prefix.read(data)
        return None if number is None else number * factor

    return prefix._replace(
        limit=prefix.limit * factor, read=read, write=lambda units: prefix.write(units // factor)
    )


def _halved(prefix: PrefixRow) -> PrefixRow:
    def read(data: bytes) -> int | None:
        number = prefix.read(data)
        return None if number is None or number % 2 else number // 2

    return prefix._replace(limit=prefix.limit // 2, read=read, write=lambda units: prefix.write(units * 2))


class PaddingRow(NamedTuple):
    """How a short value fills a fixed field, and whether the filler is taken off when a text is read."""

    side: str
    fill: str
    strip: bool


PADDINGS: dict[str, PaddingRow] = {
    "none": PaddingRow("", "", False),
    "zeros_left": PaddingRow("left", "0", False),
    "spaces_right": PaddingRow("right", " ", True),
    "spaces_left": PaddingRow("left", " ", True),
    "spaces_kept": PaddingRow("right", " ", False),
    "nul_right": PaddingRow("right", "\0", True),
}

_DIGITS_ONLY = ("none", "zeros_left")


def paddings_of(kind: str, encoding: str) -> tuple[str, ...]:
    """Return the paddings with which a type in this encoding can be read back."""
    if kind == "b":
        return ("none", "nul_right")
    if kind == "xn":
        return tuple(name for name in PADDINGS if name != "zeros_left")  # its sign comes first
    return _DIGITS_ONLY if encoding in ("bcd", "bcd_left") else tuple(PADDINGS)
