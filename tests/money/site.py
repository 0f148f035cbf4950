"""A whole site on one stage, played by a script: one bank that says what the test says, all real cores, and a
clock that moves when the test lets it.

It is a simulated world (`simulators.world`) without chance: nothing goes wrong but what the test lets go
wrong, and nothing is asked but what it asks.  Real is all that decides: the bank's codec, front-ends, nodes,
bridges, the settling of batches, store-and-forward.  Models stand for network, disk, database and broker.
"""

import random  # noqa: TID251 - a stream that is the same each time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from crm_bridge.journal import Row
from crm_bridge.journal_breaks import Break
from crm_bridge.settings import CoreSettings
from frontends.profile import load_profile, resolve_keys
from qianzhi.domain.requests import MONEY_KINDS, Key, Kind, Request
from qianzhi.domain.results import Result
from qianzhi.runtime.effects import Alarm, Count
from qianzhi.runtime.now import SECOND_US
from simulators.world.coverage import Coverage
from simulators.world.coverage_charges import ChargeCoverage
from simulators.world.faults import Fault
from simulators.world.observe import Observer
from simulators.world.parts import BankPlan, NetworkPlan
from simulators.world.plan import Plan
from simulators.world.process import Process
from simulators.world.run import DIALECTS, OWN
from simulators.world.world import ZONE, Given, World
from tests.money.bank import Said, ScriptedBank
from tests.money.house import TODAY, House

CONFIG = Path(__file__).parents[2] / "config"
MIDNIGHT_US = 1_782_921_600_000_000  # at which that day begins in Shanghai
WARM_US = 4 * SECOND_US  # in which everybody connects
PATIENCE_SECONDS = 60
CUSTOMERS = 60


@cache
def given(names: tuple[str, ...]) -> Given:
    """Read the profiles of these banks and networks."""
    profiles, keys = {}, {}
    for name in names:
        profile, problems = load_profile(DIALECTS if name in OWN else CONFIG, name, rehearsed=False)
        assert profile is not None, problems[0]
        profiles[name], keys[name] = profile, resolve_keys(profile, CONFIG, production=False)
    return Given(profiles, keys, CoreSettings(database="sqlite:///none", day_closes="00:01", fence_minutes=1))


class Site(Observer):
    """Two nodes, two bridges, one database, the bank `short` (its messages carry dates) or another.

    `at` is the local time at which the script begins.  `network` is whom the house asks for money.
    """

    def __init__(
        self,
        bank: str = "short",
        *,
        at: str = "10:00:00",
        fronts: int = 1,
        network: str = "",
        leased: bool = False,
        apart: bool = False,
        **limits: int,
    ) -> None:
        """With `apart` each front has a node and a bridge of its own; `limits` are the bank's plan's."""
        hours, minutes, seconds = (int(word) for word in at.split(":"))
        epoch_us = MIDNIGHT_US + ((hours * 60 + minutes) * 60 + seconds) * SECOND_US - WARM_US
        banks = (BankPlan(bank, 0, 1, customers=CUSTOMERS, instances=fronts, **limits),)
        networks = (NetworkPlan(network, 0, 13_700_000_000),) if network else ()
        plan = Plan(0, epoch_us, banks, networks=networks, leased=leased)
        names = tuple(filter(None, (bank, network)))
        self.world = World(plan, given(names), lambda name: random.Random(f"0/{name}"))
        self.kernel, self.database = self.world.kernel, self.world.database
        self.broker, self.disk = self.world.broker, self.world.disks[0]
        self.front, *self.other_fronts = self.world.fronts
        self.node, self.other_node = self.world.nodes
        self.bridge, self.other_bridge = self.world.bridges
        (actor,) = self.world.banks
        self.bank = ScriptedBank(actor, self)
        self.alarms: list[str] = []
        self.counts: dict[str, int] = {}
        self._at_commit: list[Callable[[], None]] = []
        self.carried_out: list[Request] = []  # by any bridge
        charges = ChargeCoverage(self.world)
        self.house = House(self)
        self.kernel.observers = [self, Coverage(self.world), charges]
        self._charges = charges
        for process in self.world.processes:
            process.handlers = {**process.handlers, Alarm: self._alarm, Count: self._count}
        if apart:
            for one, other in (("front-{}-1", "node-2"), ("front-{}-2", "node-1")):
                self.begin("cut", one.format(bank), other=other)
            self.begin("cut", "node-1", other="bridge-2")
            self.begin("cut", "node-2", other="bridge-1")
        for process in self.world.processes:
            process.start()
        self.run(WARM_US / SECOND_US)

    # -- time

    def run(self, seconds: float) -> None:
        """Let time pass."""
        self._run(seconds, lambda: False)

    def until(self, happened: Callable[[], Any], seconds: float = PATIENCE_SECONDS) -> None:
        """Let time pass until something has happened; it has to, in so many seconds."""
        assert happened() or self._run(seconds, lambda: bool(happened())), "it did not happen"

    def _run(self, seconds: float, stop: Callable[[], bool]) -> bool:
        end_us = self.kernel.now_us + int(seconds * SECOND_US)
        while self.kernel.now_us < end_us:
            if self.kernel.run(min(end_us, self.kernel.now_us + SECOND_US), stop):
                return True
            for observer in self.kernel.observers:
                observer.on_tick()
        return False

    def hours_later(self, hours: float) -> None:
        """Let every clock on the wall show a later time: nobody asks or answers meanwhile."""
        self.kernel.epoch_us += int(hours * 3_600 * SECOND_US)
        self.run(2)

    # -- what goes wrong

    @contextmanager
    def fault(self, kind: str, target: str = "", strength: int = 0, other: str = "") -> Iterator[None]:
        """Let a fault of `simulators.world.faults` last as long as the block; always happening where it
        happens by chance.
        """
        fault = self.begin(kind, target, strength, other)
        yield
        self.end(fault)

    def begin(self, kind: str, target: str = "", strength: int = 0, other: str = "") -> Fault:
        """Let a fault begin."""
        fault = Fault(kind, target or _where(kind), 0, 0, strength or 1_000, other)
        for observer in self.kernel.observers:
            observer.on_fault(fault, True)
        self._part(fault).begin_fault(fault)
        return fault

    def end(self, fault: Fault) -> None:
        """Let it be over."""
        for observer in self.kernel.observers:
            observer.on_fault(fault, False)
        self._part(fault).end_fault(fault)

    @contextmanager
    def drained(self, process: Process) -> Iterator[None]:
        """Let a process take nothing new as long as the block lasts."""
        fault = Fault("drain", process.name, 0, 0)
        for begins in (True, False):
            for observer in self.kernel.observers:
                observer.on_fault(fault, begins)
            process.drain(begins)
            if begins:
                yield

    def frozen(self, *processes: Process) -> "Frozen":
        """Let processes stand still as long as the block lasts."""
        return Frozen(processes)

    @contextmanager
    def clocks_back(self, hours: float) -> Iterator[None]:
        """Let every clock on the wall show an earlier time as long as the block lasts."""
        self.kernel.epoch_us -= int(hours * 3_600 * SECOND_US)
        yield
        self.kernel.epoch_us += int(hours * 3_600 * SECOND_US)

    def at_commit(self, call: Callable[[], Any]) -> None:
        """Call once the database has committed the next change of the journal, before anybody hears of it."""
        self._at_commit.append(call)

    def busy_node(self) -> Process:
        """Return the node that has something under way."""
        (node,) = [one for one in self.world.nodes if not one.core.dispatcher.idle]
        return node

    def poisons(self, said: Said) -> None:
        """Let one message end every front that handles it."""
        self.broker.poisoned = lambda body: body == said.out.frame  # type: ignore[method-assign]

    def bad(self, serial: str) -> None:
        """Let a request break every batch that it is in, in a way that nobody foresaw."""
        self.database.bad = lambda changes: any(  # type: ignore[method-assign]
            row.serial == serial and row.state == 1 for row in changes.journal.inserts
        )

    def spoils(self, serial: str) -> None:
        """Let what a request for money loads break an invariant of ours."""
        self.database.spoils = lambda space, other: other == serial  # type: ignore[method-assign]

    def _part(self, fault: Fault) -> Any:
        parts: dict[str, Any] = {"network": self.world.network, "database": self.database}
        parts |= {"broker": self.broker, "disk": self.disk}
        parts |= {one.name: one for one in self.world.networks}
        return parts.get(fault.target, self.world.network)

    # -- what stands

    def row(self, key: Key) -> Row | None:
        """Return the journal's row of a key."""
        return self.database.memory.journal.get(key)

    def state(self, key: Key) -> str:
        """Return what the journal says of a key, empty where it knows nothing."""
        row = self.row(key)
        return row.state.name if row is not None else ""

    def balance(self, phone: str) -> int:
        """Return what stands in the book of a phone."""
        memory = self.database.memory
        return memory.accounts[memory.subscribers[phone].account].balance_fen

    def arrears(self, phone: str) -> int:
        """Return what the book of a phone owes after time-out reversals."""
        memory = self.database.memory
        return -memory.accounts[memory.subscribers[phone].arrears].balance_fen

    def waiting_messages(self) -> int:
        """Return how many messages of the bank its queues still hold, given out or not."""
        return sum(count for queue, count in self.broker.left() if not queue.startswith("reply/"))

    def noted(self, name: str) -> list[str]:
        """Return why the front has noted rows of this name in its event file."""
        rows = [row for disk in self.world.disks for row in disk.files.get(self.front.name, ())]
        return [str(row.data.get("why", "")) for row in rows if row.name == name]

    def open_breaks(self) -> list[Break]:
        """Return the breaks that hold a date open."""
        return [one for one in self.database.memory.breaks.values() if one.open]

    def closed_through(self, space: str = "short") -> int:
        """Return the last date of a space that is closed."""
        fences = [one for one in self.database.memory.fences if one.space == space]
        return max((fence.closed_through for fence in fences), default=0)

    def phone(self, *, owing: bool = False) -> str:
        """Return a phone with an empty book that owes nothing, or bills above 20.00."""
        first = self.world.banks[0].plan.phone_first
        for phone in (str(first + number) for number in range(CUSTOMERS)):
            bills = self.bills(phone)
            fits = min(bills, default=0) > 2_000 if owing else not bills
            if fits and not self.balance(phone):
                return phone
        raise AssertionError("there is no such phone")

    def bills(self, phone: str) -> list[int]:
        """Return the amounts of a phone's bills that are not paid, without late fees."""
        memory = self.database.memory
        book = memory.subscribers[phone].book
        return [one.principal_fen for one in memory.bills.values() if one.book == book and not one.paid_by]

    def spend(self, phone: str, rest_fen: int) -> None:
        """Let what stands in a book be used for its bills: another recharge makes it enough for them, and
        leaves so much.
        """
        owed = self.house.asks_core(
            Request(Kind.OWED, "short", TODAY, "q", "short", "8811", phone)
        ).amount_fen
        more = self.bank.serial(phone, fen=owed - self.balance(phone) + rest_fen)
        assert self.bank.hears(self.bank.asks(more)) is Result.APPROVED
        assert self.balance(phone) == rest_fen
        assert not self.bills(phone)

    # -- what it watches

    def on_commit(self, bridge: str, changes: Any) -> None:
        """Let happen what the test wants to happen right after a commit."""
        if changes.journal.inserts or changes.journal.reversals:
            calls, self._at_commit = self._at_commit, []
            for call in calls:
                call()

    def on_executed(self, bridge: str, requests: Any, replies: Any) -> None:
        """Note which originals reached a core."""
        self.carried_out += [one for one in requests if one.kind in MONEY_KINDS]

    def saw(self, sequence: str) -> int:
        """Return how often the simulator's coverage has counted an interleaving."""
        self._charges.on_end()
        return self.kernel.coverage[sequence]

    def _alarm(self, effect: Alarm) -> None:
        self.alarms.append(effect.name)

    def _count(self, effect: Count) -> None:
        self.counts[effect.name] = self.counts.get(effect.name, 0) + effect.n


Stage = Callable[..., Site]  # what the fixture `stage` gives a test: it builds the site


class Frozen:
    """Processes that stand still within a block."""

    def __init__(self, processes: tuple[Process, ...]) -> None:
        self._processes = processes

    def __enter__(self) -> None:
        for process in self._processes:
            process.freeze()

    def __exit__(self, *_: object) -> None:
        for process in self._processes:
            process.thaw()


def _where(kind: str) -> str:
    for target, kinds in _TARGETS.items():
        if kind in kinds:
            return target
    return "network"


_TARGETS = {
    "broker": (
        "redelivery",
        "duplicate",
        "confirm_lost",
        "nack",
        "reply_queue_gone",
        "queue_gone",
        "body_broken",
        "poison",
        "broker_restart",
        "broker_pause",
    ),
    "disk": ("disk_full", "disk_slow", "torn"),
    "database": (
        *("deadlock", "serialization", "commit_unknown_written", "commit_unknown_lost", "slow_database"),
        *("database_restart", "failover", "standby_cut", "read_only", "database_full", "bad_row"),
    ),
}
assert ZONE.key == "Asia/Shanghai"  # TODAY and MIDNIGHT_US are that zone's
