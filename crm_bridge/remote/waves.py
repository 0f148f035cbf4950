"""How a list is cut so that its calls may go side by side: what touches one key or phone goes in turn.  Pure.

A wave holds no two requests about one key (the days beside it too, where the date is ours) and none about
one phone.  A question about totals, and the close of a date, goes behind all that stands before it, and
before all that stands behind.
"""

from collections.abc import Callable, Hashable, Iterator, Sequence

from crm_bridge.gateway_checks import refusal
from qianzhi.domain.requests import KEYLESS_KINDS, Key, Kind, Request

Beside = Callable[[int], Sequence[int]]


def waves(requests: Sequence[Request], beside: Beside) -> list[list[int]]:
    """Return the places of the requests, wave by wave; `beside` gives the dates next to one."""
    levels: dict[Hashable, int] = {}
    found: list[list[int]] = []
    floor = top = 0
    for place, request in enumerate(requests):
        names = list(_names(request, beside))
        level = max([floor, *(levels[name] + 1 for name in names if name in levels)])
        if request.kind is Kind.TOTALS and top:
            floor = level = top
        if request.kind is Kind.CLOSE:  # a wave of its own: what it closes is open before and closed behind
            level = top
            floor = top = level + 1
        for name in names:
            levels[name] = level
        if names:
            top = max(top, level + 1)
        while len(found) <= level:
            found.append([])
        found[level].append(place)
    return found


def named_keys(request: Request, beside: Beside) -> list[Key]:
    """Return the keys that a request may mean; none for one that cannot be looked at, or that has none."""
    if refusal(request) is not None or request.kind in KEYLESS_KINDS:
        return []
    keys = [request.key]
    if request.date_ours:
        keys += [request.key._replace(date=date) for date in beside(request.date)]
    return keys


def _names(request: Request, beside: Beside) -> Iterator[Hashable]:
    if refusal(request) is not None:
        return
    yield from named_keys(request, beside)
    if request.phone:
        yield request.phone
