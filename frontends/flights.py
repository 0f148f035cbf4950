"""Requests in flight: who waits for which answer, how many there may be, and when held ones are tried again.

Pure.  A *flight* is one request on its way to the core with everybody who waits for its answer: a repeat
with the same content joins it (money rule 3), unless a reversal has come in between.  A flight is not
identified by its key alone, because the same key with other content goes to the core as well, which decides.
"""

import heapq
from collections.abc import Hashable
from enum import Enum
from typing import NamedTuple

from frontends.mapping_rows import Message
from qianzhi.domain.dates import shift
from qianzhi.domain.requests import MONEY_KINDS, PRIORITY_KINDS, Key, Kind, Request
from qianzhi.domain.results import Result
from qianzhi.runtime.now import Now
from qianzhi.wire.mackey import MacKey

HOLD_FIRST_US = 50_000
HOLD_LONGEST_US = 1_000_000

Content = tuple[int, str, int, str, str, int, str, str, int, int, int]


def content_of(request: Request) -> Content:
    """Return what makes two requests the same: kind, key, phone, amount, bank number and bill (rule 3), and
    the other figures of totals."""
    return (
        request.kind,
        request.space,
        request.date,
        request.serial,
        request.phone,
        request.amount_fen,
        request.bank_number,
        request.bill,
        request.count,
        request.reversed_count,
        request.reversed_fen,
    )


class Arrival(NamedTuple):
    """One message that waits for a flight's answer; its answer takes its own match fields and its own key.

    `request` is None for a message that never became one; `mac_key` is the key that verified it, None
    where it needs no MAC.
    """

    source: Hashable
    message: Message
    request: Request | None
    mac_key: MacKey | None
    came_us: int


class Stage(Enum):
    """Where a flight stands."""

    FORWARDED = 1
    HELD = 2  # certainly not forwarded; tried again until its time is over
    BLOCKING = 3  # to be refused, once the core has blocked its key


class Flight:
    """One request in flight; `deadline_us` (monotonic) is when its budget is spent.

    `sent_us` (monotonic) is when it was begun: what is answered may be as old as that.
    """

    __slots__ = (
        "arrivals", "content", "deadline_us", "hold_us", "key", "key_text", "refusal", "request", "sent_us",
        "stage", "ticket", "trace",
    )  # fmt: skip

    def __init__(
        self, ticket: int, request: Request, trace: str, deadline_us: int, arrivals: list[Arrival],
        sent_us: int, content: Content, key: Key, key_text: str,
    ) -> None:  # fmt: skip
        self.ticket = ticket
        self.request = request
        self.trace = trace
        self.deadline_us = deadline_us
        self.arrivals = arrivals
        self.sent_us = sent_us
        self.content = content  # and the key as text: asked for at each step, so made once
        self.key = key
        self.key_text = key_text
        self.stage = Stage.FORWARDED
        self.refusal = Result.UNKNOWN
        self.hold_us = HOLD_FIRST_US

    @property
    def priority(self) -> bool:
        """Whether it may use the reserved tenth and is never refused busy first."""
        return self.request.kind in PRIORITY_KINDS


def rooms(in_flight_max: int) -> tuple[int, int]:
    """Return how many ordinary requests may be in flight, and how many more reversals and status queries."""
    reserved = max(1, in_flight_max // 10)
    return max(1, in_flight_max - reserved), reserved


class Flights:
    """All requests in flight of one bank, bounded by `in_flight_max` waiting messages.

    A tenth of the bound is kept for reversals and status queries (DESIGN section 3).
    """

    def __init__(self, in_flight_max: int) -> None:
        self._max = in_flight_max
        self._open_max, _ = rooms(in_flight_max)
        self._tickets = 0
        self._by_ticket: dict[int, Flight] = {}
        self._by_content: dict[Content, Flight] = {}
        self._by_source: dict[Hashable, set[int]] = {}  # tickets; short connections come and go often
        self._money: dict[Key, list[Flight]] = {}
        self._held: list[tuple[int, int]] = []
        self._held_ordinary: set[int] = set()
        self._asked: Request | None = None  # the last one looked for, which is mostly the next to be opened
        self._content: Content | None = None
        self.waiting = 0

    def __len__(self) -> int:
        return len(self._by_ticket)

    def has_room(self, request: Request) -> bool:
        """Say whether one more message may wait."""
        limit = self._max if request.kind in PRIORITY_KINDS else self._open_max
        return self.waiting < limit

    @property
    def nearly_full(self) -> bool:
        """Whether three quarters of the ordinary room are taken: a queue goes on only below it."""
        return self.waiting * 4 >= self._open_max * 3

    @property
    def full(self) -> bool:
        """Whether ordinary requests have no room left."""
        return self.waiting >= self._open_max

    @property
    def overfull(self) -> bool:
        """Whether more wait than ordinary requests have room for."""
        return self.waiting > self._open_max

    @property
    def holding(self) -> bool:
        """Whether any ordinary request is held back."""
        return bool(self._held_ordinary)

    def same(self, request: Request) -> Flight | None:
        """Return the flight with the same content, if it is under way."""
        self._asked, self._content = request, content_of(request)
        return self._by_content.get(self._content)

    def money_under_way(self, request: Request) -> bool:
        """Say whether the original of a status query is in flight here; a date of ours may be a day off."""
        return any(key in self._money for key in _keys_meant(request))

    def open(
        self, arrival: Arrival, request: Request, trace: str, deadline_us: int, sent_us: int | None = None,
        key_text: str | None = None,
    ) -> Flight:  # fmt: skip
        """Start a flight for its first arrival, sent when that came unless `sent_us` says otherwise; whoever
        has the key as text already gives it."""
        self._tickets += 1
        began_us = arrival.came_us if sent_us is None else sent_us
        content = self._content
        if content is None or request is not self._asked:
            content = content_of(request)
        self._asked = self._content = None
        key, ticket = request.key, self._tickets
        text = key.text if key_text is None else key_text
        flight = Flight(ticket, request, trace, deadline_us, [arrival], began_us, content, key, text)
        self._by_ticket[ticket] = flight
        self._by_content[content] = flight
        if request.kind in MONEY_KINDS:
            others = self._money.get(key)
            if others is None:
                self._money[key] = [flight]
            else:
                others.append(flight)
        elif request.kind is Kind.REVERSAL:
            self._close_to_repeats(request)
        tickets = self._by_source.get(arrival.source)
        if tickets is None:
            self._by_source[arrival.source] = {ticket}
        else:
            tickets.add(ticket)
        self.waiting += 1
        return flight

    def join(self, flight: Flight, arrival: Arrival) -> None:
        """Let a repeat wait for the same answer."""
        flight.arrivals.append(arrival)
        self._wait(arrival, flight)

    def _close_to_repeats(self, reversal: Request) -> None:
        """Let nobody join what is reversed meanwhile: a repeat that comes after the reversal has to hear
        "reversed", and the answer that is under way may be older.  The core knows (rule 3).
        """
        for key in _keys_meant(reversal):
            for flight in self._money.get(key, ()):
                self._forget_content(flight)

    def _forget_content(self, flight: Flight) -> None:
        if self._by_content.get(flight.content) is flight:
            del self._by_content[flight.content]

    def _wait(self, arrival: Arrival, flight: Flight) -> None:
        tickets = self._by_source.get(arrival.source)
        if tickets is None:
            self._by_source[arrival.source] = {flight.ticket}
        else:
            tickets.add(flight.ticket)
        self.waiting += 1

    def find(self, ticket: Hashable) -> Flight | None:
        """Return a flight by its ticket, or None when it has ended or was never one."""
        return self._by_ticket.get(ticket)  # type: ignore[call-overload, no-any-return]

    def end(self, flight: Flight) -> None:
        """Take a flight away: it was answered, or nobody is to hear of it."""
        ticket = flight.ticket
        del self._by_ticket[ticket]
        self._forget_content(flight)
        if flight.request.kind in MONEY_KINDS:
            others = self._money[flight.key]
            others.remove(flight)
            if not others:
                del self._money[flight.key]
        if self._held_ordinary:
            self._held_ordinary.discard(ticket)
        self.waiting -= len(flight.arrivals)
        for arrival in flight.arrivals:
            tickets = self._by_source.get(arrival.source)
            if tickets is not None:
                tickets.discard(ticket)
                if not tickets:
                    del self._by_source[arrival.source]

    def leave(self, source: Hashable) -> None:
        """Forget who waits on a closed connection; their flights go on and only the answers are dropped."""
        for ticket in self._by_source.pop(source, ()):
            flight = self._by_ticket[ticket]
            kept = [arrival for arrival in flight.arrivals if arrival.source != source]
            self.waiting -= len(flight.arrivals) - len(kept)
            flight.arrivals[:] = kept

    def hold(self, flight: Flight, now: Now) -> None:
        """Keep a flight back; each time twice as long, never past its deadline."""
        at_us = min(now.mono_us + flight.hold_us, flight.deadline_us)
        flight.hold_us = min(flight.hold_us * 2, HOLD_LONGEST_US)
        if not flight.priority:
            self._held_ordinary.add(flight.ticket)
        heapq.heappush(self._held, (at_us, flight.ticket))

    @property
    def deadline(self) -> int | None:
        """When the next held flight is due (monotonic), or None."""
        return self._held[0][0] if self._held else None

    def take_due(self, now: Now) -> list[Flight]:
        """Return the held flights whose time has come, oldest first."""
        due = []
        while self._held and self._held[0][0] <= now.mono_us:
            flight = self._by_ticket.get(heapq.heappop(self._held)[1])
            if flight is not None:
                self._held_ordinary.discard(flight.ticket)
                due.append(flight)
        return due


def _keys_meant(request: Request) -> list[Key]:
    """Return the keys that a query or reversal may mean: a date of ours may be a day off."""
    key = request.key
    days = (0, -1, 1) if request.date_ours else (0,)
    return [key._replace(date=shift(key.date, day)) for day in days]
