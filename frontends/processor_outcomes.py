"""From a flight to its end: forwarding, holding, refusing, blocking first.  Pure.

    status      certain?   on a socket                       on a queue
    OK                     the core's answer                 the core's answer
    BUSY, …     yes        refused with a code to try again  held and tried again, consuming is paused
    EXPIRED     yes        refused (its key blocked first)   refused (its key blocked first)
    any other   no         code for unknown, or silence      code for unknown, or silence

A refusal without a code that lets the bank send the serial again first blocks the key at the core, and so
does every refusal of money on a queue (rule 8).  Reversals and status queries are held on a socket too and
never block anything: their key is their original's.
"""

import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec

from frontends.flights import Arrival, Flight, Flights, Stage
from frontends.front import Outbox
from frontends.replies import Replies
from qianzhi.domain.requests import MONEY_KINDS, PRIORITY_KINDS, Kind, Reply, Request
from qianzhi.domain.results import Result
from qianzhi.link.hop import Hop, Job, Outcome
from qianzhi.link.messages import UNREADABLE, Status
from qianzhi.runtime.effects import Effects
from qianzhi.runtime.now import SECOND_US, Now

if TYPE_CHECKING:
    from frontends.profile import Profile  # it reads files; its shape alone is used here

MARGIN_US_MAX = SECOND_US

REFUSALS = {
    Status.BUSY: Result.BUSY,
    Status.NO_ROUTE: Result.NO_ROUTE,
    Status.DRAINING: Result.UNAVAILABLE,
}

# What the core says of a key that can never be approved any more, blocked or of a date that takes none.
CLOSED = frozenset({Result.BLOCKED, Result.BAD_DATE, Result.DATE_CLOSED, Result.TOO_OLD})

KIND_NUMBERS = {kind: int(kind) for kind in Kind}
PRIORITIES = {kind: int(kind in PRIORITY_KINDS) for kind in Kind}

_encode = msgspec.msgpack.Encoder().encode
_decode_reply = msgspec.msgpack.Decoder(Reply).decode


@dataclass(slots=True)
class Turn:
    """One call of the core: its instant, what it wants done, and what it forwards."""

    now: Now
    out: Outbox
    jobs: list[Job] = field(default_factory=list)


class Outcomes:
    """Ends the flights of one bank."""

    def __init__(self, profile: "Profile", flights: Flights, replies: Replies, hop: Hop) -> None:
        self._bank = profile.name
        self._results = profile.results
        self._queued = profile.transport.redelivers
        self._has_partner = profile.instances > 1
        self._flights = flights
        self._replies = replies
        self._hop = hop
        self._find = flights.find
        self.reply_us = int(profile.limits.reply_seconds * SECOND_US)
        self.margin_us = min(MARGIN_US_MAX, self.reply_us // 10)

    def carry_on(self, turn: Turn) -> Effects:
        """Submit what the turn forwards and settle what has an outcome, until nothing more comes of it."""
        while True:
            jobs, turn.jobs = turn.jobs, []
            if jobs:
                turn.out.extend(self._hop.submit(jobs, turn.now))
            outcomes = self._hop.take_outcomes()
            if not outcomes:
                return turn.out.effects()
            for outcome in outcomes:
                if outcome.status is not Status.OK or not self._answer(outcome, turn):
                    self._settle(outcome, turn)

    def _answer(self, outcome: Outcome, turn: Turn) -> bool:
        """Tell what the core has said, where it is plain; False leaves all else to `_settle`."""
        flight = self._find(outcome.ticket)
        if flight is None or flight.stage is Stage.BLOCKING or self._has_partner:
            return False
        try:
            reply = _decode_reply(outcome.body)
        except UNREADABLE:
            return False
        if reply.result is Result.UNKNOWN:
            return False
        self._flights.end(flight)
        self._replies.answer(flight, reply, turn.now, turn.out)
        return True

    def forward(self, flight: Flight, turn: Turn) -> None:
        """Send a flight on its way, as what it is or as the block of its key."""
        request = flight.request
        if flight.stage is Stage.BLOCKING:
            request = msgspec.structs.replace(request, kind=Kind.BLOCK)
        else:
            flight.stage = Stage.FORWARDED
        turn.jobs.append(job_of(flight, request))

    def hold(self, flight: Flight, turn: Turn) -> None:
        """Keep back what was certainly not forwarded, and try again later."""
        if flight.stage is Stage.FORWARDED:
            flight.stage = Stage.HELD
        self._flights.hold(flight, turn.now)

    def refuse(self, flight: Flight, result: Result, turn: Turn) -> None:
        """Refuse at the edge what was certainly not forwarded."""
        money = flight.request.kind in MONEY_KINDS
        if money and (self._queued or not self._results.may_repeat(result)):
            flight.deadline_us = max(flight.deadline_us, turn.now.mono_us + self.margin_us)
            self.block(flight, result, turn)
            return
        self._note(flight, result, turn)
        self._end(flight, Reply(result), turn)

    def block(self, flight: Flight, result: Result, turn: Turn) -> None:
        """Block a flight's key at the core; the refusal is answered when that is done.

        A socket that floods us with what must be blocked hears "unknown" past the bound, since these waits
        have one too and leave the tenth of reversals and queries alone.  A queue's prefetch is its bound.
        """
        if self._flights.overfull and not self._queued:
            self._unknown(flight, turn)
            return
        flight.stage, flight.refusal = Stage.BLOCKING, result
        self.forward(flight, turn)

    def _settle(self, outcome: Outcome, turn: Turn) -> None:
        flight = self._find(outcome.ticket)
        if flight is None:
            turn.out.count("qianzhi_late_replies_total", self._bank)
        elif outcome.status is Status.OK:
            self._on_reply(flight, outcome, turn)
        elif not outcome.certain:
            self._unknown(flight, turn)
        elif outcome.status is Status.EXPIRED:
            self._on_expired(flight, turn)
        elif self._queued or flight.priority or flight.stage is Stage.BLOCKING:
            self.hold(flight, turn)
        else:
            self.refuse(flight, self._why(outcome), turn)

    def _why(self, outcome: Outcome) -> Result:
        """Return the refusal for a status of not taken; with no node at all the house is not available."""
        if not any(peer.healthy for peer in self._hop.peers):
            return Result.UNAVAILABLE
        return REFUSALS[outcome.status]

    def _on_expired(self, flight: Flight, turn: Turn) -> None:
        """End what was held until its time was over."""
        if flight.priority or flight.stage is Stage.BLOCKING:
            self._unknown(flight, turn)
        else:
            self.refuse(flight, Result.UNAVAILABLE, turn)

    def _on_reply(self, flight: Flight, outcome: Outcome, turn: Turn) -> None:
        try:
            reply = _decode_reply(outcome.body)
        except UNREADABLE:
            turn.out.alarm("reply_unreadable", key=flight.key_text, peer=outcome.peer)
            reply = Reply(Result.UNKNOWN)
        if reply.result is Result.UNKNOWN:
            self._unknown(flight, turn)
        elif flight.stage is Stage.BLOCKING:
            self._on_blocked(flight, reply, turn)
        else:
            self._end(flight, reply, turn)

    def _on_blocked(self, flight: Flight, reply: Reply, turn: Turn) -> None:
        """Refuse, now that the key is blocked; where it was settled before, the core's word on it counts.

        The block carried the request's content, so that this word is what the request itself would hear.
        """
        if reply.result in CLOSED:
            self._note(flight, flight.refusal, turn)
            self._end(flight, Reply(flight.refusal), turn)
        elif flight.request.kind is Kind.BLOCK:
            self._end(flight, Reply(Result.DUPLICATE_SERIAL), turn)
        else:
            self._end(flight, reply, turn)

    def _note(self, flight: Flight, result: Result, turn: Turn) -> None:
        turn.out.note(result.name.lower(), turn.now.wall_us, key=flight.key_text, trace=flight.trace)

    def _unknown(self, flight: Flight, turn: Turn) -> None:
        self._replies.unknown(flight, turn.now, turn.out)
        self._flights.end(flight)

    def _end(self, flight: Flight, reply: Reply, turn: Turn) -> None:
        self._flights.end(flight)
        later = self._came_later(flight, reply)
        if later:
            flight.arrivals[:] = [arrival for arrival in flight.arrivals if arrival not in later]
        if flight.arrivals or not later:
            self._replies.answer(flight, reply, turn.now, turn.out)
        if later:
            self._ask_again(flight, later, turn)

    def _came_later(self, flight: Flight, reply: Reply) -> list[Arrival]:
        """Return the repeats that waited for an approval which may be older than they are.

        A partner may have answered the original's reversal before they came, and a repeat of what is reversed
        hears "reversed" (rule 3).  One process alone sees both, and lets no repeat join then.
        """
        if not self._has_partner or reply.result is not Result.APPROVED:
            return []
        if flight.request.kind not in MONEY_KINDS:
            return []
        return [arrival for arrival in flight.arrivals if arrival.came_us > flight.sent_us]

    def _ask_again(self, flight: Flight, later: list[Arrival], turn: Turn) -> None:
        """Ask the core, which has the answer kept, for those who came while the first was under way."""
        first, *others = later
        own_us = first.came_us + self.reply_us - self.margin_us
        deadline_us = flight.deadline_us if self._queued else own_us  # a message may expire before
        now_us = turn.now.mono_us
        asked = self._flights.open(first, flight.request, flight.trace, deadline_us, now_us)
        for arrival in others:
            self._flights.join(asked, arrival)
        self.forward(asked, turn)


def job_of(flight: Flight, request: Request) -> Job:
    """Return the hop's job for a flight; `request` is what is sent of it."""
    kind = request.kind
    return Job(
        flight.ticket,
        request.bank_number,
        KIND_NUMBERS[kind],
        zlib.crc32((request.phone or request.serial).encode()),
        flight.deadline_us,
        PRIORITIES[kind],
        flight.trace,
        flight.key_text,
        _encode(request),
    )
