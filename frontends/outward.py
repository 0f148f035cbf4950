"""The outward direction of a front-end: what the house asks of a bank or network, and what that answers.

    node ─▶ Envelope ─▶ Request ─▶ message ─▶ flight ─▶ the bank's line
                                                │
    node ◀─ Answer ◀─── Reply ◀── answer ◀──────┘  matched by the dialect's match fields, whatever its order

Pure.  What a node sends in an envelope (`to` is the bank's name):

    CHARGE           key of ours in the space of the terms, `serial` with all its digits; `phone`,
                     `amount_fen`; `received_us`: when the intent was made, which its message carries
    CHARGE_REVERSAL  the charge's key, phone and amount; `stamp_us` is the charge's `received_us`;
    CHARGE_REFUND    `own_serial` and `received_us` are the message's own and stay what they are when it
    ADVICE           is sent again, `repeat` is true from the second time on; `reason` is one of
                     `outward_tables.REASONS`

What it hears:

    OK with a Reply     APPROVED; another result as the bank means it; UNKNOWN: sent, and the outcome is
                        open, and then `name` says which reason a reversal should carry.  A reversal,
                        refund or advice is over with APPROVED, REVERSED, NOT_FOUND or ORIGINAL_REFUSED
    BUSY, DRAINING,     certainly not sent: too much under way, the line closed, no such transaction,
    NO_ROUTE, EXPIRED   no time left

While nothing can be sent, because the bank is signed off, no connection stands or the front is leaving, its
nodes are told by a DrainNotice(True), and by DrainNotice(False) when that is over; so a hop's `healthy` says
whether a destination is open, and its entries wait without being tried.

An answer to a charge that nobody waits for becomes a LATE_ANSWER envelope (`to` the bank number, priority 1):
a Request of that kind under the charge's key, with `phone` and `amount_fen` as the answer has them and the
result's name in small letters in `reason`.  It is offered to the nodes until one answers Reply(APPROVED): "it
is mine and is noted".  NOT_FOUND says that it is another's; after anything else it is offered again later.
"""

from collections.abc import Hashable
from dataclasses import dataclass, field
from heapq import heappop, heappush
from typing import TYPE_CHECKING, Any

import msgspec

from frontends.flights import content_of
from frontends.front import Frame, Outbox
from frontends.limits import share
from frontends.mapping_rows import Message
from frontends.outward_late import LateAnswers
from frontends.outward_mapping import OutwardMapping
from frontends.seal import Seal
from frontends.session import Session
from qianzhi.domain.requests import OUTWARD_KINDS, PRIORITY_KINDS, Kind, Reply, Request
from qianzhi.domain.results import Result
from qianzhi.link.events import DrainNotice
from qianzhi.link.messages import UNREADABLE, Answer, Envelope, Status
from qianzhi.runtime.effects import Event, Send
from qianzhi.runtime.now import SECOND_US, Now
from qianzhi.wire.errors import EncodeError, MacError

if TYPE_CHECKING:
    from frontends.profile import Profile  # it reads files; its shape alone is used here

ASKED = "qianzhi_outward_total"
KIND_NAMES = {int(kind): kind.name.lower() for kind in OUTWARD_KINDS}
BUDGET_US_MIN = 1_000
AGE_SLACK_US = 2 * SECOND_US  # that clocks of two machines may differ

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Request).decode
Match = tuple[str, ...]


@dataclass(slots=True)
class _Flight:
    """One message of ours on its way, and the envelopes that wait for its answer."""

    request: Request
    match: Match
    trace: str
    due_us: int
    sent_us: int
    why: str = "timeout"  # the reason with which it would be reversed
    askers: list[tuple[str, int]] = field(default_factory=list)


class Outward:
    """What is asked of one bank or network; every method adds to an `Outbox` what is to be done."""

    def __init__(
        self, profile: "Profile", mapping: OutwardMapping, session: Session, seal: Seal, first_id: int
    ) -> None:
        """`mapping` is the profile's; `first_id` is above all that a former life of this front has used."""
        self._profile = profile
        self._bank = profile.name
        self._mapping = mapping
        self._rules = mapping.terms
        self._session = session
        self._seal = seal
        self._in_flight = share(mapping.in_flight, profile.instances)
        self._flights: dict[Match, _Flight] = {}
        self._due: list[tuple[int, Match]] = []
        self._sources: list[Hashable] = []
        self._turn = 0
        self._draining = False
        self._peers: dict[
            str, bool
        ] = {}  # connected nodes, and whether each was told that the line is closed
        self._late = LateAnswers(profile.name, profile.numbers[0], first_id)

    # What the processor asks

    @property
    def idle(self) -> bool:
        """Whether nothing of ours waits for an answer."""
        return not self._flights

    @property
    def deadline(self) -> int | None:
        """When `on_time` is wanted next (monotonic), or None."""
        due, late = self._due, self._late.deadline if self._peers else None
        while due and due[0][1] not in self._flights:
            heappop(due)
        times = [due[0][0]] if due else []
        return min([*times, late] if late is not None else times, default=None)

    def status(self, now: Now) -> dict[str, Any]:
        """Return what an operator wants to see."""
        shown = {
            "open": self.is_open(now),
            "policy": self._rules.policy,
            "in_flight": len(self._flights),
            "late_kept": len(self._late),
        }
        return {"outward": shown}

    def is_open(self, now: Now) -> bool:
        """Tell whether something can be sent: signed on, a key at hand, a connection, not draining."""
        return bool(self._sources) and not self._draining and self._line_open(now)

    def _line_open(self, now: Now) -> bool:
        return self._session.admits and self._seal.ready(now)

    # The line

    def on_connected(self, source: Hashable, now: Now, out: Outbox) -> None:
        """Use a new connection."""
        self._sources.append(source)
        self.tell(now, out)

    def on_closed(self, source: Hashable, now: Now, out: Outbox) -> None:
        """Forget a connection; what was asked on it may still be answered on another one."""
        if source in self._sources:
            self._sources.remove(source)
        self.tell(now, out)

    def drain(self, draining: bool) -> None:
        """Take nothing new, or take it again; reversals are sent all the same."""
        self._draining = draining

    # The nodes

    def on_peer_up(self, peer: str, now: Now) -> None:
        """Take a new node: it is told with the next `tell`, and offered what came late."""
        self._peers[peer] = False
        self._late.again(now)

    def on_peer_down(self, peer: str) -> None:
        """Forget a node; what it asked for is on its way and its answer will be late."""
        self._peers.pop(peer, None)
        self._late.on_peer_down(peer)
        for flight in self._flights.values():
            flight.askers = [asker for asker in flight.askers if asker[0] != peer]

    def tell(self, now: Now, out: Outbox) -> None:
        """Tell the nodes that were told otherwise whether anything can be sent."""
        closed = not self.is_open(now)
        for peer, told in self._peers.items():
            if told is not closed:
                self._peers[peer] = closed
                out.extend([Send(("peer", peer), [DrainNotice(closed)])])

    def on_answers(self, peer: str, items: list[Answer], now: Now, out: Outbox) -> list[Answer]:
        """Take a node's words on late answers; return the other answers."""
        return self._late.on_answers(peer, items, now, out)

    def on_requests(self, peer: str, items: list[Envelope], now: Now, out: Outbox) -> None:
        """Send what a node asks for; what is not sent is answered at once."""
        answers: list[Answer] = []
        for envelope in items:
            refusal = self._ask(peer, envelope, now, out)
            if refusal is not None:
                answers.append(Answer(envelope.id, refusal))
                kind = KIND_NAMES.get(envelope.kind, "unknown")
                out.count(ASKED, self._bank, kind, refusal.name.lower())
        if answers:
            out.extend([Send(("peer", peer), answers)])

    def _ask(self, peer: str, envelope: Envelope, now: Now, out: Outbox) -> Status | None:
        """Send one message, or return why it was not sent."""
        try:
            request = _decode(envelope.body)
        except UNREADABLE:
            out.alarm("outward_unreadable", key=envelope.key)
            return Status.NO_ROUTE
        if not self._mapping.knows(request.kind) or request.kind != envelope.kind:
            return Status.NO_ROUTE
        urgent = request.kind in PRIORITY_KINDS
        if not self._sources or not self._line_open(now) or (self._draining and not urgent):
            return Status.DRAINING
        budget_us = envelope.budget_ms * 1_000
        if budget_us < BUDGET_US_MIN or self._is_stale(request, now):
            return Status.EXPIRED
        try:
            message = self._mapping.message_of(request)
            frame = self._seal.encode(message, None, now)
        except (EncodeError, LookupError, ValueError) as error:
            where = error.path if isinstance(error, EncodeError) else ""
            out.alarm("outward_unwritable", key=envelope.key, field=where)
            return Status.NO_ROUTE
        match = self._mapping.mapping.match_key(message)
        flight = self._flights.get(match)
        if flight is not None and content_of(flight.request) != content_of(request):
            out.alarm("outward_serial_twice", key=envelope.key)
            return Status.NO_ROUTE
        if flight is None:
            if len(self._flights) >= self._in_flight + self._in_flight // 10 * urgent:
                return Status.BUSY
            due_us = now.mono_us + min(budget_us, self._rules.answer_ms * 1_000)
            flight = self._flights[match] = _Flight(request, match, envelope.trace, due_us, now.mono_us)
            heappush(self._due, (due_us, match))
        flight.askers.append((peer, envelope.id))
        self._write(flight, frame, now, out)
        return None

    def _is_stale(self, request: Request, now: Now) -> bool:
        """Tell whether a charge is older than anybody waits for one.

        A budget counts from when a message is read, which a front that stood still does late; its charge may
        be reversed by then, through another front, and a reversal that found nothing is over.
        """
        age_us = now.wall_us - request.received_us
        return request.kind is Kind.CHARGE and age_us > self._rules.answer_ms * 1_000 + AGE_SLACK_US

    def _write(self, flight: _Flight, frame: bytes, now: Now, out: Outbox) -> None:
        """Record and send; a flight that is asked for again is sent again, as its peer cannot know better."""
        source = self._sources[self._turn % len(self._sources)]
        self._turn += 1
        request = flight.request
        data = {
            "frame": self._profile.codec.mask(frame, decoded=True),
            "conn": str(source),
            "kind": request.kind.name.lower(),
        }
        out.record(Event(now.wall_us, "asked", request.key.text, flight.trace, data))
        out.send(source, frame)

    # The bank's side

    def is_ours(self, message: Message) -> bool:
        """Tell whether a message that came in is one that only we send.

        Whoever sends one back would have it refused under our MAC, and could show that refusal to us as the
        network's own: it is never answered.
        """
        return bool(self._mapping.mapping.transaction_of(message))

    def on_answer(self, frame: Frame, message: Message, now: Now, out: Outbox) -> bool:
        """Take an answer; False where it is to nothing that is asked outward.

        An answer whose MAC is wrong is none: the right one may still come.
        """
        match = self._mapping.mapping.match_key(message)
        flight = self._flights.get(match)
        if flight is not None and not self._mapping.answers(flight.request, message):
            return False
        late = None if flight is not None else self._mapping.late_of(message, now)
        if flight is None and late is None:
            return False
        try:
            mac_key = self._seal.verify(message, frame.body, now)
        except MacError:
            if flight is not None:
                flight.why = "bad_mac"
            out.note("answer_bad_mac", now.wall_us, conn=str(frame.source))
            self._session.on_bad_mac(frame.source, now, out)
            return True
        if mac_key is not None:
            self._session.on_good_mac(mac_key, now, out)
        if flight is not None:
            reply = self._mapping.reply_of(flight.request, message)
            self._record(flight, frame, reply, now, out)
            self._end(flight, reply, now, out)
        elif late is not None:
            asked = Request(
                Kind.CHARGE, *late[:3], self._bank, self._profile.numbers[0], amount_fen=late.amount_fen
            )
            self._on_late(asked, late.phone, frame, self._mapping.reply_of(asked, message), now, out)
        return True

    def _record(self, flight: _Flight, frame: Frame, reply: Reply, now: Now, out: Outbox) -> None:
        data = {
            "frame": self._profile.codec.mask(frame.body, decoded=True),
            "conn": str(frame.source),
            "result": reply.result.name.lower(),
            "us": now.mono_us - flight.sent_us,
        }
        out.record(Event(now.wall_us, "told", flight.request.key.text, flight.trace, data))

    def _on_late(self, asked: Request, phone: str, frame: Frame, reply: Reply, now: Now, out: Outbox) -> None:
        """Keep an answer that nobody waits for, and offer it to the nodes."""
        result = reply.result.name.lower()
        masked = self._profile.codec.mask(frame.body, decoded=True)
        data = {"frame": masked, "conn": str(frame.source), "result": result}
        out.record(Event(now.wall_us, "late_answer", asked.key.text, "", data))
        out.count(ASKED, self._bank, "late_answer", result)
        if reply.result in (Result.UNKNOWN, Result.IN_PROCESS):
            return
        request = msgspec.structs.replace(
            asked, kind=Kind.LATE_ANSWER, phone=phone, reason=result, received_us=now.wall_us
        )
        self._late.keep(request, now, out)

    # Time

    def on_time(self, now: Now, out: Outbox) -> None:
        """End what was not answered in time, and offer late answers again."""
        while self._due and self._due[0][0] <= now.mono_us:
            flight = self._flights.get(heappop(self._due)[1])
            if flight is None or flight.due_us > now.mono_us:
                continue
            out.note(
                "unanswered", now.wall_us, key=flight.request.key.text, trace=flight.trace, why=flight.why
            )
            self._end(flight, Reply(Result.UNKNOWN, name=flight.why), now, out)
        self._late.offer(list(self._peers), now, out)

    def _end(self, flight: _Flight, reply: Reply, now: Now, out: Outbox) -> None:
        """Tell whoever asked; an approval that nobody can be told is late from the start."""
        del self._flights[flight.match]
        request = flight.request
        out.count(ASKED, self._bank, request.kind.name.lower(), reply.result.name.lower())
        if reply.result is Result.IN_PROCESS:
            reply = msgspec.structs.replace(reply, result=Result.UNKNOWN)
        if reply.result is Result.UNKNOWN:
            reply = msgspec.structs.replace(reply, name=flight.why)
        body = _encode(reply)
        for peer, number in flight.askers:
            out.extend([Send(("peer", peer), [Answer(number, Status.OK, body)])])
        if not flight.askers and request.kind is Kind.CHARGE and reply.result is not Result.UNKNOWN:
            late = msgspec.structs.replace(
                request, kind=Kind.LATE_ANSWER, reason=reply.result.name.lower(), received_us=now.wall_us
            )
            self._late.keep(late, now, out)
