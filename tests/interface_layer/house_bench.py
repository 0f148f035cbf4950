"""Two nodes of a group, their store, a core and a network on a bench: everything happens at once unless a
test holds it back."""

from collections import Counter, deque
from collections.abc import Callable
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from interface_layer.charges import Wanted
from interface_layer.dispatcher import Dispatcher
from interface_layer.node import Node
from qianzhi.domain.requests import Kind, Reply, Request
from qianzhi.domain.results import Result
from qianzhi.link.events import Hello, OutwardTerms
from qianzhi.link.messages import Answer, Envelope, Status
from qianzhi.link.tables import Route
from qianzhi.runtime import metrics
from qianzhi.runtime.effects import Alarm, Count, Effects, Load, Record, Send, Store
from qianzhi.runtime.now import SECOND_US, Now
from qianzhi.saf.errors import LostError
from qianzhi.saf.memory import MemoryStore, Shelf
from qianzhi.saf.policies import Policy

START = Now(9_000_000, 1_700_000_000_000_000)  # 2023-11-15 06:13:20 in Shanghai
TODAY = 20231115
POLICY = Policy(lease_us=10 * SECOND_US)
EVERYWHERE = [Route(numbers=["*"], kinds=["*"], to="bridges")]
MINUTE_US = 60 * SECOND_US

_request = msgspec.msgpack.Decoder(Request).decode
_encode = msgspec.msgpack.Encoder().encode


def terms(policy: str = "on_timeout", **changes: Any) -> OutwardTerms:
    """The terms of the network `unet`."""
    given: dict[str, Any] = {
        "bank": "unet",
        "space": "unet-out",
        "number": "900100",
        "policy": policy,
        "serial_digits": 6,
        "answer_ms": 20_000,
        "late_seconds": 300,
        "reverses": policy != "none",
        "refunds": policy != "none",
        "advises": False,
    }
    return OutwardTerms(**{**given, **changes})


class Bench:
    """The world of two nodes; `says` are the network's answers by kind, `core_says` the core's."""

    def __init__(self, policy: str = "on_timeout", *, figures: Policy = POLICY, **changes: Any) -> None:
        self.now = START
        self.figures = figures
        self.terms = terms(policy, **changes)
        self.shelf = Shelf()
        self.lives: dict[str, int] = {}
        self.nodes: dict[str, Node] = {}
        self.stores: dict[str, MemoryStore] = {}
        self.queue: deque[Callable[[], None]] = deque()
        self.stored: dict[str, deque[Callable[[], None]] | None] = {}  # what is held back, by node
        self.broken_store = False
        self.says: dict[Kind, Any] = {Kind.CHARGE: Result.APPROVED, Kind.CHARGE_REVERSAL: Result.APPROVED}
        self.core_says: dict[Kind, Any] = {}
        self.asked: list[Request] = []  # of the network
        self.told: list[Request] = []  # of the core
        self.journal: dict[str, Result] = {}  # what stands under a key
        self.breaks: dict[str, str] = {}
        self.answers: dict[str, Any] = {}
        self.alarms: Counter[str] = Counter()
        self.late: list[Answer] = []
        self.last: dict[str, Envelope] = {}  # the last envelope that a front got, by key
        for name in ("node1", "node2"):
            self.begin(name)

    def begin(self, name: str, *, peers: bool = True) -> Node:
        """Start a node, or its next life; what the former one had not stored is gone."""
        self.lives[name] = life = self.lives.get(name, 0) + 1
        dispatcher = Dispatcher(name, ["bridge1"], EVERYWHERE, {}, first_id=life * 1_000_000)
        self.nodes[name] = node = Node(dispatcher, self.figures, ZoneInfo("Asia/Shanghai"))
        self.stores[name] = MemoryStore(self.shelf, name, self.figures.lease_us, lambda: self.now.wall_us)
        self.stored[name] = None
        self.do(name, node.start(self.now))
        if peers:
            self.do(name, node.on_peer_up("bridge1", Hello("bridge1", "bridge"), self.now))
            self.front_up(name)
        return node

    def front_up(self, name: str) -> None:
        hello = Hello("front-unet-1", "front", banks=("unet",), numbers=("900100",), outward=(self.terms,))
        self.do(name, self.nodes[name].on_peer_up("front-unet-1", hello, self.now))

    def front_down(self, name: str = "node1") -> None:
        self.do(name, self.nodes[name].on_peer_down("front-unet-1", "lost", self.now))

    def sign_off(self, off: bool = True) -> None:
        for name, node in self.nodes.items():
            self.do(name, node.on_peer_draining("front-unet-1", off, self.now))

    def kill(self, name: str) -> None:
        """End a node at once; nothing that was on its way to it arrives."""
        self.lives[name] += 1
        del self.nodes[name]

    def do(self, name: str, effects: Effects) -> None:
        life = self.lives[name]
        for effect in effects:
            self._carry_out(name, life, effect)
        self.settle()

    def settle(self) -> None:
        while self.queue:
            self.queue.popleft()()

    def pass_time(self, us: int) -> None:
        """Let time pass, waking the nodes when they want it."""
        end = self.now.mono_us + us
        for _ in range(100_000):
            dues = [due for node in self.nodes.values() if (due := node.deadline) is not None]
            due = min(dues, default=end + 1)
            if due > end:
                break
            self.now = self.now.after(max(0, due - self.now.mono_us))
            for name in list(self.nodes):
                node = self.nodes[name]
                if (when := node.deadline) is not None and when <= self.now.mono_us:
                    self.do(name, node.on_time(self.now))
        else:
            raise AssertionError("the nodes want to be woken without end")
        self.now = self.now.after(end - self.now.mono_us)

    def charge(
        self, order: str = "o1", *, name: str = "node1", wait: bool = True, amount_fen: int = 5_000
    ) -> str:
        """Ask a node to charge; returns the asker, whose answer comes to `answers`."""
        asker = f"{order}-{name}-{len(self.answers)}-{self.now.mono_us}"
        wanted = Wanted(order, "unet", "13800000001", amount_fen)
        self.do(name, self.nodes[name].charge(asker, wanted, wait, self.now))
        return asker

    def act(self, command: str, entry_id: str, act: str, name: str = "node1", **more: Any) -> Any:
        asker = f"act-{act}-{len(self.answers)}"
        arguments = {"id": entry_id, "act": act, **more}
        self.do(name, self.nodes[name].act(asker, command, arguments, self.now))
        return self.answers.get(asker)

    def offer_late(self, key: str, result: Result, name: str = "node1") -> Reply | None:
        """Let the front offer a late answer; returns the node's word on it."""
        space, date, serial = key.split("/")
        request = Request(
            Kind.LATE_ANSWER, space, int(date), serial, "unet", "900100", reason=result.name.lower()
        )
        envelope = Envelope(77, 1, "900100", Kind.LATE_ANSWER, 0, 5_000, 1, "", _encode(request), key)
        self.late.clear()
        self.do(name, self.nodes[name].on_requests("front-unet-1", [envelope], self.now))
        if not self.late or self.late[-1].status is not Status.OK:
            return None
        return msgspec.msgpack.decode(self.late[-1].body, type=Reply)

    def state(self, order: str = "o1") -> str:
        """How a charge stands in the store."""
        return self.shelf.charges[order][1].state.value

    def key(self, order: str = "o1") -> str:
        return self.shelf.charges[order][1].key.text

    def kinds(self) -> list[Kind]:
        return [request.kind for request in self.asked]

    def money(self) -> dict[str, int]:
        """What is open, credited and with the network, by key: for the balance of a cardholder."""
        return dict(Counter(self.journal.values()))

    def _carry_out(self, name: str, life: int, effect: Any) -> None:
        if isinstance(effect, Store):
            self._store(name, life, effect)
        elif isinstance(effect, Load):
            self.queue.append(lambda: self._load(name, life))
        elif isinstance(effect, Send):
            where, who = effect.to  # type: ignore[misc]
            if where == "asker":
                (self.answers[who],) = effect.items
            elif who == "front-unet-1":
                self.queue.append(lambda: self._network(name, life, effect.items))
            elif who == "bridge1":
                self.queue.append(lambda: self._core(name, life, effect.items))
        elif isinstance(effect, Alarm):
            self.alarms[effect.name] += 1
        elif isinstance(effect, Count):
            metrics.count(effect.name, effect.labels, effect.n)
        else:
            assert isinstance(effect, Record)

    def _alive(self, name: str, life: int) -> bool:
        return self.lives[name] == life and name in self.nodes

    def _store(self, name: str, life: int, effect: Store) -> None:
        def write() -> None:
            if not self._alive(name, life) or self.broken_store:
                return
            node = self.nodes[name]
            try:
                standing = self.stores[name].write(effect.rows)
            except LostError:
                self.do(name, node.on_lost(effect.token, self.now))
            else:
                self.do(name, node.on_stored(effect.token, standing, self.now))

        held = self.stored[name]
        (self.queue if held is None else held).append(write)

    def _load(self, name: str, life: int) -> None:
        if not self._alive(name, life):
            return
        node = self.nodes[name]
        try:
            saved = self.stores[name].load()
        except LostError:
            self.do(name, node.on_lost(None, self.now))
        else:
            self.do(name, node.on_loaded(saved, self.now))

    def hold(self, name: str = "node1") -> None:
        """Keep a node's writes back from now on."""
        self.stored[name] = deque()

    def release(self, name: str = "node1") -> None:
        """Write what was kept back."""
        held, self.stored[name] = self.stored[name], None
        self.queue.extend(held or ())
        self.settle()

    def _network(self, name: str, life: int, items: list[Any]) -> None:
        for item in items:
            if isinstance(item, Answer):
                self.late.append(item)
            elif isinstance(item, Envelope):
                request = _request(item.body)
                self.asked.append(request)
                self.last[item.key] = item
                said = self.says.get(request.kind, Result.APPROVED)
                self._answer(name, life, "front-unet-1", item, said(request) if callable(said) else said)

    def _core(self, name: str, life: int, items: list[Any]) -> None:
        for item in items:
            if isinstance(item, Envelope):
                request = _request(item.body)
                said = self.core_says.get(request.kind, self._decide)
                said = said(request) if callable(said) else said
                self.told.append(request)
                self._answer(name, life, "bridge1", item, said)

    def _decide(self, request: Request) -> Result:
        """A journal of one column: the first word on a key stands."""
        key = request.key.text
        if request.kind is Kind.RECHARGE:
            return self.journal.setdefault(key, Result.APPROVED)
        if request.kind is Kind.BLOCK:
            return self.journal.setdefault(key, Result.BLOCKED)
        if request.kind is Kind.BREAK:
            self.breaks[key] = request.reason
        elif request.kind is Kind.MEND:
            self.breaks.pop(key, None)
        return Result.APPROVED

    def _answer(self, name: str, life: int, peer: str, envelope: Envelope, said: Any) -> None:
        """Answer with a result or a reply; with a status: not taken; with None: never."""
        if said is None or not self._alive(name, life):
            return
        if isinstance(said, Status):
            answer = Answer(envelope.id, said)
        else:
            reply = said if isinstance(said, Reply) else Reply(said)
            answer = Answer(envelope.id, Status.OK, _encode(reply))
        self.do(name, self.nodes[name].on_answers(peer, [answer], self.now))
