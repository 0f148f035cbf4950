"""The interface layer's core: fronts to bridges by route and within limits, and outward from bridges to
fronts.

Pure.  It reads envelopes and never a body.  Every request gets one answer: the body that came back,
untouched; a status of not taken when the request was certainly not passed on; else UNKNOWN.  A node
that no healthy bridge is linked to tells the fronts that it drains: its partner may reach one.  A node
remembers nothing of a request that it has answered; what must be remembered stands in the front's event
file and in crm_bridge's journal.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import count
from typing import Any

from interface_layer.routing import BRIDGES, route
from interface_layer.shares import Share, Shares
from interface_layer.tickets import Asker, Ticket, errand_job, job_of, row_of
from qianzhi.link.events import DrainNotice, Hello
from qianzhi.link.hop import Hop, HopLimits, Job, Outcome
from qianzhi.link.messages import Answer, Envelope, Status
from qianzhi.link.tables import BankLimits, Route
from qianzhi.runtime.effects import Close, Count, Effects, Event, Record, Send
from qianzhi.runtime.now import Now
from qianzhi.saf.keeping import Errand
from qianzhi.saf.rows import CORE

ROUTED = "qianzhi_routed_total"
_RESULTS = tuple(status.name.lower() for status in sorted(Status))  # by its value


class Dispatcher:
    """One node.  Banks and numbers are learnt from the fronts' hellos, bridges are configured."""

    def __init__(
        self,
        name: str,
        bridges: Iterable[str],
        routes: Sequence[Route],
        limits: Mapping[str, BankLimits],
        hop: HopLimits | None = None,
        first_id: int = 1,
        weights: Mapping[str, int] | None = None,
    ) -> None:
        """`limits` is this node's own part of each bank's (`shares.part_of`); `weights` are the bridges'.

        `first_id` is above all that a former life of this node has used, so that a late answer to that one
        finds nothing here.
        """
        self._name = name
        self._routes = routes
        self._hop_limits = hop or HopLimits()
        self._ids = count(first_id)
        self._inward = Hop(self._hop_limits, bridges, self._ids, weights)
        self._bridges = frozenset(peer.name for peer in self._inward.peers)
        self._outward: dict[str, Hop] = {}
        self._askers: dict[str, Asker] = {}
        self._shares = Shares(limits)
        self._draining = False
        self._told = True  # whether the fronts that are here were told that nothing new is wanted
        self._switched = False  # the word of a hello may be old
        self._refused: dict[tuple[str, str], int] = {}  # since the last list of effects, by bank and reason
        self._counts: dict[tuple[str, str], int] = {}  # since the start, for `status`
        self._house: list[tuple[tuple[str, str, int], Outcome]] = []

    def hello(self) -> Hello:
        """Return what this node says of itself on a new connection."""
        return Hello(self._name, "node", window=self._hop_limits.window, draining=self._draining)

    @property
    def deadline(self) -> int | None:
        """When `on_time` is due next, in monotonic microseconds."""
        return min((due for hop in self._hops() if (due := hop.deadline) is not None), default=None)

    @property
    def idle(self) -> bool:
        """Whether nothing waits for an answer."""
        return all(hop.in_flight == 0 for hop in self._hops())

    @property
    def draining(self) -> bool:
        """Whether this node takes nothing new."""
        return self._draining

    @property
    def ready(self) -> bool:
        """Whether any bridge takes what is new."""
        return any(peer.healthy for peer in self._inward.peers)

    @property
    def closed(self) -> bool:
        """Whether nothing new is wanted: because this node was told so, or because it leads nowhere."""
        return self._draining or not self.ready

    def on_peer_up(self, peer: str, hello: Hello, now: Now) -> Effects:
        """Take a bridge that is configured or any front; nobody else has business here."""
        effects: Effects = []
        if hello.role == "bridge" and peer in self._bridges:
            self._askers[peer] = Asker(hello)
            effects += self._inward.on_peer_up(peer, now, hello.window)
            self._shares.set_room(self._inward.room)
        elif hello.role == "front" and hello.banks:
            self._askers[peer] = asker = Asker(hello)
            self._shares.of(asker.bank)
            if self.closed or self._switched:
                effects.append(Send(("peer", peer), [DrainNotice(self.closed)]))
            for bank in hello.banks:
                hop = self._outward.setdefault(bank, Hop(self._hop_limits, (), self._ids))
                effects += hop.on_peer_up(peer, now, hello.window)
        else:
            return [Close(("peer", peer), "role")]
        if hello.draining:
            effects += self.on_peer_draining(peer, True, now)
        return effects + self._tell() + self._settle(now)

    def on_peer_down(self, peer: str, reason: str, now: Now) -> Effects:
        """Send what a bridge held to its partner; forget a front."""
        effects: Effects = []
        for hop in self._hops_of(peer):
            effects += hop.on_peer_down(peer, now)
        self._askers.pop(peer, None)
        self._shares.set_room(self._inward.room)
        return effects + self._tell() + self._settle(now)

    def on_peer_draining(self, peer: str, draining: bool, now: Now) -> Effects:
        """Send a peer nothing new, or use it again."""
        effects: Effects = []
        for hop in self._hops_of(peer):
            effects += hop.on_peer_draining(peer, draining, now)
        self._shares.set_room(self._inward.room)
        return effects + self._tell() + self._settle(now)

    def on_requests(self, peer: str, items: list[Envelope], now: Now) -> Effects:
        """Pass a peer's requests on; what is not taken is answered in the same list of effects."""
        asker = self._askers.get(peer)
        if asker is None:
            return []
        answers: list[Answer] = []
        jobs: dict[str, list[Job]] = {}
        closed = self.closed  # nobody comes or goes meanwhile
        share = self._shares.of(asker.bank) if asker.hello.role == "front" else None
        for envelope in items:
            target = asker.targets.get((envelope.to, envelope.kind), "")
            if share is not None and target == BRIDGES and not closed:
                reason = self._shares.admit(share, envelope.priority > 0, now)
                refusal = self._refuse(asker, Status.BUSY, f"busy_{reason}") if reason else None
            else:
                target = self._target(asker, envelope)
                refusal = self._refusal(asker, envelope, target, share, closed, now)
            if refusal is not None:
                answers.append(Answer(envelope.id, refusal))
                continue
            of_target = jobs.get(target)
            if of_target is None:
                of_target = jobs[target] = []
            of_target.append(job_of(asker, envelope, share, now))
        effects: Effects = []
        for target, list_of_target in jobs.items():
            hop = self._inward if target == BRIDGES else self._outward[target]
            effects += hop.submit(list_of_target, now)
        if answers:
            effects.append(Send(("peer", peer), answers))
        return effects + self._settle(now)

    def submit(self, errands: list[Errand], now: Now) -> Effects:
        """Send what the house itself asks of the core and of banks; `take_house` returns what came of it."""
        jobs: dict[str, list[Job]] = {}
        for errand in errands:
            if errand.to == CORE or errand.to in self._outward:
                jobs.setdefault(errand.to, []).append(errand_job(errand, now))
            else:
                self._house.append((errand.ticket, Outcome(None, Status.NO_ROUTE, b"", 0, True, "")))
        effects: Effects = []
        for to, list_of_target in jobs.items():
            effects += (self._inward if to == CORE else self._outward[to]).submit(list_of_target, now)
        return effects + self._settle(now)

    def take_house(self) -> list[tuple[tuple[str, str, int], Outcome]]:
        """Return the ends of the house's errands since the last call, by their tickets."""
        house, self._house = self._house, []
        return house

    def outward_ready(self) -> dict[str, bool]:
        """Say of every bank that has had a front here whether one of them takes what is new."""
        return {bank: any(peer.healthy for peer in hop.peers) for bank, hop in self._outward.items()}

    def on_answers(self, peer: str, items: list[Answer], now: Now) -> Effects:
        """Take what a bridge answers, or outward a front."""
        effects: Effects = []
        for hop, own in _by_hop(self._hops_of(peer), peer, items):
            effects += hop.on_answers(peer, own, now)
        return effects + self._settle(now)

    def on_time(self, now: Now) -> Effects:
        """End what has waited too long."""
        effects: Effects = []
        for hop in self._hops():
            effects += hop.on_time(now)
        return effects + self._settle(now)

    def drain(self, draining: bool) -> Effects:
        """Take nothing new from now on, or be back; every peer is told.  What is under way is finished."""
        self._draining, self._switched = draining, True
        bridges = [peer for peer, asker in self._askers.items() if asker.hello.role == "bridge"]
        return [Send(("peer", peer), [DrainNotice(draining)]) for peer in bridges] + self._tell()

    def _tell(self) -> Effects:
        """Tell the fronts when it has changed whether anything new is wanted here."""
        closed = self.closed
        if closed is self._told:
            return []
        self._told = closed
        fronts = [peer for peer, asker in self._askers.items() if asker.hello.role == "front"]
        return [Send(("peer", peer), [DrainNotice(closed)]) for peer in fronts]

    def take_loads(self) -> dict[str, int]:
        """Return how many requests are in flight of each bank for which that changed since the last call."""
        return {share.bank: share.in_flight for share in self._shares.take_changed()}

    def status(self, now: Now) -> dict[str, Any]:
        """Return what operators see: each peer's health and load, each bank's counters."""
        peers: dict[str, dict[str, Any]] = {}
        for hop in self._hops():
            for peer in hop.peers:
                shown = peers.setdefault(peer.name, {"role": self._role(peer.name), "outstanding": 0})
                shown.update(up=peer.up, draining=peer.draining, window=peer.window)
                shown["silent"] = peer.silent(now)
                shown["outstanding"] += len(peer.works)
        banks: dict[str, dict[str, int]] = {}
        for share in self._shares.all():
            banks[share.bank] = {"in_flight": share.in_flight, "in_flight_max": share.limits.in_flight}
        for (bank, result), n in self._counts.items():
            banks.setdefault(bank, {})[result] = n
        return {
            "draining": self._draining,
            "ready": self.ready,
            "room": self._inward.room,
            "peers": peers,
            "banks": banks,
        }

    def _role(self, peer: str) -> str:
        return "bridge" if peer in self._bridges else "front"

    def _refusal(
        self, asker: Asker, envelope: Envelope, target: str, share: Share | None, closed: bool, now: Now
    ) -> Status | None:
        """Return the status with which a request is refused; one that is not has its place in the share."""
        priority = envelope.priority > 0
        if not target:
            return self._refuse(asker, Status.NO_ROUTE, "no_route")
        if closed and not priority and (self._draining or target == BRIDGES):
            return self._refuse(asker, Status.DRAINING, "draining" if self._draining else "no_bridge")
        if share is None:
            return None
        reason = self._shares.admit(share, priority, now)
        return self._refuse(asker, Status.BUSY, f"busy_{reason}") if reason else None

    def _refuse(self, asker: Asker, status: Status, reason: str) -> Status:
        _add(self._refused, (asker.bank, reason))
        return status

    def _target(self, asker: Asker, envelope: Envelope) -> str:
        """Return `bridges`, a bank that is known here, or nothing.

        A front may only ask for the bank numbers that it registered; a bridge asks for a bank by name.
        """
        if asker.hello.role == "bridge":
            return envelope.to if envelope.to in self._outward else ""
        key = (envelope.to, envelope.kind)
        target = asker.targets.get(key)
        if target is None:
            if envelope.to not in asker.numbers:
                return ""
            target = route(self._routes, envelope.to, envelope.kind)
            if target != "nowhere":
                asker.targets[key] = target
        return target if target == BRIDGES or target in self._outward else ""

    def _settle(self, now: Now) -> Effects:
        """Turn the hops' outcomes into events, counts and answers; the record goes before the answers."""
        outcomes: list[Outcome] = []
        for hop in self._hops():
            outcomes += hop.take_outcomes()
        rows: list[Event] = []
        counts, self._refused = self._refused, {}
        answers: dict[str, list[Answer]] = {}
        for outcome in outcomes:
            ticket: Ticket = outcome.ticket  # type: ignore[assignment]  # ours, as submitted
            asker, share, errand = ticket.asker, ticket.share, ticket.errand
            if share is not None:
                self._shares.release(share)
            if outcome.attempts:
                rows.append(row_of(ticket, outcome, now))
            result = _RESULTS[outcome.status]
            if errand is not None:
                self._house.append((errand, outcome))
            elif self._askers.get(asker.hello.name) is not asker:
                result = "asker_gone"
            else:
                name = asker.hello.name
                of_asker = answers.get(name)
                if of_asker is None:
                    of_asker = answers[name] = []
                of_asker.append(Answer(ticket.envelope.id, outcome.status, outcome.body))
            counted = (asker.bank, result)
            counts[counted] = counts.get(counted, 0) + 1
        effects: Effects = [Record(rows)] if rows else []
        effects += [Send(("peer", peer), items) for peer, items in answers.items()]
        for (bank, result), n in counts.items():
            _add(self._counts, (bank, result), n)
            effects.append(Count(ROUTED, (bank, result), n))
        return effects

    def _hops(self) -> list[Hop]:
        return [self._inward, *self._outward.values()]

    def _hops_of(self, peer: str) -> list[Hop]:
        """Return the hops that a connected peer serves."""
        asker = self._askers.get(peer)
        if asker is None:
            return []
        if asker.hello.role == "bridge":
            return [self._inward]
        return [self._outward[bank] for bank in asker.hello.banks]


def _add(counts: dict[tuple[str, str], int], key: tuple[str, str], n: int = 1) -> None:
    counts[key] = counts.get(key, 0) + n


def _by_hop(hops: list[Hop], peer: str, items: list[Answer]) -> list[tuple[Hop, list[Answer]]]:
    """Part a list of answers by the hop that waits for them; the last one also gets what nobody waits for."""
    if len(hops) == 1:
        return [(hops[0], items)]
    parts: list[tuple[Hop, list[Answer]]] = [(hop, []) for hop in hops]
    for answer in items if parts else []:
        _, own = next((part for part in parts if part[0].holds(peer, answer.id)), parts[-1])
        own.append(answer)
    return parts
