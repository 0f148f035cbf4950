"""One request's life told as steps: what a daemon's event row says, in words and at its own moment.

A node and the bridge write one row for a request's whole stay, when it ends; the row says how long the stay
was, so that it is told as two steps.  Pure: rows in, steps out.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

Data = dict[str, Any]


class Step(NamedTuple):
    """Something that happened: when (microseconds since 1970 UTC), where, and what in words."""

    wall_us: int
    where: str
    what: str


def steps_of(hops: list[Data]) -> list[Step]:
    """Return every step of a key's hops, oldest first."""
    found = [step for hop in hops for step in TELLERS.get(hop["event"], tell_other)(hop)]
    return sorted(found, key=lambda step: step.wall_us)


def tell_in(hop: Data) -> Iterator[Step]:
    """The bank's message came."""
    data = hop["data"]
    what = f"the bank asks: {data.get('kind', '?')} (connection {data.get('conn', '?')})"
    yield Step(hop["wall_us"], hop["daemon"], what)


def tell_out(hop: Data) -> Iterator[Step]:
    """The bank is answered."""
    data = hop["data"]
    words = f"the bank is told: code {data.get('code', '?')}, {worded(data.get('result'))}"
    yield Step(hop["wall_us"], hop["daemon"], words + after(data.get("us")))


def tell_shed(hop: Data) -> Iterator[Step]:
    """The bank asks more than is served, and is refused at once."""
    yield from tell_in(hop)
    data = hop["data"]
    words = (
        f"the bank is told: code {data.get('code', '?')}, {worded(data.get('result'))}; nothing was forwarded"
    )
    yield Step(hop["wall_us"], hop["daemon"], words)


def tell_silent(hop: Data) -> Iterator[Step]:
    """The bank is told nothing."""
    yield Step(hop["wall_us"], hop["daemon"], f"the bank is told nothing: {worded(hop['data'].get('why'))}")


def tell_node(hop: Data) -> Iterator[Step]:
    """A node took the request, passed it on, and passed the answer back."""
    data = hop["data"]
    took_us, sender = int(data.get("us", 0)), data.get("from", "?")
    attempt = f", attempt {data['attempt']}" if data.get("attempt", 1) != 1 else ""
    yield Step(hop["wall_us"] - took_us, hop["daemon"], f"takes it from {sender}{attempt}")
    sends, status = data.get("sends", 0), str(data.get("status", "?"))
    peer = f"{data.get('peer') or 'nobody'}" + (f", sent {sends} times" if sends > 1 else "")
    back = (
        f"passes the answer of {peer} back"
        if status == "OK"
        else f"answers {worded(status)} (sent to {peer})"
    )
    yield Step(hop["wall_us"], hop["daemon"], back + after(took_us))


def tell_core(hop: Data) -> Iterator[Step]:
    """The bridge took the request, and the core decided it and committed what it changes."""
    data = hop["data"]
    took_us = int(data.get("took_us", 0))
    order = f", work order {data['order']}" if data.get("order") else ""
    yield Step(hop["wall_us"] - took_us, hop["daemon"], f"brings it to the core: {data.get('kind', '?')}")
    what = f"the core has answered: {worded(data.get('result'))}{order}"
    yield Step(hop["wall_us"], hop["daemon"], what + after(took_us))


def tell_other(hop: Data) -> Iterator[Step]:
    """Anything else, by its name and data."""
    words = ", ".join(f"{name} {value}" for name, value in hop["data"].items())
    what = worded(hop["event"]) + (f": {words}" if words else "")
    yield Step(hop["wall_us"], hop["daemon"], what)


TELLERS: dict[str, Callable[[Data], Iterator[Step]]] = {
    "in": tell_in,
    "out": tell_out,
    "shed": tell_shed,
    "silent": tell_silent,
    "node": tell_node,
    "core": tell_core,
}


def worded(name: object) -> str:
    """Write a name of the code as words."""
    return str(name if name is not None else "?").lower().replace("_", " ")


def after(us: object) -> str:
    """Write how long something took."""
    return f", after {us / 1000:.1f} ms" if isinstance(us, int) else ""
