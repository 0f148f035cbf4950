"""Simple fields: one type, one encoding, one length prefix and one padding become one pair of closures.

The closures are built once, when a spec is loaded; the message loop then only calls them.
"""

from collections.abc import Callable
from typing import Any

from qianzhi.wire.errors import EncodeError, Reason, RemoteProtocolError, shown
from qianzhi.wire.items import About, Bounds, Decode, Encode, Item, Span, Walk, make_bounds, read_prefix
from qianzhi.wire.rows import ENCODINGS, PADDINGS, TYPES, EncodingRow, PrefixRow
from qianzhi.wire.simple import Simple, prefix_of, quick_form


def make_simple(about: About, name: str, row: Simple) -> Item:
    """Compile a simple field."""
    encoding, prefix = ENCODINGS[row.encoding], prefix_of(row)
    bare = _make_bare(about, row)
    bounds = make_bounds(about, prefix, _units(row), encoding.size)
    if encoding.charset and prefix:
        decode = _prefixed_text(about, row, prefix)
    elif encoding.charset and row.prefix == "fixed":
        decode = _fixed_text(about, row)
    elif encoding.read:
        decode = _coded(about, row, prefix, encoding)
    elif row.type == "b":
        decode = _raw(about, row, prefix)
    else:
        decode = _rest_text(about, row)
    if row.prefix == "rest":
        decode = _limited(about, row, decode)
    # Of bytes written as hex nothing may be seen that is secret, also not the first digits of a card number.
    shown_as = "" if about.sensitive and row.type == "b" else encoding.shown
    return Item(
        about=about,
        name=name,
        width=row.length,
        decode=decode,
        encode=_with_prefix(about, row, bare, prefix),
        bare=bare,
        walk=_make_walk(about, bounds, shown_as),
        bounds=bounds,
        charset=shown_as,
        size=_fixed_bytes(row, encoding),
        binary=row.type == "b",
        blank=_blank(row),
        takes_rest=row.prefix == "rest",
        quick=quick_form(row, encoding),
    )


def _fixed_text(about: About, row: Simple) -> Decode:
    size, charset = row.length, ENCODINGS[row.encoding].charset
    kind = TYPES[row.type]
    check, quick, expected = kind.check, kind.quick, f"{row.length} bytes of {kind.expected}"
    strip = _stripper(row)

    def decode(body: bytes, start: int, end: int) -> tuple[str, int]:
        stop = start + size
        if stop > end:
            raise about.truncated(start, size, end - start)
        chunk = body[start:stop]
        if quick(chunk):
            return chunk.decode(), stop
        try:
            value = chunk.decode() if chunk.isascii() else str(chunk, charset)
        except UnicodeDecodeError as error:
            raise about.error(start + error.start, f"{charset} text", chunk[error.start :]) from error
        if strip:
            value = strip(value)
        if not check(value):
            raise about.error(start, expected, chunk)
        return value, stop

    return decode


def _prefixed_text(about: About, row: Simple, prefix: PrefixRow) -> Decode:
    width, limit, charset = prefix.size, row.limit, ENCODINGS[row.encoding].charset
    kind = TYPES[row.type]
    check, quick, expected = kind.check, kind.quick, kind.expected
    read = prefix.read

    def decode(body: bytes, start: int, end: int) -> tuple[str, int]:
        begin = start + width
        length = read(body[start:begin])
        if length is None or length > limit or begin > end:
            read_prefix(about, prefix, limit, body, start, end)
            raise about.truncated(start, width, end - start)
        stop = begin + length
        if stop > end:
            raise about.truncated(begin, length, end - begin)
        chunk = body[begin:stop]
        if quick(chunk):
            return chunk.decode(), stop
        try:
            value = chunk.decode() if chunk.isascii() else str(chunk, charset)
        except UnicodeDecodeError as error:
            raise about.error(begin + error.start, f"{charset} text", chunk[error.start :]) from error
        if not check(value):
            raise about.error(begin, expected, chunk)
        return value, stop

    return decode


def _rest_text(about: About, row: Simple) -> Decode:
    charset = ENCODINGS[row.encoding].charset
    check, expected = TYPES[row.type].check, TYPES[row.type].expected

    def decode(body: bytes, start: int, end: int) -> tuple[str, int]:
        chunk = body[start:end]
        try:
            value = str(chunk, charset)
        except UnicodeDecodeError as error:
            raise about.error(start + error.start, f"{charset} text", chunk[error.start :]) from error
        if not check(value):
            raise about.error(start, expected, chunk)
        return value, end

    return decode


def _limited(about: About, row: Simple, plain: Decode) -> Decode:
    """Refuse what fills its container but is longer than a value may be."""
    size = ENCODINGS[row.encoding].size
    bytes_max = size(row.limit) if size else row.limit

    def decode(body: bytes, start: int, end: int) -> tuple[Any, int]:
        if end - start > bytes_max:
            found = str(end - start)
            raise about.error(start, f"at most {bytes_max} bytes", found, Reason.LENGTH_TOO_LARGE)
        return plain(body, start, end)

    return decode


def _coded(about: About, row: Simple, prefix: PrefixRow | None, encoding: EncodingRow) -> Decode:
    """Decode where bytes are not characters: packed digits, EBCDIC, bytes written as hex."""
    kind, strip = TYPES[row.type], _stripper(row) if row.prefix == "fixed" else None
    bounds = make_bounds(about, prefix, _units(row), encoding.size)
    width = prefix.size if prefix else 0

    def decode(body: bytes, start: int, end: int) -> tuple[Any, int]:
        begin, stop = bounds(body, start, end)
        units = prefix.read(body[start : start + width]) if prefix else row.length
        try:
            value = encoding.read(body[begin:stop], units)  # type: ignore[misc, arg-type]
        except ValueError as error:
            raise _not_coded(about, row, body[begin:stop], begin) from error
        if row.type == "b":
            return value, stop
        if strip:
            value = strip(value)
        if not kind.check(value):
            raise _not_coded(about, row, body[begin:stop], begin)
        return value, stop

    return decode


def _not_coded(about: About, row: Simple, chunk: bytes, offset: int) -> RemoteProtocolError:
    return about.error(offset, f"{TYPES[row.type].expected} in {row.encoding}", chunk)


def _raw(about: About, row: Simple, prefix: PrefixRow | None) -> Decode:
    bounds = make_bounds(about, prefix, _units(row), None)

    def decode(body: bytes, start: int, end: int) -> tuple[bytes, int]:
        begin, stop = bounds(body, start, end)
        return body[begin:stop], stop

    return decode


def _stripper(row: Simple) -> Callable[[str], str] | None:
    padding = PADDINGS[row.padding]
    if not padding.strip:
        return None
    fill = padding.fill
    if padding.side == "left":
        return lambda value: value.lstrip(fill)
    return lambda value: value.rstrip(fill)


def _units(row: Simple) -> int:
    if row.prefix == "rest":
        return -1
    return row.length if row.prefix == "fixed" else row.limit


def _fixed_bytes(row: Simple, encoding: EncodingRow) -> int | None:
    if row.prefix != "fixed":
        return None
    return encoding.size(row.length) if encoding.size else row.length


def _make_walk(about: About, bounds: Bounds, charset: str) -> Walk:
    def walk(body: bytes, start: int, end: int, spans: list[Span]) -> int:
        begin, stop = bounds(body, start, end)
        spans.append(Span(about.path, about.tag, about.title, about.sensitive, begin, stop, charset))
        return stop

    return walk


def _make_bare(about: About, row: Simple) -> Encode:
    if row.type == "b":
        return _write_bytes(about, row)
    return _write_text(about, row)


def _write_text(about: About, row: Simple) -> Encode:
    encoding, kind = ENCODINGS[row.encoding], TYPES[row.type]
    path, check, charset = about.path, kind.check, encoding.charset
    fixed = row.length if row.prefix == "fixed" else 0
    fill = _filler(about, row)

    def encode(value: Any) -> bytes:
        if type(value) is not str or not check(value):
            raise EncodeError(path, kind.expected, shown(value, about.sensitive))
        if not charset:
            text = fill(value) if fixed and len(value) != fixed else value
            return _measured(about, row, _packed(about, encoding, text), len(text))
        try:
            data = value.encode() if value.isascii() else value.encode(charset)
        except UnicodeEncodeError as error:
            found = f"a character that {charset} lacks"
            raise EncodeError(path, f"{charset} text", found) from error
        if fixed:
            return data if len(data) == fixed else fill(data)
        return _measured(about, row, data, len(data))

    return encode


def _packed(about: About, encoding: EncodingRow, text: str) -> bytes:
    try:
        return encoding.write(text)  # type: ignore[misc]
    except ValueError as error:
        raise EncodeError(about.path, "digits that can be packed", shown(text, about.sensitive)) from error


def _write_bytes(about: About, row: Simple) -> Encode:
    fixed, write = row.length if row.prefix == "fixed" else 0, ENCODINGS[row.encoding].write
    fill = _filler(about, row)

    def encode(value: Any) -> bytes:
        if type(value) is not bytes:
            raise EncodeError(about.path, "bytes", shown(value, about.sensitive))
        if fixed and len(value) != fixed:
            value = fill(value)
        return _measured(about, row, write(value) if write else value, len(value))

    return encode


def _measured(about: About, row: Simple, data: bytes, units: int) -> bytes:
    if units > row.limit:
        raise EncodeError(about.path, f"at most {row.limit}", str(units))
    return data


def _filler(about: About, row: Simple) -> Callable[[Any], Any]:
    """Return what brings a value (bytes, or text before it is packed) to the fixed length."""
    padding, length = PADDINGS[row.padding], row.length

    def fill(value: Any) -> Any:
        if len(value) > length:
            raise EncodeError(about.path, f"at most {length}", str(len(value)))
        if not padding.side:
            raise EncodeError(about.path, f"exactly {length}", str(len(value)))
        filler = padding.fill if isinstance(value, str) else padding.fill.encode()
        return value.rjust(length, filler) if padding.side == "left" else value.ljust(length, filler)

    return fill


def _with_prefix(about: About, row: Simple, bare: Encode, prefix: PrefixRow | None) -> Encode:
    if prefix is None:
        return bare
    write, encoding = prefix.write, ENCODINGS[row.encoding]
    even = row.unit == "bytes" and "digits" in encoding.units and row.type != "b"

    def coded(value: Any) -> bytes:  # the prefix counts the value's own units, not its bytes
        data = bare(value)
        if even and len(value) % 2:
            raise EncodeError(about.path, "an even number of digits, as bytes are counted", str(len(value)))
        return write(len(value)) + data

    def encode(value: Any) -> bytes:
        data = bare(value)
        return write(len(data)) + data

    return coded if encoding.read else encode


def _blank(row: Simple) -> bytes | None:
    """Return a fixed field filled with nothing, for parts that are left out; None where there is no such
    thing."""
    encoding, padding = ENCODINGS[row.encoding], PADDINGS[row.padding]
    if row.prefix == "rest":
        return b""
    if row.prefix != "fixed":
        return None
    if row.type == "b":
        zeros = bytes(row.length)
        return encoding.write(zeros) if encoding.write else zeros
    if not padding.side:
        return None
    text = padding.fill * row.length
    return encoding.write(text) if encoding.write else text.encode("ascii")
