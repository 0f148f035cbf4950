"""Where a request goes: the first row of the routes table that fits its bank number and kind.  Pure."""

from collections.abc import Sequence

from qianzhi.domain.requests import Kind
from qianzhi.link.tables import Route

NOWHERE = "nowhere"
BRIDGES = "bridges"

_NAMES = {kind.value: kind.name.lower() for kind in Kind}


def route(routes: Sequence[Route], number: str, kind: int) -> str:
    """Return `bridges`, a bank's name (outward), or `nowhere` when no row fits or the kind is not known."""
    name = _NAMES.get(kind)
    if name is None:
        return NOWHERE
    for row in routes:
        if _fits_number(row, number) and ("*" in row.kinds or name in row.kinds):
            return row.to
    return NOWHERE


def _fits_number(row: Route, number: str) -> bool:
    return any(
        number.startswith(pattern[:-1]) if pattern.endswith("*") else number == pattern
        for pattern in row.numbers
    )
