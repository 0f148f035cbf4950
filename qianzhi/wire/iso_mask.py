"""Masking a message without decoding it: one short plan for each bitmap.

Every frame of a bank is recorded masked, so this is on the hot path.  A plan jumps over harmless fields of
fixed length together, reads only the lengths of other harmless ones, and stars what is sensitive.  It is for
bodies that decode; the helpers at the end are for telling whether one does, and for those that do not.
"""

from collections.abc import Callable, Sequence

from qianzhi.wire.errors import RemoteProtocolError
from qianzhi.wire.items import Bounds, Item, Span, mask_bytes, star_item

# (body, start of the fields, its copy to be starred) -> where the last field ends
Mask = Callable[[bytes, int, bytearray], int]


def make_masker(items: Sequence[Item]) -> Mask:
    """Return what stars these fields in their order; it raises RemoteProtocolError where they do not fit."""
    steps: list[tuple[int, Bounds, Item | None]] = []  # jump over so many bytes; star, or only find its end
    jump = 0
    for item in items:
        secret = item.secret
        if not secret and item.size is not None:
            jump += item.size
            continue
        steps.append((jump, item.bounds, item if secret else None))
        jump = 0

    def mask(body: bytes, at: int, masked: bytearray) -> int:
        end = len(body)
        for skipped, bounds, item in steps:
            start = at + skipped
            if start > end:
                raise RemoteProtocolError("message", end, f"{start - end} bytes more", "its end")
            at = bounds(body, start, end)[1] if item is None else star_item(item, body, start, end, masked)
        return at + jump

    return mask


def mask_fields(mask: Mask, body: bytes, at: int, header: tuple[Item, ...]) -> bytes:
    """Return the body starred, the parts of its header at its head and its fields starting at `at`; raises
    RemoteProtocolError where they do not fit."""
    masked = bytearray(body)
    if header:
        make_masker(header)(body, 0, masked)
    at, end = mask(body, at, masked), len(body)
    if at != end:
        raise RemoteProtocolError("message", at, "its end", f"{end - at} bytes more")
    return bytes(masked)


def read_or_starred(item: Item, body: bytes, start: int, end: int) -> int:
    """Return where a field ends that can be decoded, or where stars alone are in the way of that; raises
    RemoteProtocolError."""
    try:
        return item.decode(body, start, end)[1]
    except RemoteProtocolError as error:
        spans: list[Span] = []
        stop = item.walk(body, start, end, spans)
        if not any(_is_masked(body, span) for span in spans if span.start <= error.offset < span.stop):
            raise
        return stop


def _is_masked(body: bytes, span: Span) -> bool:
    chunk = body[span.start : span.stop]
    return bool(span.sensitive) and mask_bytes(chunk, span.sensitive, span.charset) == chunk


def hidden(span: Span) -> Span:
    """Return a span whose value is shown as stars only; what contains other spans shows none anyway."""
    return span if span.charset is None else span._replace(sensitive="secret", charset="")
