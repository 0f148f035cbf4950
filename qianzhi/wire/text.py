"""Rules on text as data: the selections that a MAC is computed over, and cutting text to a size in bytes."""

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


def clip(text: str, bytes_max: int, charset: str) -> str:
    """Return as much of the text as fits into `bytes_max` bytes of `charset`, never half a character.

    Characters that the charset lacks become `?`.
    """
    data = text.encode(charset, "replace")[:bytes_max]
    return data.decode(charset, "ignore")
