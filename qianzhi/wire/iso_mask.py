"""Masking a message without decoding it: one short plan for each bitmap.

Every frame of a bank is recorded masked, so this is on the hot path.  A plan jumps over harmless fields of
fixed length together, reads only the lengths of other harmless ones, and stars what is sensitive.  It is for
bodies that decode; the helpers at the end are for telling whether one does, and for those that do not.
"""

from qianzhi.wire.errors import RemoteProtocolError
from qianzhi.wire.items import Bounds, Item, Span, mask_bytes, star_item

# (bytes to jump over first, the field's bounds, the field when something in it is sensitive)
Step = tuple[int, Bounds, Item | None]
Plan = tuple[list[Step], int]


def make_plan(items: list[Item]) -> Plan:
    """Return the steps for these fields in their order, and the bytes to jump over after the last one."""
    steps: list[Step] = []
    jump = 0
    for item in items:
        secret = item.secret
        if not secret and item.size is not None:
            jump += item.size
            continue
        steps.append((jump, item.bounds, item if secret else None))
        jump = 0
    return steps, jump


def mask_fields(plan: Plan, body: bytes, at: int, header: tuple[Item, ...]) -> bytes:
    """Return the body starred, the parts of its header at its head and its fields starting at `at`; raises
    RemoteProtocolError where they do not fit."""
    masked = bytearray(body)
    if header:
        _mask_steps(make_plan(list(header))[0], body, 0, masked)
    steps, rest = plan
    at, end = _mask_steps(steps, body, at, masked), len(body)
    if at + rest != end:
        raise RemoteProtocolError("message", at, "its end", f"{end - at - rest} bytes more")
    return bytes(masked)


def _mask_steps(steps: list[Step], body: bytes, at: int, masked: bytearray) -> int:
    """Star what the steps find from `at` on; return where the last of them ends."""
    end = len(body)
    for jump, bounds, item in steps:
        start = at + jump
        at = bounds(body, start, end)[1] if item is None else star_item(item, body, start, end, masked)
    return at


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
