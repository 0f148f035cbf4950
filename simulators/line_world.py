"""One simulated bank and its front-end's real core, joined by a wire that loses and delays; pure.

    bank ── frames ──▶ wire ──▶ Processor ── envelopes ──▶ tiny core
         ◀── frames ── wire ◀──           ◀── answers ───

Why here: both ends of a dialect and of its session in one process, on a heap clock, repeatable from a seed;
what a lost or late message breaks shows itself as a line that stays down, or as books that do not agree.
"""

import heapq
from collections.abc import Hashable
from itertools import count
from typing import TYPE_CHECKING, Any

import msgspec

from frontends.front import TO_BANK, Frame
from frontends.front_core import make_processor
from frontends.session_rows import NOTHING_SAVED
from qianzhi.domain.requests import Kind, Reply, Request
from qianzhi.domain.results import Result
from qianzhi.link.events import Hello
from qianzhi.link.hop import Hop, HopLimits
from qianzhi.link.messages import Answer, Status
from qianzhi.runtime.effects import Close, Effects, Send, Store
from qianzhi.runtime.now import SECOND_US, Now
from simulators.bank_line import BankLine
from simulators.line import SETTLED, Incoming
from simulators.scenario import Chance
from simulators.simulated import SimulatedBank
from simulators.tiny_core import Row, TinyCore

if TYPE_CHECKING:
    from frontends.profile import Profile  # it reads files; its shape alone is used here

NODE = "node1"
LONG = 1  # the source of a long connection
QUICK_US = 20_000  # how long a message, a stored row or the core takes at most
SLOW_US = 9 * SECOND_US
STEPS_MAX = 2_000_000


class LineWorld:
    """`faults` in a thousand messages are lost, and as many come late; nothing else draws from `chance`."""

    def __init__(
        self,
        profile: "Profile",
        keys: dict[str, bytes],
        bank: SimulatedBank,
        line: BankLine,
        core: TinyCore,
        chance: Chance,
        now: Now,
        faults: int = 0,
    ) -> None:
        self.profile = profile
        self.bank = bank
        self.line = line
        self.core = core
        self.faults = faults
        self.now = now
        self.lost = 0
        self.notes: list[str] = []  # names of alarms
        self.kept: list[bytes] = []  # keys that the bank's shell has stored
        self._keys = keys
        self._chance = chance
        self._order = count(1)
        self._sources = count(LONG + 1)
        self._random = count(1)
        self._tickets: dict[Hashable, int] = {}
        self._events: list[tuple[int, int, str, Any]] = []
        self._short = profile.transport.connection == "short"
        self._separate = self._short or profile.transport.kind == "queue"
        self.front = self._new_front()

    # -- the front-end's side

    def _new_front(self) -> Any:
        hop = Hop(HopLimits(window=1000), [NODE])
        return make_processor(self.profile, self._keys, NOTHING_SAVED, hop, "front-x-1", self.now)

    def restart_front(self) -> None:
        """Put a front-end in its place that has forgotten everything: sign-on, keys, connections."""
        self.front = self._new_front()
        self._events = [event for event in self._events if event[2] != "stored"]
        heapq.heapify(self._events)
        self._carry_front(self.front.on_peer_up(NODE, Hello(NODE, "node"), self.now))
        if not self._separate:
            self._carry_front(self.front.on_connected(LONG, "127.0.0.1:1", self.now))

    def _carry_front(self, effects: Effects) -> None:
        for effect in effects:
            match effect:
                case Send(to, items) if to == TO_BANK:
                    for source, body in items:
                        self._transmit("out", (source, body))
                case Send(("peer", _), items):
                    for envelope in items:
                        self._later("asked", envelope, QUICK_US)
                case Store(token, _):
                    self._later("stored", token, QUICK_US)
                case Close(source, reason):
                    self.notes.append(f"closed: {reason}")
                    self._tickets.pop(source, None)
        self._top_up()

    def _top_up(self) -> None:
        wanted = self.front.random_wanted
        self.front.add_random(bytes((next(self._random) * 37 + 11 * at) % 251 for at in range(wanted)))

    def _serve(self, envelope: Any) -> None:
        request = msgspec.msgpack.decode(envelope.body, type=Request)
        reply = self._blocked(request) if request.kind is Kind.BLOCK else self.core.execute(request)
        answer = Answer(envelope.id, Status.OK, msgspec.msgpack.encode(reply))
        self._carry_front(self.front.on_answers(NODE, [answer], self.now))

    def _blocked(self, request: Request) -> Reply:
        """Block a key that the core has not seen; otherwise what it said before stands."""
        return Reply(self.core.rows.setdefault(request.key, Row(None, Result.BLOCKED)).result)

    # -- the bank's side

    def _carry_bank(self, effects: Effects) -> None:
        key = self.line.take_key()
        if key is not None:
            self.kept.append(key)
        for effect in effects:
            for item in effect.items if isinstance(effect, Send) and effect.to != SETTLED else []:
                source: Hashable = next(self._sources) if self._separate else LONG
                self._tickets[source] = item.ticket
                self._transmit("in", (source, item.frame))

    # -- the wire

    def _transmit(self, name: str, what: Any) -> None:
        if self._hit():
            self.lost += 1
        else:
            self._later(name, what, SLOW_US if self._hit() else QUICK_US)

    def _hit(self) -> bool:
        return self._chance.randrange(0, 1000) < self.faults

    def _later(self, name: str, what: Any, most_us: int) -> None:
        at_us = self.now.mono_us + self._chance.randrange(1, most_us)
        heapq.heappush(self._events, (at_us, next(self._order), name, what))

    def _happen(self, name: str, what: Any) -> None:
        if name == "asked":
            self._serve(what)
        elif name == "stored":
            self._carry_front(self.front.on_stored(what, self.now))
        elif name == "in":
            source, body = what
            if self._short:
                self._carry_front(self.front.on_connected(source, "127.0.0.1:1", self.now))
            self._carry_front(self.front.on_frames([Frame(source, body)], self.now))
        else:
            source, body = what
            ticket = self._tickets.get(source, 0) if self._separate else None
            self._carry_bank(self.bank.on_frames([Incoming(body, ticket)], self.now))

    # -- time

    def start(self) -> None:
        """Bring the node up, connect, and let the bank begin."""
        self.restart_front()
        self._carry_bank(self.bank.on_connected(self.now))

    def run(self, seconds: float) -> None:
        """Let time pass from one thing due to the next."""
        until_us = self.now.mono_us + int(seconds * SECOND_US)
        for _ in range(STEPS_MAX):
            times = [self.bank.deadline, self.front.deadline, self._events[0][0] if self._events else None]
            at_us = min((time for time in times if time is not None), default=until_us)
            if at_us >= until_us:
                break
            self.now = self.now.after(max(0, at_us - self.now.mono_us))
            if self._events and self._events[0][0] <= self.now.mono_us:
                _, _, name, what = heapq.heappop(self._events)
                self._happen(name, what)
            elif self.bank.deadline is not None and self.bank.deadline <= self.now.mono_us:
                self._carry_bank(self.bank.on_time(self.now))
            else:
                self._carry_front(self.front.on_time(self.now))
        else:
            raise AssertionError("this world never comes to rest")
        self.now = self.now.after(max(0, until_us - self.now.mono_us))

    def settle(self, seconds: int = 900) -> bool:
        """Let the bank begin nothing new; tell whether every serial came to its end in that time."""
        self.bank.stop()
        for _ in range(seconds):
            if self.bank.settled():
                return True
            self.run(1)
        return self.bank.settled()
