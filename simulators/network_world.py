"""A front-end's real core between a node that is played by hand and a simulated network; pure.

    asks ── envelopes ──▶ Processor ── frames ──▶ SimulatedNetwork
         ◀── answers ───            ◀── frames ──

Why here: tests ask for charges as a node does, let time pass without waiting for it, take lines and fronts
away, and look at what the node was told and at what the network's cardholders paid.
"""

from collections.abc import Iterator
from itertools import count
from typing import TYPE_CHECKING, Any

import msgspec

from frontends.front import TO_BANK, Frame
from frontends.front_core import make_processor
from frontends.session_rows import NOTHING_SAVED
from qianzhi.domain.requests import Kind, Reply, Request
from qianzhi.domain.results import Result
from qianzhi.link.events import DrainNotice, Hello
from qianzhi.link.hop import Hop, HopLimits
from qianzhi.link.messages import Answer, Envelope, Status
from qianzhi.runtime.effects import Alarm, Count, Effects, Record, Send, Store
from qianzhi.runtime.now import Now
from simulators.line import Incoming
from simulators.network import Network
from simulators.network_line import SimulatedNetwork

if TYPE_CHECKING:
    from frontends.profile import Profile  # it reads files; its shape alone is used here

START = Now(1_000_000_000, 1_795_312_800_000_000)  # 2026-11-22 10:00:00 in Shanghai
BUDGET_MS = 60_000
CONNECTION = 1

_decode_reply = msgspec.msgpack.Decoder(Reply).decode
_decode_request = msgspec.msgpack.Decoder(Request).decode


class NetworkWorld:
    """One front, one network, and nodes that only remember what they were told."""

    def __init__(
        self,
        profile: "Profile",
        keys: dict[str, bytes],
        network: SimulatedNetwork,
        nodes: tuple[str, ...] = ("node1",),
    ) -> None:
        self.profile = profile
        self.network = network
        self.now = START
        self.told: dict[int, Answer] = {}  # by the number of the envelope
        self.closed: dict[str, bool] = {}  # what each node was last told of the line
        self.late: list[tuple[str, Request]] = []  # offers of late answers: node, request
        self.owner = ""  # the node that says of every late answer that it is its own
        self.alarms: list[str] = []
        self.events: list[str] = []
        self.counts: list[Count] = []
        self.sent: list[bytes] = []  # what the front has sent to the network
        self._keys = keys
        self._nodes = nodes
        self._envelopes = count(1)
        self._lives = count(1)
        self._serials = count(1)
        self.begin()

    # The line and the processes

    def begin(self) -> None:
        """Start the front anew, with its nodes and its line."""
        hop = Hop(HopLimits(), self._nodes)
        self.front = make_processor(
            self.profile, self._keys, NOTHING_SAVED, hop, f"front{next(self._lives)}", self.now
        )
        for node in self._nodes:
            self.node_up(node)
        self.connect()

    def connect(self) -> None:
        """Let the network dial the front."""
        self._run(self.front.on_connected(CONNECTION, "network", self.now))
        self._from_network(self.network.on_connected(self.now))

    def inject(self, frame: bytes) -> None:
        """Let somebody on the line send this to the front."""
        self._run(self.front.on_frames([Frame(CONNECTION, frame)], self.now))

    def cut(self) -> None:
        """Take the line away."""
        self.network.on_closed(self.now)
        self._run(self.front.on_closed(CONNECTION, "cut", self.now))

    def manage(self, name: str) -> None:
        """Let the network close (`sign_off`) or open (`sign_on`) the line."""
        self._from_network(self.network.manage(name, self.now))

    def node_up(self, node: str) -> None:
        """Connect a node."""
        self.closed[node] = False
        self._run(self.front.on_peer_up(node, Hello(node, "node"), self.now))

    def node_down(self, node: str) -> None:
        """Take a node away."""
        self._run(self.front.on_peer_down(node, "gone", self.now))

    def drain(self) -> None:
        """Tell the front to take nothing new."""
        self._run(self.front.drain(True, self.now))

    # What a node asks

    def charge(self, amount_fen: int = 5_000, phone: str = "13800000001") -> Request:
        """Return a new charge, made now."""
        terms = self.terms
        serial = f"{next(self._serials):0{terms.serial_digits}d}"
        return Request(
            Kind.CHARGE,
            terms.space,
            20261122,
            serial,
            terms.bank,
            terms.number,
            phone=phone,
            amount_fen=amount_fen,
            received_us=self.now.wall_us,
        )

    def about(self, kind: Kind, charge: Request, reason: str = "") -> Request:
        """Return a reversal, refund or advice of a charge, made now, with a serial of its own."""
        own = f"{next(self._serials):0{self.terms.serial_digits}d}"
        return msgspec.structs.replace(
            charge,
            kind=kind,
            own_serial=own,
            stamp_us=charge.received_us,
            received_us=self.now.wall_us,
            reason=reason,
        )

    def ask(self, request: Request, node: str = "node1", budget_ms: int = BUDGET_MS) -> int:
        """Send a request as a node does; return the envelope's number."""
        number = next(self._envelopes)
        body = msgspec.msgpack.encode(request)
        urgent = int(request.kind is not Kind.CHARGE)
        envelope = Envelope(
            number, 1, self.terms.bank, int(request.kind), 0, budget_ms, urgent, "t", body, request.key.text
        )
        self._run(self.front.on_requests(node, [envelope], self.now))
        return number

    def status(self, number: int) -> Status | None:
        """Return the status of an answer, None while there is none."""
        answer = self.told.get(number)
        return answer.status if answer is not None else None

    def reply(self, number: int) -> Reply:
        """Return the reply of an answer; raises KeyError while there is none."""
        return _decode_reply(self.told[number].body)

    @property
    def terms(self) -> Any:
        """Return what the front tells its nodes of this destination."""
        return self.profile.outward.terms if self.profile.outward is not None else None

    # Time

    def later(self, seconds: float) -> None:
        """Let time pass, one due event after the other."""
        end_us = self.now.mono_us + int(seconds * 1_000_000)
        while (due_us := min(self._deadlines(), default=end_us + 1)) <= end_us:
            self._at(max(due_us, self.now.mono_us))
            self._run(self.front.on_time(self.now))
            self._from_network(self.network.on_time(self.now))
        self._at(end_us)

    def _deadlines(self) -> Iterator[int]:
        for core in (self.front, self.network):
            if core.deadline is not None:
                yield core.deadline

    def _at(self, mono_us: int) -> None:
        self.now = Now(mono_us, self.now.wall_us + mono_us - self.now.mono_us)

    # Effects

    def _run(self, effects: Effects) -> None:
        for effect in effects:
            if isinstance(effect, Count):
                self.counts.append(effect)
            elif isinstance(effect, Store):
                self._run(self.front.on_stored(effect.token, self.now))
            elif isinstance(effect, Alarm):
                self.alarms.append(effect.name)
            elif isinstance(effect, Record):
                self.events += [row.name for row in effect.rows]
            elif isinstance(effect, Send) and effect.to == TO_BANK:
                self.sent += [frame for _, frame in effect.items]
                frames = [Incoming(frame) for _, frame in effect.items]
                self._from_network(self.network.on_frames(frames, self.now))
            elif isinstance(effect, Send) and isinstance(effect.to, tuple):
                for item in effect.items:
                    self._to_node(str(effect.to[1]), item)

    def _from_network(self, effects: Effects) -> None:
        for effect in effects:
            if isinstance(effect, Send):
                frames = [Frame(CONNECTION, item.frame) for item in effect.items]
                self._run(self.front.on_frames(frames, self.now))

    def _to_node(self, node: str, item: Any) -> None:
        if isinstance(item, DrainNotice):
            self.closed[node] = item.draining
        elif isinstance(item, Answer):
            self.told[item.id] = item
        elif isinstance(item, Envelope):
            self.late.append((node, _decode_request(item.body)))
            result = Result.APPROVED if node == self.owner else Result.NOT_FOUND
            answer = Answer(item.id, Status.OK, msgspec.msgpack.encode(Reply(result)))
            self._run(self.front.on_answers(node, [answer], self.now))


def world_of(
    profile: "Profile", keys: dict[str, bytes], network: Network, nodes: tuple[str, ...] = ("node1",)
) -> NetworkWorld:
    """Return a world of one profile, its network open and its front connected."""
    from simulators.codecs import bank_codec

    return NetworkWorld(
        profile, keys, SimulatedNetwork(profile, bank_codec(profile.spec), keys, network), nodes
    )
