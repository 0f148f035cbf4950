"""Front, two nodes, bridge and core as pure cores under a seeded scheduler: lists are delivered in any order
between peers, nodes and the bridge are killed with their buffers, the bridge around its commit too.

Whatever the bank was told conclusively must be what the books say in the end.
"""

import random  # noqa: TID251 - seeded
import shutil
from collections import deque
from itertools import count
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from crm_bridge.audit import audit_books
from crm_bridge.bridge import Bridge
from crm_bridge.gateway import Gateway
from crm_bridge.journal import State
from crm_bridge.seed import seed
from crm_bridge.settings import CoreSettings
from crm_bridge.writer import Writer
from frontends.front import TO_BANK, Frame
from frontends.front_core import make_processor
from frontends.profile import load_profile, resolve_keys
from frontends.session_rows import NOTHING_SAVED
from interface_layer.dispatcher import Dispatcher
from qianzhi.domain.requests import MONEY_KINDS, Key, Kind, Request
from qianzhi.domain.results import Result
from qianzhi.link.events import Hello
from qianzhi.link.hop import Hop, HopLimits
from qianzhi.link.messages import Answer, Envelope
from qianzhi.link.tables import BankLimits, Route
from qianzhi.runtime.effects import Send
from qianzhi.runtime.now import SECOND_US, Now
from qianzhi.wire.mac import make_mac
from qianzhi.wire.mackey import MacKey

CONFIG = Path(__file__).parents[2] / "config"
ZONE = ZoneInfo("Asia/Shanghai")
START = Now(5_000_000, 1_794_888_000_000_000)  # 2026-11-17 12:00:00 in Shanghai
TODAY = 20261117
FRONT, NODES, BRIDGE = "front-icbc-1", ("node1", "node2"), "bridge1"
OPEN = {Result.UNKNOWN, Result.IN_PROCESS}
# Conclusive, whatever their code: a queue bank is refused at the edge only when its key is blocked.
GONE = {
    Result.NOT_FOUND,
    Result.BLOCKED,
    Result.ORIGINAL_REFUSED,
    Result.BUSY,
    Result.UNAVAILABLE,
    Result.REVERSED,
}


class World:
    """The daemons of one site, the lists between them, and what the bank has heard."""

    def __init__(self, url, number):
        self.chance = random.Random(number)
        self.now = START
        self.numbers = count(1, 1_000_000)
        self.profile, problems = load_profile(CONFIG, "icbc")
        assert problems == []
        self.keys = resolve_keys(self.profile, CONFIG, production=False)
        self.mac_key = MacKey(self.keys["mac"])
        hop = Hop(HopLimits(window=50), NODES)
        self.front = make_processor(self.profile, self.keys, NOTHING_SAVED, hop, FRONT, self.now)
        self.gateway = Gateway(url, CoreSettings(database=url), ZONE)
        self.writer = Writer(0, self.gateway, 50, lambda *_: None, now=lambda: self.now, sleep=lambda _: None)
        self.daemons = {}
        self.works = deque()
        self.channels = {}  # (from, to): lists on their way
        self.asked = {}  # source: request
        self.heard = []  # (request, result)
        self.sources = count(1)
        for name in (*NODES, BRIDGE):
            self.start(name)

    # -- life and death

    def hello(self, name):
        if name == FRONT:
            return Hello(FRONT, "front", banks=("icbc",), numbers=tuple(self.profile.numbers))
        return Hello(name, "bridge" if name == BRIDGE else "node", window=50)

    def core(self, name):
        return self.front if name == FRONT else self.daemons.get(name)

    def neighbours(self, name):
        return NODES if name in (FRONT, BRIDGE) else (FRONT, BRIDGE)

    def start(self, name):
        if name in self.daemons:
            return
        if name == BRIDGE:
            self.daemons[name] = Bridge(BRIDGE, 1, 50)
        else:
            routes = [Route(numbers=["*"], kinds=["*"], to="bridges")]
            limits = {"icbc": BankLimits(in_flight=30)}
            first_id = next(self.numbers)
            hop = HopLimits(window=50)
            self.daemons[name] = Dispatcher(name, [BRIDGE], routes, limits, hop, first_id)
        for other in self.neighbours(name):
            if self.core(other) is not None:
                self.carry(name, self.daemons[name].on_peer_up(other, self.hello(other), self.now))
                self.carry(other, self.core(other).on_peer_up(name, self.hello(name), self.now))

    def kill(self, name):
        """Some of what it wrote arrives yet; what was on its way to it is lost."""
        if name not in self.daemons:
            return
        for other in self.neighbours(name):
            lists = self.channels.pop((name, other), deque())
            for _ in range(self.chance.randint(0, len(lists))):
                self.hand_over(name, other, lists.popleft())
        del self.daemons[name]
        for other in self.neighbours(name):
            self.channels.pop((name, other), None)
            self.channels.pop((other, name), None)
            if self.core(other) is not None:
                self.carry(other, self.core(other).on_peer_down(name, "killed", self.now))
        if name == BRIDGE:
            self.works.clear()

    # -- carrying

    def carry(self, name, effects):
        for effect in effects:
            if not isinstance(effect, Send):
                continue
            if effect.to == TO_BANK:
                for source, body in effect.items:
                    answer = self.profile.mapping.reply_of(self.profile.codec.decode(body))
                    self.heard.append((self.asked[source], answer.result))
            elif isinstance(effect.to, tuple) and effect.to[0] == "writer":
                self.works.append(effect.items)
            elif isinstance(effect.to, tuple):
                self.channels.setdefault((name, effect.to[1]), deque()).append(effect.items)

    def hand_over(self, name, other, items):
        core = self.core(other)
        if core is None:
            return
        requests = [item for item in items if isinstance(item, Envelope)]
        answers = [item for item in items if isinstance(item, Answer)]
        if requests:
            self.carry(other, core.on_requests(name, requests, self.now))
        if answers:
            self.carry(other, core.on_answers(name, answers, self.now))

    def deliver(self):
        """Deliver the oldest list of one connection, whichever it is."""
        ways = sorted(way for way, lists in self.channels.items() if lists)
        if ways:
            way = self.chance.choice(ways)
            self.hand_over(*way, self.channels[way].popleft())

    def write(self, *, killed=""):
        """Let the writer take what waits; `killed` ends the bridge before or after its commit."""
        if not self.works:
            return
        works = [work for items in self.works for work in items]
        self.works.clear()
        batch = self.writer.settle(works) if killed != "before" else None
        if killed:
            self.kill(BRIDGE)
        elif batch is not None and BRIDGE in self.daemons:
            self.carry(BRIDGE, self.daemons[BRIDGE].on_batch(0, batch, self.now))

    def wait(self, us):
        self.now = self.now.after(us)
        for name in (FRONT, *NODES):
            core = self.core(name)
            due = core.deadline if core is not None else None
            if due is not None and due <= self.now.mono_us:
                self.carry(name, core.on_time(self.now))

    # -- the bank

    def ask(self, kind, serial):
        fields = {"phone": f"1380000000{int(serial) % 9}", "amount_fen": 5000} if kind in MONEY_KINDS else {}
        if kind is Kind.REVERSAL:
            fields = {"amount_fen": 5000}
        if kind in (Kind.STATUS, Kind.REVERSAL):
            fields["own_serial"] = f"{next(self.numbers):012d}"
        request = Request(kind, "icbc", TODAY, serial, "icbc", self.profile.numbers[0], **fields)
        source = next(self.sources)
        self.asked[source] = request
        message = self.profile.mapping.request_message(request, self.now)
        make_mac(self.profile.mac, message, self.profile.codec, self.mac_key)
        body = self.profile.codec.encode(message)
        self.carry(FRONT, self.front.on_frames([Frame(source, body)], self.now))

    def told(self, serial, *kinds):
        return {
            result for request, result in self.heard if request.serial == serial and request.kind in kinds
        }

    def step(self, serials):
        chance = self.chance
        match chance.choices(range(7), [30, 12, 12, 8, 2, 2, 1])[0]:
            case 0:
                self.deliver()
            case 1:
                kind = chance.choice(
                    [Kind.RECHARGE, Kind.RECHARGE, Kind.RECHARGE, Kind.STATUS, Kind.REVERSAL]
                )
                self.ask(kind, chance.choice(serials))
            case 2:
                self.write(killed=chance.choice(["", "", "", "", "before", "after"]))
            case 3:
                self.wait(chance.choice([1_000, 50_000, 400_000]))
            case 4:
                self.kill(chance.choice(NODES))
            case 5:
                self.start(chance.choice((*NODES, BRIDGE)))
            case 6:
                self.wait(5 * SECOND_US)
        if chance.random() < 0.3:
            self.start(BRIDGE)

    def come_to_rest(self):
        for name in (*NODES, BRIDGE):
            self.start(name)
        for _ in range(5_000):
            if not (any(self.channels.values()) or self.works or not self.front.idle):
                return
            self.deliver()
            self.write()
            self.wait(20_000)
        raise AssertionError("the house never comes to rest")


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    path = tmp_path_factory.mktemp("chain") / "core.db"
    seed(f"sqlite:///{path}", 10, 1, now=START, zone=ZONE)
    return path


@pytest.mark.parametrize("number", range(25))
def test_what_the_bank_was_told_is_what_the_books_say(template, tmp_path, number):
    shutil.copy(template, tmp_path / "core.db")
    url = f"sqlite:///{tmp_path}/core.db"
    world = World(url, number)
    serials = [f"{n:06d}" for n in range(1, 13)]
    for _ in range(800):
        world.step(serials)
    world.come_to_rest()
    for serial in serials:
        world.ask(Kind.STATUS, serial)
        world.come_to_rest()
        [row] = world.gateway._store.rows([Key("icbc", TODAY, serial)])
        state = row.state
        money = world.told(serial, Kind.RECHARGE)
        asked = world.told(serial, Kind.STATUS)
        undone = world.told(serial, Kind.REVERSAL)
        what = (serial, state.name, money, asked, undone)
        stands = state is State.APPROVED
        assert not stands or not (money | asked | undone) & GONE, what
        assert not stands or Result.APPROVED in asked, what
        assert Result.APPROVED not in undone or state is State.REVERSED, what
        assert Result.APPROVED not in money | asked or state in (State.APPROVED, State.REVERSED), what
        assert money | asked | undone <= GONE | OPEN | {Result.APPROVED}, what
    assert audit_books(url).balanced
    world.gateway.close()
