"""Bridges of the simulated world on a model database with some people, asked by hand."""

import random  # noqa: TID251 - a seeded stream
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from crm_bridge.memory import Memory
from crm_bridge.settings import CoreSettings
from qianzhi.billing.books import PhoneState, Subscriber
from qianzhi.domain.dates import business_date
from qianzhi.domain.requests import Kind, Reply, Request
from qianzhi.ledger.entries import Account
from qianzhi.link.events import Hello
from qianzhi.link.messages import Answer, Envelope, Status
from qianzhi.runtime.effects import Send
from simulators.world.bridge import BridgeProcess
from simulators.world.database import ModelDatabase
from simulators.world.faults import Fault
from simulators.world.kernel import Kernel
from simulators.world.network import Network
from simulators.world.observe import Observer

ZONE = ZoneInfo("Asia/Shanghai")
EPOCH_US = 1_795_300_000_000_000
TODAY = business_date(EPOCH_US, ZONE)
SECOND = 1_000_000
PHONES = [f"1380000{number:04d}" for number in range(6)]


class Commits(Observer):
    """What was committed, and who was told what when."""

    def __init__(self) -> None:
        self.rows: list[Any] = []

    def on_commit(self, bridge: str, changes: Any) -> None:
        self.rows += [(bridge, row) for row in changes.journal.inserts]


class Bench:
    """A database with some people, and bridges that a node asks."""

    def __init__(self, seed: int = 1, bridges: int = 2, writers: int = 1, **database: Any) -> None:
        self.kernel = Kernel(lambda name: random.Random(f"{seed} {name}"), EPOCH_US)
        self.kernel.observers.append(commits := Commits())
        self.commits = commits
        accounts: list[Account] = []
        people: list[Subscriber] = []
        for book, phone in enumerate(PHONES, 1):
            people.append(Subscriber(phone, PhoneState.OPEN, "户", book, 2 * book - 1, 2 * book))
            accounts += [Account(2 * book - 1, floor_fen=0), Account(2 * book)]
        self.database = ModelDatabase(self.kernel, Memory(people, (), accounts), **database)
        self.answers: dict[int, tuple[Status, Reply | None]] = {}
        self.asked = 0
        settings = CoreSettings(database="sqlite:///nowhere", writers=writers)
        network = Network(self.kernel)
        self.bridges = [
            BridgeProcess(self.kernel, f"bridge-{n}", network, self.database, settings, ZONE)
            for n in range(1, bridges + 1)
        ]
        for bridge in self.bridges:
            self.start(bridge)

    def start(self, bridge: BridgeProcess) -> None:
        bridge.start()
        to_writer = bridge.handlers[Send]

        def send(effect: Send) -> None:
            if effect.to == ("peer", "node-1"):
                for item in effect.items:
                    if isinstance(item, Answer):
                        body = msgspec.msgpack.decode(item.body, type=Reply) if item.body else None
                        self.answers[item.id] = (item.status, body)
            elif isinstance(effect.to, tuple) and effect.to[0] == "writer":
                to_writer(effect)

        bridge.handlers = {**bridge.handlers, Send: send}
        bridge.run(bridge.core.on_peer_up("node-1", Hello("node-1", "node"), bridge.now))

    def ask(self, at: int, *requests: Request, budget_ms: int = 20_000) -> list[int]:
        """Ask a bridge; return the numbers under which the answers will be found."""
        bridge = self.bridges[at]
        numbers = list(range(self.asked, self.asked + len(requests)))
        self.asked += len(requests)
        envelopes = [
            Envelope(n, 1, bridge.name, int(one.kind), 0, budget_ms, 0, "", msgspec.msgpack.encode(one))
            for n, one in zip(numbers, requests, strict=True)
        ]
        if bridge.up:
            bridge.run(bridge.core.on_requests("node-1", envelopes, bridge.now))
        return numbers

    def run(self, seconds: float) -> None:
        self.kernel.run(self.kernel.now_us + int(seconds * SECOND))

    def fault(self, kind: str, strength: int = 0) -> Fault:
        fault = Fault(kind, "database", 0, 0, strength)
        self.database.begin_fault(fault)
        return fault

    def said(self, number: int) -> str:
        status, reply = self.answers[number]
        return reply.result.name if reply is not None else status.name

    def balance(self, phone: str) -> int:
        memory = self.database.memory
        return memory.accounts[memory.subscribers[phone].account].balance_fen


def request(serial: int, kind: Kind = Kind.RECHARGE, phone: str = PHONES[0], fen: int = 1000) -> Request:
    return Request(kind, "icbc", TODAY, f"{serial:06d}", "icbc", "9001", phone, fen)
