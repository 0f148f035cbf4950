"""The compiled field: what every layout offers, and the errors and views that all of them share."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

from qianzhi.runtime.masking import mask_pan, mask_phone
from qianzhi.wire.errors import Reason, RemoteProtocolError, shown
from qianzhi.wire.rows import EBCDIC, PrefixRow

Message = dict[str, Any]
Side = Literal["before", "after"]  # of a value, where the bytes around it are asked for

# (body, start, end of the container) -> (value, start of what follows)
Decode = Callable[[bytes, int, int], tuple[Any, int]]
Encode = Callable[[Any], bytes]


class Span(NamedTuple):
    """Where a value stands in a body; `charset` is empty for bytes and `None` for a container of other
    spans."""

    path: str
    tag: str
    title: str
    sensitive: str
    start: int
    stop: int
    charset: str | None


class FieldView(NamedTuple):
    """One line of a readable dump; `value` is masked, `length` counts bytes, `tag` is the field's number or
    tag."""

    path: str
    tag: str
    title: str
    offset: int
    length: int
    value: str


Walk = Callable[[bytes, int, int, list[Span]], int]


@dataclass(frozen=True)
class About:
    """What is said about a field, whatever its layout; `number` is the top-level field's."""

    path: str
    tag: str
    title: str
    number: int
    sensitive: str = ""

    def error(
        self, offset: int, expected: str, found: object, reason: Reason = Reason.VALUE
    ) -> RemoteProtocolError:
        """Return the peer's error at this field; `found` is shortened, and hidden when the field is
        sensitive."""
        text = found if isinstance(found, str) and reason != Reason.VALUE else shown(found, self.sensitive)
        return RemoteProtocolError(self.path, offset, expected, text, reason, self.number)

    def truncated(self, offset: int, wanted: int, left: int) -> RemoteProtocolError:
        """Return the error of a field that reaches past the end of its container."""
        return self.error(offset, f"{wanted} bytes", f"{left} bytes", Reason.TOTAL_LENGTH)


class Quick(NamedTuple):
    """The commonest form of a simple field's value, which needs none of its closures: ASCII letters and
    digits, digits alone, printable ASCII, or bytes, as `kind` says.

    `size` is that of a fixed value, `prefix` how many bytes say the length of another, which is at most
    `limit`: ASCII digits, or two digits in a byte where `packed_prefix`.  A shorter fixed value is filled at
    its `side`, empty for never, and `strip` takes that off again.  Digits that are `packed` stand two in a
    byte, an odd one behind or before a filler: "left" or "right".
    """

    kind: Literal["digits", "letters", "printable", "bytes"]
    size: int
    limit: int
    prefix: int = 0
    packed_prefix: bool = False
    packed: Literal["", "left", "right"] = ""
    side: str = ""
    fill: str = ""
    strip: bool = False


class Inside(NamedTuple):
    """What stands inside a composite, told as data: a row of `items`, behind which an open one (`rest`) has
    whatever follows; the same row up to `entries_max` times ("repeat"); or `cases` behind tags ("tagged").
    """

    kind: Literal["parts", "open", "repeat", "tagged"]
    items: tuple["Item", ...] = ()
    rest: "Item | None" = None
    shortest: int = 0
    entries_max: int = 0
    tag_length: int = 0
    length_digits: int = 0
    cases: "Mapping[str, Inside]" = MappingProxyType({})


class Nest(NamedTuple):
    """A composite whose length stands in `prefix` ASCII digits, or is `size` (below 0: all the rest)."""

    prefix: int
    size: int
    limit: int
    shortest: int
    inside: Inside


@dataclass(frozen=True)
class Item:
    """A compiled field.

    `bare` encodes without the length prefix; `walk` finds spans without checking characters, so that a masked
    body can still be shown; `width` is its greatest length in units (characters or bytes), None where there
    is none; `hides` says that it may hold what no spec lists, which is never shown.
    """

    about: About
    name: str
    width: int | None
    decode: Decode
    encode: Encode
    bare: Encode
    walk: Walk
    bounds: "Bounds"
    charset: str | None = None
    size: int | None = None
    binary: bool = False
    blank: bytes | None = None
    takes_rest: bool = False
    children: tuple["Item", ...] = field(default=())
    hides: bool = False
    quick: Quick | None = None
    nest: Nest | None = None  # of a composite that needs none of its closures in its commonest form
    star: Callable[[bytes, int, int, bytearray], None] | None = None  # of a composite, as in its `Layout`

    def everything(self) -> list["Item"]:
        """Return this item and all below it."""
        return [self] + [found for child in self.children for found in child.everything()]

    @property
    def secret(self) -> bool:
        """Whether anything in here is sensitive."""
        return any(item.about.sensitive or item.hides for item in self.everything())


Bounds = Callable[[bytes, int, int], tuple[int, int]]


def make_bounds(
    about: About, prefix: PrefixRow | None, units_max: int, size: Callable[[int], int] | None
) -> Bounds:
    """Return a function that finds a value's (start, stop); without a prefix the value is `units_max` long.

    `size` turns units into bytes where they differ.  `units_max` < 0 means the rest of the container.
    """

    def fixed(_body: bytes, start: int, end: int) -> tuple[int, int]:
        length = size(units_max) if size else units_max
        if length < 0:
            return start, end
        if start + length > end:
            raise about.truncated(start, length, end - start)
        return start, start + length

    def prefixed(body: bytes, start: int, end: int) -> tuple[int, int]:
        units, begin = read_prefix(about, prefix, units_max, body, start, end)  # type: ignore[arg-type]
        length = size(units) if size else units
        if begin + length > end:
            raise about.truncated(begin, length, end - begin)
        return begin, begin + length

    return prefixed if prefix else fixed


def read_prefix(
    about: About, prefix: PrefixRow, units_max: int, body: bytes, start: int, end: int
) -> tuple[int, int]:
    """Return the length that a prefix states, in units, and where the value begins."""
    begin = start + prefix.size
    if begin > end:
        raise about.truncated(start, prefix.size, end - start)
    units = prefix.read(body[start:begin])
    if units is None:
        found = shown(body[start:begin])
        raise about.error(start, f"a length of {prefix.size} bytes", found, Reason.LENGTH_CHARACTER)
    if units > units_max:
        raise about.error(start, f"at most {units_max}", str(units), Reason.LENGTH_TOO_LARGE)
    return units, begin


def _mask_text(text: str, kind: str) -> str:
    core = text.rstrip(" ")
    blanks = text[len(core) :]
    if kind == "pan":
        return mask_pan(core) + blanks
    if kind == "phone":
        return mask_phone(core) + blanks
    return "*" * len(core) + blanks


# How much of a sensitive value may be seen; the names are those a spec's `sensitive` takes.
SENSITIVES = ("pan", "phone", "name", "secret")


def mask_bytes(data: bytes, kind: str, charset: str | None) -> bytes:
    """Return as many bytes with the secret part starred; of bytes without a charset (packed digits too) all
    of them."""
    if charset == EBCDIC:
        text = data.decode(EBCDIC)
        return (_mask_text(text, kind) if text.isascii() else "*" * len(text)).encode(EBCDIC)
    if not charset or not data.isascii():
        return b"*" * len(data)
    return _mask_text(data.decode("ascii"), kind).encode("ascii")


def star_item(item: Item, body: bytes, start: int, end: int, masked: bytearray) -> int:
    """Star in a copy of the body what is sensitive of one field; return where it ends.

    Raises RemoteProtocolError where it does not fit.
    """
    about = item.about
    if about.sensitive or item.star is not None:
        begin, stop = item.bounds(body, start, end)
        if about.sensitive:
            masked[begin:stop] = mask_bytes(body[begin:stop], about.sensitive, item.charset)
        elif item.star is not None:
            item.star(body, begin, stop, masked)
        return stop
    if not item.children and not item.hides:
        return item.bounds(body, start, end)[1]
    spans: list[Span] = []
    stop = item.walk(body, start, end, spans)
    star_spans(spans, body, masked)
    return stop


def star_spans(spans: list[Span], body: bytes, masked: bytearray) -> None:
    """Star in a copy of the body what these spans say to be sensitive."""
    for span in spans:
        if span.sensitive:
            chunk = body[span.start : span.stop]
            masked[span.start : span.stop] = mask_bytes(chunk, span.sensitive, span.charset)


def view(body: bytes, span: Span) -> FieldView:
    """Return a span as a line of a dump, masked."""
    chunk = body[span.start : span.stop]
    if span.sensitive:
        value = mask_bytes(chunk, span.sensitive, span.charset or "").decode(span.charset or "ascii")
    elif span.charset is None:
        value = ""
    elif span.charset:
        value = chunk.decode(span.charset, "replace")
    else:
        value = chunk.hex().upper()
    return FieldView(span.path, span.tag, span.title, span.start, span.stop - span.start, value)
