"""Rules on text as data: what of it a MAC is computed over, hex digits, and cutting it to a size in bytes."""

import codecs
from collections.abc import Callable

_KEPT = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 ,."
_UPPER = bytes(range(256)).upper()
_DROPPED = bytes(sorted(set(range(256)) - set(_KEPT) - set(_KEPT.lower())))


def select_cups(data: bytes) -> bytes:
    """Select as a UnionPay MAC does (Q/CUP 006.4).

    Upper-case; keep A–Z, 0–9, space, comma and full stop; strip, and squeeze runs of spaces to one.
    """
    return b" ".join(data.translate(_UPPER, _DROPPED).split())


def select_all(data: bytes) -> bytes:
    """Select everything, untouched."""
    return data


SELECTIONS: dict[str, Callable[[bytes], bytes]] = {"cups": select_cups, "none": select_all}


def read_hex(text: str) -> bytes | None:
    """Return the bytes that hex digits of either case stand for, None for anything else; spaces are no
    digits."""
    try:
        return bytes.fromhex(text) if text.isascii() and text.isalnum() else None
    except ValueError:
        return None


def clip(text: str, bytes_max: int, charset: str) -> str:
    """Return as much of the text as fits into `bytes_max` bytes of `charset`, never half a character.

    Characters that the charset lacks become `?`.
    """
    data = text.encode(charset, "replace")[:bytes_max]
    # "ignore" would not do: of half a character of four bytes it may leave the second byte, a digit.
    return codecs.getincrementaldecoder(charset)().decode(data)
