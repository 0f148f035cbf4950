"""A node whole: the dispatcher that passes others' requests on, and the house's own business beside it.

Pure; what the shell runs, and simulated worlds too.  Its store's side is asked for by Store and Load, and
answered by `on_stored`, `on_loaded`, `on_lost` and `on_store_trouble`.  Answers to commands are Sends to
("asker", number).
"""

from collections.abc import Mapping, Sequence
from datetime import tzinfo
from typing import Any

import msgspec

from interface_layer.charges import Wanted
from interface_layer.dispatcher import Dispatcher
from interface_layer.house import LATE, House, Told
from qianzhi.domain.requests import Kind, Reply, Request
from qianzhi.domain.results import Result
from qianzhi.link.events import Hello
from qianzhi.link.hop import Outcome
from qianzhi.link.messages import UNREADABLE, Answer, Envelope, Status
from qianzhi.runtime.effects import Alarm, Effects, Send
from qianzhi.runtime.now import Now
from qianzhi.saf.policies import Policy
from qianzhi.saf.rows import CORE, Saved, Standing

_decode_reply = msgspec.msgpack.Decoder(Reply).decode
_decode_request = msgspec.msgpack.Decoder(Request).decode
_encode = msgspec.msgpack.Encoder().encode


class Node:
    """One node; as a dispatcher for its peers, with the store's and the operators' side added."""

    def __init__(self, dispatcher: Dispatcher, policy: Policy, zone: tzinfo) -> None:
        self.dispatcher = dispatcher
        self.house = House(policy, zone)
        self._banks: dict[str, tuple[str, ...]] = {}  # of connected fronts
        self._ready: dict[str, bool] = {}
        self._late: dict[str, tuple[str, int]] = {}  # offered answers: whose, and under which number
        self._offers = 0
        self._now = Now(0, 0)

    def hello(self) -> Hello:
        """Return what this node says of itself on a new connection."""
        return self.dispatcher.hello()

    @property
    def deadline(self) -> int | None:
        """When `on_time` is due next, in monotonic microseconds."""
        dues = (self.dispatcher.deadline, self.house.deadline(self._now))
        return min((due for due in dues if due is not None), default=None)

    @property
    def idle(self) -> bool:
        """Whether nothing waits for an answer."""
        return self.dispatcher.idle and self.house.idle

    def start(self, now: Now) -> Effects:
        """Read what is stored."""
        return self._after(self.house.start(now), now)

    def on_peer_up(self, peer: str, hello: Hello, now: Now) -> Effects:
        """Take a peer; a front says on which terms its banks are asked for money."""
        effects = self.dispatcher.on_peer_up(peer, hello, now)
        if hello.role == "front":
            self._banks[peer] = hello.banks
            for terms in hello.outward:
                self.house.set_terms(terms)
        self._look_who_is_ready(now)
        return self._after(effects, now)

    def on_peer_down(self, peer: str, reason: str, now: Now) -> Effects:
        """Give a peer up; a front's late answers may have gone with it."""
        effects = self.dispatcher.on_peer_down(peer, reason, now)
        for bank in self._banks.pop(peer, ()):
            self.house.on_front_lost(bank)
        self._late = {asker: offer for asker, offer in self._late.items() if offer[0] != peer}
        self._look_who_is_ready(now)
        return self._after(effects, now)

    def on_peer_draining(self, peer: str, draining: bool, now: Now) -> Effects:
        """A peer takes nothing new, or is back; of a front: its bank may have signed off."""
        effects = self.dispatcher.on_peer_draining(peer, draining, now)
        self._look_who_is_ready(now)
        return self._after(effects, now)

    def on_requests(self, peer: str, items: list[Envelope], now: Now) -> Effects:
        """Pass requests on; a front's late answers are for this node itself."""
        late = [envelope for envelope in items if envelope.kind == Kind.LATE_ANSWER]
        if not late or peer not in self._banks:
            return self._after(self.dispatcher.on_requests(peer, items, now), now)
        effects: Effects = []
        for envelope in late:
            effects += self._on_late(peer, envelope, now)
        others = [envelope for envelope in items if envelope.kind != Kind.LATE_ANSWER]
        return self._after(effects + self.dispatcher.on_requests(peer, others, now), now)

    def on_answers(self, peer: str, items: list[Answer], now: Now) -> Effects:
        """Take what a peer answers."""
        return self._after(self.dispatcher.on_answers(peer, items, now), now)

    def on_time(self, now: Now) -> Effects:
        """Do what is due."""
        effects = self.dispatcher.on_time(now)
        self.house.on_time(now)
        return self._after(effects, now)

    def on_stored(self, token: int, standing: Sequence[Standing], now: Now) -> Effects:
        """Do what rests on a write; `standing` is what stood already where new rows were to be."""
        self.house.on_stored(token, standing, now)
        return self._after([], now)

    def on_loaded(self, saved: Saved, now: Now) -> Effects:
        """Take up what is stored."""
        self.house.on_loaded(saved, now)
        return self._after([], now)

    def on_lost(self, token: int | None, now: Now) -> Effects:
        """The rows are not this node's any more: a write (or with None a reading) was refused."""
        self.house.on_lost(token, now)
        return self._after([], now)

    def on_store_trouble(self, why: str, now: Now) -> Effects:
        """The store does not serve, or with nothing said serves again."""
        self.house.on_store_trouble(why, now)
        return self._after([], now)

    def charge(self, asker: str, wanted: Wanted, wait: bool, now: Now) -> Effects:
        """Ask a bank for money."""
        self.house.charge(asker, wanted, wait, now)
        return self._after([], now)

    def act(self, asker: str, command: str, arguments: Mapping[str, Any], now: Now) -> Effects:
        """Carry out an operators' act on an entry."""
        self.house.act(asker, command, arguments, now)
        return self._after([], now)

    def drain(self, draining: bool, now: Now) -> Effects:
        """Take nothing new from now on, or be back."""
        self.house.drain(draining)
        return self._after(self.dispatcher.drain(draining), now)

    def take_loads(self) -> dict[str, int]:
        """Return how many requests are in flight of each bank for which that changed since the last call."""
        return self.dispatcher.take_loads()

    def status(self, now: Now) -> dict[str, Any]:
        """Return what operators see."""
        return {**self.dispatcher.status(now), "saf": self.house.status(now)}

    def _on_late(self, peer: str, envelope: Envelope, now: Now) -> Effects:
        try:
            request = _decode_request(envelope.body)
        except UNREADABLE:
            alarm = Alarm("unreadable_request", {"peer": peer, "trace": envelope.trace})
            return [Send(("peer", peer), [Answer(envelope.id, Status.NO_ROUTE)]), alarm]
        self._offers += 1
        asker = str(self._offers)
        self._late[asker] = (peer, envelope.id)
        self.house.on_late(asker, request.key, request.reason == Result.APPROVED.name.lower(), now)
        return []

    def _after(self, effects: Effects, now: Now) -> Effects:
        """End an event: let the house know what has changed, and send what it may send."""
        self._now = now
        self.house.on_told(self._told(effects), now)
        while errands := self.house.take_errands():
            effects += self.dispatcher.submit(errands, now)
            self.house.on_told(self._told(effects), now)
        for effect in self.house.finish(now):
            effects += self._answered(effect) if type(effect) is Send and _is_late(effect) else [effect]
        return effects

    def _look_who_is_ready(self, now: Now) -> None:
        for destination, ready in {CORE: self.dispatcher.ready, **self.dispatcher.outward_ready()}.items():
            if self._ready.get(destination) is not ready:
                self._ready[destination] = ready
                self.house.set_ready(destination, ready, now)

    def _told(self, effects: Effects) -> list[Told]:
        told = []
        for ticket, outcome in self.dispatcher.take_house():
            reply = None
            if outcome.status is Status.OK:
                try:
                    reply = _decode_reply(outcome.body)
                except UNREADABLE:
                    effects.append(Alarm("unreadable_reply", {"peer": outcome.peer}))
            elif _is_nobodys(outcome):
                reply = Reply(Result.UNSUPPORTED)
            told.append(Told(ticket, reply, not outcome.certain))
        return told

    def _answered(self, effect: Send) -> Effects:
        """Turn the house's word on a late answer into the answer to the front that offered it."""
        offer = self._late.pop(str(effect.to[1]), None)  # type: ignore[index]  # ("late", asker)
        if offer is None:
            return []
        peer, number = offer
        (reply,) = effect.items
        answer = (
            Answer(number, Status.OK, _encode(reply)) if reply is not None else Answer(number, Status.BUSY)
        )
        return [Send(("peer", peer), [answer])]


def _is_late(effect: Send) -> bool:
    return isinstance(effect.to, tuple) and effect.to[0] == LATE


def _is_nobodys(outcome: Outcome) -> bool:
    """Whether a peer has said that it can never pass this on: it knows no such transaction."""
    return outcome.status is Status.NO_ROUTE and outcome.certain and outcome.attempts > 0
