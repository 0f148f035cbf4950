"""A front-end's core: frames of a bank in, requests to the core of the house, answers out.  Pure.

    frame ─▶ decode ─▶ sort ─▶ signed on? ─▶ MAC? ─▶ request ─▶ admit ─▶ flight ─▶ hop ─▶ outcome
               │         │         │          │         │         │                          │
             reject   session   refused    refused   refused   joined, in process,    approved, refused,
                                                               held or refused       blocked, unknown

The same core serves a socket and a queue.  What differs is the rule for what certainly was not forwarded: on
a socket it is refused at once with a code that lets the bank send it again; on a queue it is held and tried
again while consuming is paused, since a redelivery may follow any crash (money rule 8).
"""

from collections.abc import Callable, Hashable
from functools import partial
from typing import TYPE_CHECKING, Any

from frontends.flights import Arrival, Flight, Flights, Stage
from frontends.front import FRAMES, MAIN_QUEUE, Frame, Outbox
from frontends.held import Held, Look
from frontends.limits import share
from frontends.mapping import Refusal, Sort
from frontends.mapping_rows import Message
from frontends.outward_none import Way
from frontends.processor_edge import Edge
from frontends.processor_line import LineMessages
from frontends.processor_outcomes import Outcomes, Turn
from frontends.replies import KIND_NAMES, RESULT_NAMES, Replies
from frontends.seal import Seal
from frontends.session import Session
from frontends.session_rows import Saved
from qianzhi.domain.requests import Kind, Reply, Request
from qianzhi.domain.results import Result
from qianzhi.link.events import Hello
from qianzhi.link.hop import Hop
from qianzhi.link.messages import Answer, Envelope
from qianzhi.runtime.effects import Effects, Pause
from qianzhi.runtime.now import Now
from qianzhi.wire.errors import MacError, RemoteProtocolError
from qianzhi.wire.mackey import MacKey

if TYPE_CHECKING:
    from frontends.profile import Profile  # it reads files; its shape alone is used here

JOINED_MAX = 16  # repeats that wait for one answer; further ones hear nothing, never "refused" (rule 7)


class Processor:
    """The core of one front-end daemon; `trace_prefix` makes its traces unlike those of every other run."""

    def __init__(
        self, profile: "Profile", session: Session, seal: Seal, hop: Hop, trace_prefix: str, outward: Way
    ) -> None:
        self._profile = profile
        self._bank = profile.name
        self._session = session
        self._hop = hop
        self._seal = seal
        self._replies = Replies(profile, seal)
        self._flights = Flights(share(profile.limits.in_flight, profile.instances))
        self._outcomes = Outcomes(profile, self._flights, self._replies, hop)
        self._edge = Edge(profile, self._flights)
        self._held = Held(shared=profile.shares_rows)
        self._queued = profile.transport.redelivers
        self._line = LineMessages(profile, session, seal, self._replies, self._held, self._trace)
        self._outward = outward
        self._trace_prefix, self._traces = trace_prefix, 0
        self._paused = False

    # What a shell needs to know

    @property
    def deadline(self) -> int | None:
        """When `on_time` is wanted next (monotonic), or None."""
        cores = (self._hop, self._flights, self._session, self._held, self._outward)
        return min((time for core in cores if (time := core.deadline) is not None), default=None)

    @property
    def idle(self) -> bool:
        """Whether nothing is in flight, so that a draining front may end."""
        return not len(self._flights) and not self._held and self._outward.idle

    @property
    def random_wanted(self) -> int:
        """How many random bytes `add_random` should bring."""
        return self._session.random_wanted

    def add_random(self, data: bytes) -> None:
        """Give random bytes for the next working key."""
        self._session.add_random(data)

    def gauges(self) -> dict[str, int]:
        """Return what is to be shown as it stands, by metric."""
        return {"qianzhi_in_flight": len(self._flights), "qianzhi_signed_on": int(self._session.admits)}

    def take_times(self) -> dict[str, list[int]]:
        """Return how long answers took since the last call, in microseconds by kind."""
        return self._replies.take_times()

    def status(self, now: Now) -> dict[str, Any]:
        """Return what an operator wants to see."""
        peers = {peer.name: peer.state(now) for peer in self._hop.peers}
        return {
            "bank": self._bank,
            "in_flight": len(self._flights),
            "holding": self._flights.holding,
            "paused": self._paused,
            "draining": self._edge.draining,
            "closed": self._edge.gate.closed(now),
            "nodes": peers,
            **self._outward.status(now),
            **self._session.status(now),
        }

    # From the bank

    def on_connected(self, source: Hashable, peer: str, now: Now) -> Effects:
        """Take a new connection of the bank."""
        out = Outbox(self._bank)
        out.note("connected", now.wall_us, conn=str(source), peer=peer)
        self._session.on_connected(source, now, out)
        self._outward.on_connected(source, now, out)
        return out.effects()

    def on_closed(self, source: Hashable, reason: str, now: Now) -> Effects:
        """Forget a connection; what it asked goes on, and its answers have nowhere to go."""
        out = Outbox(self._bank)
        out.note("closed", now.wall_us, conn=str(source), reason=reason)
        self._session.on_closed(source)
        self._flights.leave(source)
        self._outward.on_closed(source, now, out)
        return out.effects()

    def on_frames(self, items: list[Frame], now: Now) -> Effects:
        """Take all frames of one wake-up, oldest first."""
        turn = self._turn(now)
        turn.out.count(FRAMES, self._bank, "in", n=len(items))
        for frame in items:
            self._take(frame, turn)
        return self._carry_on(turn)

    def on_returned(self, sources: list[Hashable], now: Now) -> Effects:
        """Note the answers that could not reach their asker; their deliveries are finished by it (rule 9)."""
        out = Outbox(self._bank)
        out.alarm("answers_returned", n=len(sources))
        for source in sources:
            out.note("returned", now.wall_us, conn=str(source))
            out.done(source)
        return out.effects()

    # From the link

    def on_peer_up(self, peer: str, hello: Hello, now: Now) -> Effects:
        """Use a node; one that drains as it comes gets nothing new."""
        effects = self._hop.on_peer_up(peer, now, hello.window)
        if hello.draining:
            effects += self._hop.on_peer_draining(peer, True, now)
        self._outward.on_peer_up(peer, now)
        return self._after(effects, now)

    def on_peer_down(self, peer: str, reason: str, now: Now) -> Effects:
        """Give up a node; what it held goes to its partner, once."""
        self._outward.on_peer_down(peer)
        return self._after(self._hop.on_peer_down(peer, now), now)

    def on_peer_draining(self, peer: str, draining: bool, now: Now) -> Effects:
        """Send a node nothing new, or use it again."""
        return self._after(self._hop.on_peer_draining(peer, draining, now), now)

    def on_answers(self, peer: str, items: list[Answer], now: Now) -> Effects:
        """Take a node's answers."""
        turn = self._turn(now)
        items = self._outward.on_answers(peer, items, now, turn.out)
        turn.out.extend(self._hop.on_answers(peer, items, now))
        return self._carry_on(turn)

    def on_requests(self, peer: str, items: list[Envelope], now: Now) -> Effects:
        """Ask the bank what the house asks of it; an answer of this list says what was not sent."""
        turn = self._turn(now)
        self._outward.on_requests(peer, items, now, turn.out)
        return self._carry_on(turn)

    # Time, storage, drain

    def on_stored(self, token: int, now: Now) -> Effects:
        """Go on with what waited for stored rows."""
        return self._for_line(partial(self._session.on_stored, token, now), now)

    def on_conflict(self, token: int, saved: Saved, now: Now) -> Effects:
        """Decide anew what another instance's write has made void."""
        return self._for_line(partial(self._session.on_conflict, token, saved, now), now)

    def on_looked(self, saved: Saved, now: Now) -> Effects:
        """Take up rows that another instance has changed."""
        return self._for_line(partial(self._session.on_read, saved, now), now)

    def on_loaded(self, saved: Saved, now: Now) -> Effects:
        """Take up the rows that were asked for, and judge again the frames that waited for them."""
        turn = self._turn(now)
        self._session.on_read(saved, now, turn.out)
        for frame in self._held.on_loaded(turn.out):
            self._take(frame, turn, Look.AGAIN)
        return self._carry_on(turn)

    def on_store_trouble(self, why: str, now: Now) -> Effects:
        """Go on without the store: `why` says what is wrong with it, empty that it serves again."""
        self._held.blind = bool(why)
        return self._for_line(partial(self._session.on_trouble, why), now) + self.on_time(now)

    def on_time(self, now: Now) -> Effects:
        """Do what is due: ends of budgets, held requests, echoes and keys."""
        turn = self._turn(now)
        self._session.on_time(now, turn.out)
        self._outward.on_time(now, turn.out)
        for frame in self._held.take_late(now):
            self._take(frame, turn, Look.BLIND)
        turn.out.extend(self._hop.on_time(now))
        for flight in self._flights.take_due(now):
            held = flight.stage is Stage.HELD and not flight.priority and now.mono_us < flight.deadline_us
            if held and self._edge.gate.refusal(now) is Result.BUSY:
                self._outcomes.hold(flight, turn)
            else:
                self._outcomes.forward(flight, turn)
        return self._carry_on(turn)

    def drain(self, draining: bool, now: Now) -> Effects:
        """Take nothing new, or take it again; reversals and status queries are always served."""
        turn = self._turn(now)
        self._edge.draining = draining
        self._outward.drain(draining)
        turn.out.note("draining" if draining else "undrained", now.wall_us)
        return self._carry_on(turn)

    # One frame

    def _take(self, frame: Frame, turn: Turn, look: Look = Look.FIRST) -> None:
        source, now, out = frame.source, turn.now, turn.out
        if frame.fault:
            return self._replies.unservable(frame, now, out)
        self._session.heard(source, now)
        if not frame.body:
            return self._replies.dismiss(source, out)
        try:
            message = self._profile.codec.decode(frame.body)
        except RemoteProtocolError as error:
            return self._replies.undecodable(source, frame.body, error, now, out)
        sort = self._profile.mapping.sort_of(message)
        if sort is Sort.REJECTED:
            return self._replies.rejected(source, message, now, out)
        if sort is Sort.ANSWER:
            if not self._outward.on_answer(frame, message, now, out):
                self._session.on_answer(source, message, now, out)
            return self._replies.dismiss(source, out)
        if sort is Sort.MANAGEMENT:
            return self._line.take(frame, message, turn, look)
        if self._outward.is_ours(message):
            return self._replies.say_nothing(source, "reflected", "", "", now, out)
        return self._ask(frame, message, turn, look)

    def _ask(self, frame: Frame, message: Message, turn: Turn, look: Look) -> None:
        """Judge a message that asks for something, in the order: signed on, MAC, content."""
        session, now = self._session, turn.now
        fault = Result.NOT_SIGNED_ON
        if session.admits:
            try:
                mac_key = self._seal.verify(message, frame.body, now)
            except MacError:
                fault = Result.BAD_MAC
            else:
                return self._ask_proved(frame, message, mac_key, turn)
        why = self._held.judge(frame, fault, look, now, turn.out)
        if why is not None:
            arrival = Arrival(frame.source, message, None, None, now.mono_us)
            self._refuse_message(frame, arrival, Refusal(why, "", ""), turn)
        return session.on_bad_mac(frame.source, now, turn.out) if why is Result.BAD_MAC else None

    def _ask_proved(self, frame: Frame, message: Message, mac_key: MacKey | None, turn: Turn) -> None:
        """Judge the content of a message that is the bank's."""
        now = turn.now
        if mac_key is not None:
            self._session.on_good_mac(mac_key, now, turn.out)
        mapping = self._profile.mapping
        date = self._session.business_date(now) if mapping.dates_ours else 0
        asked = mapping.request_of(message, now, date)
        if not isinstance(asked, Refusal):
            return self._admit(
                frame, Arrival(frame.source, message, asked, mac_key, now.mono_us), asked, turn
            )
        arrival = Arrival(frame.source, message, None, mac_key, now.mono_us)
        if self._profile.blocks_first(asked):
            return self._block_message(frame, arrival, asked, turn)
        return self._refuse_message(frame, arrival, asked, turn)

    def _refuse_message(self, frame: Frame, arrival: Arrival, refusal: Refusal, turn: Turn) -> None:
        """Refuse a message that never became a request; nothing of it was forwarded."""
        key = refusal.key.text if refusal.key is not None else ""
        kind = KIND_NAMES[refusal.kind] if refusal.kind is not None else "none"
        trace, wall_us = self._trace(), turn.now.wall_us
        self._replies.record_in(frame, kind, key, trace, turn.now, turn.out)
        turn.out.note(RESULT_NAMES[refusal.result], wall_us, key=key, trace=trace, field=refusal.field)
        self._replies.tell(arrival, Reply(refusal.result), key, trace, turn.now, turn.out)

    def _block_message(self, frame: Frame, arrival: Arrival, refusal: Refusal, turn: Turn) -> None:
        """Block the key of a message that cannot become a request, and refuse it when that is done."""
        if refusal.key is None:
            return self._refuse_message(frame, arrival, refusal, turn)
        block = Request(
            Kind.BLOCK,
            *refusal.key,
            bank=self._bank,
            bank_number=self._profile.numbers[0],
            received_us=turn.now.wall_us,
        )
        flight = self._arrive(frame, arrival, block, self._flights.same(block), turn)
        if flight is not None:
            flight.deadline_us += self._outcomes.margin_us
            self._outcomes.block(flight, refusal.result, turn)
        return None

    # One request

    def _admit(self, frame: Frame, arrival: Arrival, request: Request, turn: Turn) -> None:
        """Join, answer, shed, hold, refuse or forward a request."""
        refusal, now = None, turn.now
        same = self._flights.same(request)
        if same is None:
            refusal = self._edge.refusal(request, now)
            if refusal is not None and self._edge.sheds(request, refusal):
                return self._replies.shed(arrival, request, refusal, self._trace(), now, turn.out)
        flight = self._arrive(frame, arrival, request, same, turn)
        if flight is None:
            return None
        if refusal is None:
            return self._outcomes.forward(flight, turn)
        if self._queued and refusal is Result.BUSY:
            return self._outcomes.hold(flight, turn)
        return self._outcomes.refuse(flight, refusal, turn)

    def _arrive(
        self, frame: Frame, arrival: Arrival, request: Request, flight: Flight | None, turn: Turn
    ) -> Flight | None:
        """Record what came; return its new flight, None when it joined this one or is answered already."""
        now, out, key = turn.now, turn.out, request.key_text
        trace = flight.trace if flight is not None else self._trace()
        self._replies.record_in(frame, KIND_NAMES[request.kind], key, trace, now, out)
        if flight is not None:
            self._join(flight, arrival, turn)
        elif request.kind is Kind.STATUS and self._flights.money_under_way(request):
            self._replies.tell(arrival, Reply(Result.IN_PROCESS), key, trace, now, out)
        elif frame.expires_us and frame.expires_us <= now.wall_us:
            self._replies.say_nothing(frame.source, "expired", key, trace, now, out)
        else:
            deadline_us = now.mono_us + self._outcomes.reply_us - self._outcomes.margin_us
            if frame.expires_us:
                deadline_us = min(deadline_us, now.mono_us + frame.expires_us - now.wall_us)
            return self._flights.open(arrival, request, trace, deadline_us, None, key)
        return None

    def _join(self, flight: Flight, arrival: Arrival, turn: Turn) -> None:
        """Let a repeat wait for the answer that is under way (rule 3)."""
        if len(flight.arrivals) >= JOINED_MAX:
            source, key, trace = arrival.source, flight.key_text, flight.trace
            return self._replies.say_nothing(source, "repeats", key, trace, turn.now, turn.out)
        turn.out.count("qianzhi_repeats_joined_total", self._bank)
        return self._flights.join(flight, arrival)

    # Small things

    def _for_line(self, work: Callable[[Outbox], None], now: Now) -> Effects:
        out = Outbox(self._bank)
        work(out)
        self._outward.tell(now, out)
        return out.effects()

    def _turn(self, now: Now) -> Turn:
        return Turn(now, Outbox(self._bank))

    def _after(self, effects: Effects, now: Now) -> Effects:
        turn = self._turn(now)
        turn.out.extend(effects)
        return self._carry_on(turn)

    def _carry_on(self, turn: Turn) -> Effects:
        self._outward.tell(turn.now, turn.out)
        effects = self._outcomes.carry_on(turn)
        return effects + self._pause() if self._queued else effects

    def _pause(self) -> Effects:
        """Stop consuming while anything is held or there is no room; go on below three quarters."""
        flights = self._flights
        want = (
            self._edge.draining or flights.holding or flights.full or (self._paused and flights.nearly_full)
        )
        if want == self._paused:
            return []
        self._paused = want
        return [Pause(MAIN_QUEUE, want)]

    def _trace(self) -> str:
        self._traces += 1
        return f"{self._trace_prefix}-{self._traces:x}"
