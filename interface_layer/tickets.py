"""Whose request is under way at a node, and what a hop and the event file are given of it.  Pure."""

from typing import Any
from zlib import crc32

import msgspec

from interface_layer.shares import Share
from qianzhi.domain.requests import PRIORITY_KINDS
from qianzhi.link.events import Hello
from qianzhi.link.hop import Job, Outcome
from qianzhi.link.messages import Envelope, Status
from qianzhi.runtime.effects import Event
from qianzhi.runtime.now import Now
from qianzhi.saf.keeping import Errand
from qianzhi.saf.rows import CORE

OUTWARD = "outward"  # under this name are counted the requests that bridges make of banks

_STATUS_NAMES = tuple(status.name for status in sorted(Status))  # by its value: quicker than to ask an enum

_encode = msgspec.msgpack.Encoder().encode
_event = tuple.__new__  # what a named tuple's own function does, without its call


class Asker:
    """A connected peer; a peer that comes back is another asker, and gets no answers to the former's
    requests.
    """

    __slots__ = ("bank", "hello", "numbers", "targets")

    def __init__(self, hello: Hello) -> None:
        self.hello = hello
        self.bank = hello.banks[0] if hello.role == "front" and hello.banks else OUTWARD
        self.numbers = frozenset(hello.numbers)
        self.targets: dict[tuple[str, int], str] = {}  # routes found, by number and kind; bounded by both


HOUSE = Asker(Hello("house", "house"))  # what the node asks on its own account


class Ticket(msgspec.Struct, frozen=True, gc=False):
    """Whose request a job is; `errand` is that of the house's own."""

    asker: Asker
    envelope: Envelope
    share: Share | None
    arrived: Now
    errand: tuple[str, str, int] | None = None


def job_of(
    asker: Asker,
    envelope: Envelope,
    share: Share | None,
    now: Now,
    errand: tuple[str, str, int] | None = None,
) -> Job:
    """Return what a hop is given of an envelope."""
    return Job(
        Ticket(asker, envelope, share, now, errand),
        envelope.to,
        envelope.kind,
        envelope.lane,
        now.mono_us + envelope.budget_ms * 1_000,
        envelope.priority,
        envelope.trace,
        envelope.key,
        envelope.body,
        envelope.attempt,
    )


def errand_job(errand: Errand, now: Now) -> Job:
    """Return what a hop is given of the house's own."""
    request = errand.request
    budget_ms = max(0, errand.deadline_us - now.mono_us) // 1_000
    key = request.key.text
    lane = crc32((request.phone or request.serial).encode("utf-8", "replace"))
    to = request.bank_number if errand.to == CORE else errand.to
    priority = int(request.kind in PRIORITY_KINDS)
    trace = f"{errand.ticket[0]}-{errand.ticket[2]}"
    envelope = Envelope(0, 1, to, request.kind, lane, budget_ms, priority, trace, _encode(request), key)
    return job_of(HOUSE, envelope, None, now, errand.ticket)


def row_of(ticket: Ticket, outcome: Outcome, now: Now) -> Event:
    """One compact row for the whole stay of a request at this node."""
    envelope = ticket.envelope
    data: dict[str, Any] = {
        "from": ticket.asker.hello.name,
        "peer": outcome.peer,
        "to": envelope.to,
        "kind": envelope.kind,
        "attempt": envelope.attempt,
        "sends": outcome.attempts,
        "status": _STATUS_NAMES[outcome.status],
        "us": now.mono_us - ticket.arrived.mono_us,
    }
    return _event(Event, (now.wall_us, "node", envelope.key, envelope.trace, data))
