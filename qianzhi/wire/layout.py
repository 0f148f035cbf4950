"""What fills a composite field, whatever its kind: the functions that all layouts offer."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from qianzhi.wire.items import Encode, Inside, Item, Span, star_spans

# (body, start, stop) -> value; everything between the two must be used up.
Fill = Callable[[bytes, int, int], Any]
WalkInside = Callable[[bytes, int, int, list[Span]], None]
# (body, start, stop, its masked copy): star what is sensitive between the two
StarInside = Callable[[bytes, int, int, bytearray], None]


@dataclass(frozen=True)
class Layout:
    """What stands inside a composite field; `hides` as in `Item`; `star` does at a stroke what masking the
    spans of `walk` would, None where nothing but `walk` knows them; `inside` says the same as the functions,
    where it can be said.
    """

    decode: Fill
    encode: Encode
    walk: WalkInside
    children: tuple[Item, ...]
    hides: bool = False
    star: StarInside | None = None
    inside: Inside | None = None


def star_layout(layout: Layout, body: bytes, start: int, stop: int, masked: bytearray) -> None:
    """Star what is sensitive inside a layout."""
    if layout.star is not None:
        return layout.star(body, start, stop, masked)
    spans: list[Span] = []
    layout.walk(body, start, stop, spans)
    return star_spans(spans, body, masked)
