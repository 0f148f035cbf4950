"""Which form of the codec's inner loops is used: the compiled extension where it was built, else pure Python.

Both do exactly the same; `QIANZHI_PURE=1` in the environment leaves the extension aside.  `FORM` says which
it is: "compiled" or "pure".
"""

import os
from collections.abc import Callable, Sequence
from importlib import import_module
from types import ModuleType
from typing import Any, NamedTuple

from qianzhi.wire import iso_mask, iso_plan, mac_plan
from qianzhi.wire.errors import EncodeError, RemoteProtocolError
from qianzhi.wire.iso_head import RAW_BYTES, Head
from qianzhi.wire.items import Item, Quick, star_item

PURE = "QIANZHI_PURE"


def _extension() -> ModuleType | None:
    """Return the extension, None where it was not built or is not wanted."""
    if os.environ.get(PURE, "") not in ("", "0"):
        return None
    try:
        return import_module("qianzhi.wire._kernel")
    except ImportError:
        return None


_compiled = _extension()
FORM = "pure" if _compiled is None else "compiled"


def compiled_cipher() -> Callable[..., Any] | None:
    """Return what makes single DES of three functions of libcrypto and a key, None in pure Python."""
    return None if _compiled is None else getattr(_compiled, "LibcryptoCipher", None)


def make_reader(items: Sequence[Item]) -> iso_plan.Read:
    """Return what reads these fields, as `iso_plan.make_reader` does."""
    if _compiled is None:
        return iso_plan.make_reader(items)
    read: iso_plan.Read = _compiled.Reader(items, star_item)
    return read


def make_writer(items: Sequence[Item]) -> iso_plan.Write:
    """Return what writes these fields, as `iso_plan.make_writer` does."""
    if _compiled is None:
        return iso_plan.make_writer(items)
    write: iso_plan.Write = _compiled.Writer(items, star_item)
    return write


def make_gatherer(fields: Sequence[mac_plan.Covered], joining: mac_plan.Joining) -> mac_plan.Gather:
    """Return what gathers these fields for a MAC, as `mac_plan.make_gatherer` does."""
    if _compiled is None:
        return mac_plan.make_gatherer(fields, joining)
    gather: mac_plan.Gather = _compiled.Gatherer(fields, joining, star_item)
    return gather


def make_masker(items: Sequence[Item]) -> iso_mask.Mask:
    """Return what stars these fields, as `iso_mask.make_masker` does."""
    if _compiled is None:
        return iso_mask.make_masker(items)
    mask: iso_mask.Mask = _compiled.Masker(items, star_item)
    return mask


class Whole(NamedTuple):
    """Whole messages at a stroke: `decode(body)` returns one, `encode(message)` its bytes, `mask(body)` its
    body starred, all as a codec's own functions do, which are asked where a shape is not known yet and where
    anything is wrong.

    `add(names, bitmaps, write)` makes a shape known to `encode`.
    """

    decode: Callable[[bytes], dict[str, Any]]
    encode: Callable[[dict[str, Any]], bytes]
    add: Callable[[tuple[Any, ...], bytes, iso_plan.Write], None]
    mask: Callable[[bytes], bytes]


class Made(NamedTuple):
    """What a codec has made for the bitmaps that it knows, now and later: readers, and plans to mask."""

    readers: dict[bytes, iso_plan.Read]
    maskers: dict[bytes, iso_mask.Mask]


def make_whole(
    own: Whole, head: Head, mti: Quick | None, bitmaps: tuple[int, int], bytes_max: int, made: Made
) -> Whole:  # fmt: skip
    """Return what reads and writes whole messages: a codec's own functions in pure Python and for rare heads.

    `bitmaps` are the bytes of one and how many there may be.
    """
    if _compiled is None or mti is None or bitmaps[0] != RAW_BYTES:
        return own
    heads = (None, None) if head.absent else (head.decode, head.encode)
    decoder = _compiled.Decoder(
        own, made, heads[0], head.counted, mti, bitmaps[1], bytes_max, RemoteProtocolError
    )
    encoder = _compiled.Encoder(own.encode, heads[1], head.counted, mti, bytes_max, EncodeError)
    plain = head.absent or head.counted is not None
    return Whole(decoder.decode, encoder.encode, encoder.add, decoder.mask if plain else own.mask)
