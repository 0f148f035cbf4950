"""Composites whose parts are laid out in digits and then packed as one run of nibbles.

    11 digits       | type 2 | batch 6     | code 3 |
    on the wire     | 2 2 | 0 0 | 0 0 | 0 1 | 0 0 | 1 0 |      bcd_left: the filler is the last nibble

Parts need not begin on a byte, so an odd one moves all that follow it by half a byte.
"""

from dataclasses import dataclass
from typing import Any

from qianzhi.wire.errors import EncodeError, RemoteProtocolError
from qianzhi.wire.items import About, Item, Span, make_bounds
from qianzhi.wire.layout import Layout
from qianzhi.wire.rows import PrefixRow

# where the filler nibble of an odd number of digits stands
PACKINGS = {"bcd": "left", "bcd_left": "right"}
_NIBBLES = frozenset("0123456789ABCDEF")


@dataclass(frozen=True)
class Packed:
    """How the digits are packed and counted; `limit` digits are accepted, `length` is the norm."""

    packing: str
    prefix: PrefixRow | None
    length: int
    limit: int
    fixed: bool


def packed(about: About, name: str, form: Packed, layout: Layout) -> Item:
    """Pack what a layout of characters says; offsets of its errors are turned into those of the body."""
    prefix = form.prefix
    bounds = make_bounds(about, prefix, form.limit, packed_bytes)
    filler_left = PACKINGS[form.packing] == "left"

    def opened(body: bytes, start: int, end: int) -> tuple[bytes, int, int, int]:
        """Return the digits, where the first of them stands counted in nibbles, and the value's bounds."""
        begin, stop = bounds(body, start, end)
        digits = form.length if prefix is None else prefix.read(body[start:begin])
        text = body[begin:stop].hex().upper().encode("ascii")
        skipped = len(text) - digits if filler_left and digits is not None else 0
        return text[skipped : skipped + (digits or 0)], 2 * begin + skipped, begin, stop

    def decode(body: bytes, start: int, end: int) -> tuple[Any, int]:
        text, nibble, _, stop = opened(body, start, end)
        try:
            return layout.decode(text, 0, len(text)), stop
        except RemoteProtocolError as error:
            raise _moved(error, nibble) from error

    def bare(value: Any) -> bytes:
        text = layout.encode(value).decode("latin-1")
        if (form.fixed and len(text) != form.length) or len(text) > form.limit:
            raise EncodeError(about.path, f"{form.length} digits", str(len(text)))
        if not _NIBBLES.issuperset(text):
            raise EncodeError(about.path, "digits that can be packed", "other characters")
        if len(text) % 2:
            text = "0" + text if filler_left else text + "0"
        return bytes.fromhex(text)

    def encode(value: Any) -> bytes:
        if prefix is None:
            return bare(value)
        return prefix.write(len(layout.encode(value))) + bare(value)

    def walk(body: bytes, start: int, end: int, spans: list[Span]) -> int:
        text, nibble, begin, stop = opened(body, start, end)
        inside: list[Span] = []
        fault: RemoteProtocolError | None = None
        if not about.sensitive:
            try:
                layout.walk(text, 0, len(text), inside)
            except RemoteProtocolError as error:
                fault = error
        # Neighbours share bytes, so that one secret among them hides them all.
        if about.sensitive or any(span.sensitive for span in inside):
            kind, inside = about.sensitive or "secret", []
            spans.append(Span(about.path, about.tag, about.title, kind, begin, stop, ""))
        else:
            spans.append(Span(about.path, about.tag, about.title, "", begin, stop, None))
        spans += [_placed(span, nibble) for span in inside]
        if fault is not None:
            raise _moved(fault, nibble) from fault
        return stop

    return Item(
        about=about,
        name=name,
        width=form.length,
        decode=decode,
        encode=encode,
        bare=bare,
        walk=walk,
        bounds=bounds,
        size=packed_bytes(form.length) if form.fixed else None,
        children=layout.children,
        hides=layout.hides,
    )


def packed_bytes(digits: int) -> int:
    """Return how many bytes so many digits take."""
    return (digits + 1) // 2


def _moved(error: RemoteProtocolError, nibble: int) -> RemoteProtocolError:
    offset = (nibble + error.offset) // 2
    return RemoteProtocolError(error.field, offset, error.expected, error.found, error.reason, error.number)


def _placed(span: Span, nibble: int) -> Span:
    """Return a span of digits as one of the bytes that hold them."""
    start, stop = nibble + span.start, nibble + span.stop
    charset = None if span.charset is None else ""
    return span._replace(start=start // 2, stop=(stop + 1) // 2, charset=charset)
