"""One simulated world, put together from its plan: banks, fronts, nodes, bridges, a core, and faults.  Pure.

    load      banks begin serial after serial, faults come and go
    heal      every fault is over, everybody lives again
    settle    banks begin nothing new and bring everything to its end
    end       what must hold at the end is looked at

Everything is real that decides: banks' codecs, the fronts', nodes' and bridges' cores, link's muxes, the
gateway.  Models stand for what does not: network, disk, broker, database.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, NamedTuple
from zoneinfo import ZoneInfo

from interface_layer.shares import part_of
from qianzhi.domain.dates import business_date
from qianzhi.link.tables import BankLimits, Route
from qianzhi.runtime.now import SECOND_US, Now
from qianzhi.saf.memory import Commons, Shelf
from qianzhi.saf.policies import Policy
from qianzhi.saf.rows import ChargeState, State
from simulators.world.banks import BankActor
from simulators.world.banks_house import House
from simulators.world.bridge import BridgeProcess
from simulators.world.broker import ModelBroker
from simulators.world.customers import People
from simulators.world.database import ModelDatabase
from simulators.world.disk import Disk, LineRows
from simulators.world.faults import Fault, Part
from simulators.world.front import FrontProcess, Setup, SocketFront
from simulators.world.kernel import Kernel, Stream
from simulators.world.network import Network
from simulators.world.networks import Collector, NetworkActor
from simulators.world.node import NodeProcess, NodeSetup
from simulators.world.observe import Falls, Observer, Violation
from simulators.world.operators import Operators
from simulators.world.parts import BankPlan, Lines, NetworkPlan
from simulators.world.plan import Plan, fronts_of
from simulators.world.population import make_memory, people_of
from simulators.world.process import Process
from simulators.world.queue_front import QueueFrontProcess

if TYPE_CHECKING:
    from crm_bridge.settings import CoreSettings  # it reads URLs; its shape alone is used here
    from frontends.profile import Profile  # it reads files; its shape alone is used here

ZONE = ZoneInfo("Asia/Shanghai")
BLOWN_US = 400_000  # an armed fault that met no effect by then happens all the same
QUIET_US = 20 * SECOND_US  # after the last serial, so that what is still under way comes to rest
LEASE_US = 10 * SECOND_US
# An entry is tried for an hour, the least that there is, whatever the time of day.
POLICY = Policy(fast_us=SECOND_US, slow_us=8 * SECOND_US, answer_us=6 * SECOND_US, deadline_minutes=-1_440)
ROUTES = (Route(numbers=["*"], kinds=["*"], to="bridges"),)


class Given(NamedTuple):
    """What a world takes from files, read once for many worlds: profiles, their keys, the core's settings."""

    profiles: Mapping[str, "Profile"]
    keys: Mapping[str, dict[str, bytes]]
    core: "CoreSettings"


class Ended(NamedTuple):
    """How a run ended.  `violation` is None when every rule held."""

    seed: int
    transactions: int
    steps: int
    seconds: int
    trace_hash: str
    coverage: Counter[str]
    kinds: Counter[str]
    violation: Violation | None


class World:
    """One world; `stream(name)` gives the seeded numbers of one part."""

    def __init__(
        self, plan: Plan, given: Given, stream: Callable[[str], Stream], *, telling: bool = False
    ) -> None:
        """Nothing happens before `run`."""
        self.plan = plan
        self.given = given
        self.kernel = kernel = Kernel(stream, plan.epoch_us)
        if telling:
            kernel.telling = []
        self.profiles = {bank.name: limited(given.profiles[bank.name], bank) for bank in plan.banks}
        self.profiles |= {one.name: given.profiles[one.name] for one in plan.networks}
        self.network = Network(kernel)
        self.disks = [Disk(kernel, f"disk/{number}") for number in (1, 2)]
        today = business_date(plan.epoch_us, ZONE)
        people = [people_of(bank.phone_first, bank.customers) for bank in plan.banks]
        people += [people_of(network.phone_first, network.customers) for network in plan.networks]
        month = _month_before(today)
        self.memory = make_memory(people, month, kernel.dice("people"), Now(0, plan.epoch_us))
        self.database = ModelDatabase(kernel, self.memory, whole=plan.whole)
        self.broker = ModelBroker(kernel)
        self.bridges = [self._bridge(number) for number in range(1, plan.bridges + 1)]
        commons = Commons()
        self.shelves = [Shelf(commons) for _ in range(1 if plan.leased else plan.nodes)]
        self.nodes = [self._node(number) for number in range(1, plan.nodes + 1)]
        self.fronts: list[FrontProcess] = []
        self.banks: list[BankActor] = []
        self.house = House(kernel, self.bridges)
        for bank in plan.banks:
            self._add_bank(bank)
            self.banks[-1].house = self.house
        self.networks: list[NetworkActor] = []
        self.collectors: list[Collector] = []
        for network, ours in zip(plan.networks, people[len(plan.banks) :], strict=True):
            self._add_network(network, ours)
        self.operators = Operators(kernel, self.house, self.nodes, self.networks, self)
        others: list[Process] = [*self.banks, *self.networks]
        self.processes: list[Process] = [*self.bridges, *self.nodes, *self.fronts, *others]
        self._named = {process.name: process for process in self.processes}
        self._targets: dict[str, Part] = {
            "network": self.network,
            "database": self.database,
            "broker": self.broker,
        }
        self._targets |= {disk.name: disk for disk in self.disks}
        self._targets |= {network.name: network for network in self.networks}
        self._on: list[Fault] = []
        self.kinds: Counter[str] = Counter()

    # -- who is there

    def _bridge(self, number: int) -> BridgeProcess:
        name = f"bridge-{number}"
        settings = replace(self.given.core, writers=1 if self.plan.whole else self.plan.writers)
        return BridgeProcess(
            self.kernel,
            name,
            self.network,
            self.database,
            settings,
            ZONE,
            number * 641,
            disk=self._disk(number),
        )

    def _node(self, number: int) -> NodeProcess:
        bridges = [f"bridge-{at}" for at in range(1, self.plan.bridges + 1)]
        weights = self.plan.nodes
        limits = {name: part_of(_bank_limits(one), 1, weights) for name, one in self.profiles.items()}
        shelf = self.shelves[(number - 1) % len(self.shelves)]
        policy = POLICY._replace(lease_us=LEASE_US if self.plan.leased else 0)
        setup = NodeSetup(bridges, limits, shelf, policy, ZONE, ROUTES)
        return NodeProcess(
            self.kernel, f"node-{number}", self.network, self._disk(number), setup, number * 977
        )

    def _setup(self, name: str) -> Setup:
        nodes = [f"node-{at}" for at in range(1, self.plan.nodes + 1)]
        return Setup(self.profiles[name], self.given.keys[name], nodes, LineRows())

    def _add_network(self, plan: NetworkPlan, people: People) -> None:
        name, setup = f"front-{plan.name}-1", self._setup(plan.name)
        self.fronts.append(SocketFront(self.kernel, name, self.network, self._disk(1), setup, 311))
        lines = Lines([f"line/{name}"], self.network.dial, None)
        self.networks.append(NetworkActor(self.kernel, plan, setup.profile, setup.keys, lines))
        self.collectors.append(Collector(self.kernel, plan, self.nodes, people, self.plan.load_us))

    def _add_bank(self, bank: BankPlan) -> None:
        profile, keys = self.profiles[bank.name], self.given.keys[bank.name]
        names = fronts_of([bank])
        setup = self._setup(bank.name)
        queued = profile.transport.kind == "queue"
        for number, name in enumerate(names, 1):
            disk = self._disk(number)
            given = (self.kernel, name, self.network, disk, setup)
            if queued:
                self.fronts.append(QueueFrontProcess(*given, self.broker, number * 577))
            else:
                self.fronts.append(SocketFront(*given, number * 577))
        short = profile.transport.connection == "short"
        lines = Lines(
            [f"line/{name}" for name in names],
            partial(self.network.dial, short=short),
            self.broker if queued else None,
            bank.name,
        )
        sure = not queued and not any(fault.kind in _DOUBLING for fault in self.plan.faults)
        self.banks.append(BankActor(self.kernel, bank, profile, keys, lines, ZONE, edge_is_final=sure))

    def _disk(self, number: int) -> Disk:
        return self.disks[(number - 1) % len(self.disks)]

    # -- a run

    def run(self, observers: Sequence[Observer]) -> Ended:
        """Let the plan happen; return how it ended, also where something fell over."""
        kernel, plan = self.kernel, self.plan
        kernel.observers = list(observers)
        violation = None
        try:
            with Falls():
                self._let_happen()
        except Violation as found:
            violation = found
        return Ended(
            plan.seed,
            sum(bank.transactions for bank in self.banks),
            kernel.steps,
            kernel.now_us // SECOND_US,
            kernel.trace.hexdigest(),
            kernel.coverage,
            self.kinds,
            violation,
        )

    def _let_happen(self) -> None:
        kernel, plan = self.kernel, self.plan
        for process in self.processes:
            process.start()
        for fault in plan.faults:
            kernel.later(fault.at_us, "fault", self._begin, fault)
        kernel.later(SECOND_US, "second", self._tick)
        self.operators.start()
        kernel.run(plan.load_us)
        for bank in self.banks:
            bank.stop_asking()
        kernel.run(plan.heal_us)
        self._heal()
        self._settle()
        for observer in kernel.observers:
            observer.on_end()

    def _settle(self) -> None:
        """Let the banks bring everything to its end, and all queues run empty."""
        kernel = self.kernel
        end_us = max([kernel.now_us, *(one.at_us + one.for_us for one in self._on)]) + self.plan.settle_us
        while kernel.now_us < end_us:
            kernel.run(kernel.now_us + SECOND_US)
            acting = self.operators.left or self.house.left
            if all(bank.settled for bank in self.banks) and not acting and not self.kept_open():
                kernel.run(kernel.now_us + QUIET_US)
                while kernel.now_us < end_us and any(count for _, count in self.broker.left()):
                    kernel.run(kernel.now_us + SECOND_US)  # a late frame has only just come
                return
        raise self._never_ended()

    def _never_ended(self) -> Violation:
        """Name what is still open, and show the first of each."""
        deals = {key: deal for bank in self.banks for key, deal in bank.views().items() if not deal.done}
        kept = self.kept_open()
        key = next(iter(deals)).text if deals else ",".join(kept[:3])
        says = f"{len(deals)} serials and {len(kept)} rows of nodes are open long after everything has healed"
        row = self.memory.journal.get(next(iter(deals))) if deals else None
        return Violation("I7", key, says, bank=next(iter(deals.values()), None), journal=row, nodes=kept[:5])

    def kept_open(self) -> list[str]:
        """Return the entries and charges that are still to be brought to an end by a node."""
        entries = [one for shelf in self.shelves for _, one in shelf.entries.values()]
        charges = [one for shelf in self.shelves for _, one in shelf.charges.values()]
        return [one.id for one in entries if not one.ended_us and one.state is not State.MANUAL] + [
            one.order for one in charges if not one.ended_us and one.state is not ChargeState.WAITING
        ]

    def _tick(self) -> None:
        for observer in self.kernel.observers:
            observer.on_tick()
        self.kernel.later(SECOND_US, "second", self._tick)

    # -- faults

    def _begin(self, fault: Fault) -> None:
        self.kinds[fault.kind] += 1
        self._on.append(fault)
        for observer in self.kernel.observers:
            observer.on_fault(fault, True)
        process = self._named.get(fault.target)
        if process is not None and fault.kind in _PROCESS_FAULTS:
            _PROCESS_FAULTS[fault.kind](self, process, fault)
        else:
            self._part(fault).begin_fault(fault)
        self.kernel.later(fault.for_us, "fault over", self._end, fault)

    def _end(self, fault: Fault) -> None:
        if fault not in self._on:
            return  # healed before
        self._on.remove(fault)
        for observer in self.kernel.observers:
            observer.on_fault(fault, False)
        process = self._named.get(fault.target)
        if process is not None and fault.kind in _PROCESS_FAULTS:
            self._restore(process, fault)
        else:
            self._part(fault).end_fault(fault)

    def _part(self, fault: Fault) -> Part:
        found = self._targets.get(fault.target)
        return found if found is not None else self.network  # a cut between two processes

    def _kill(self, process: Process, fault: Fault) -> None:
        self._arm(process, fault, process.kill)

    def _freeze(self, process: Process, fault: Fault) -> None:
        self._arm(process, fault, process.freeze)

    def _arm(self, process: Process, fault: Fault, blow: Callable[[], None]) -> None:
        """Let it happen between two effects, or, where none come, after a while."""
        process.arm(fault.strength + 1, blow)
        self.kernel.later(BLOWN_US, "blown", self._blow_late, process, process.life, blow)

    def _blow_late(self, process: Process, life: int, blow: Callable[[], None]) -> None:
        if process.armed and process.life == life:
            process.disarm()
            blow()

    def _deafen(self, process: Process, fault: Fault) -> None:
        process.freeze()

    def _jump(self, process: Process, fault: Fault) -> None:
        process.offset_us += fault.strength * SECOND_US

    def _drain(self, process: Process, fault: Fault) -> None:
        process.later(0, "drain", process.drain, True)

    def _restore(self, process: Process, fault: Fault) -> None:
        if fault.kind == "clock_jump":
            process.offset_us -= fault.strength * SECOND_US
        elif fault.kind == "drain":
            # One that stands still hears it when it goes on.
            process.later(0, "drain over", process.drain, False)
        elif fault.kind in ("freeze", "deaf"):
            process.disarm()
            process.thaw()
        else:
            process.disarm()
            if not any(one.target == fault.target and one.kind == "kill" for one in self._on):
                process.start()

    def _heal(self) -> None:
        """End every fault but those that outlast it; start whoever is down."""
        for fault in list(self._on):
            if fault.kind != "deaf":
                self._end(fault)
        deaf = {fault.target for fault in self._on}
        for process in [one for one in self.processes if one.name not in deaf]:
            process.disarm()
            process.thaw()
            process.start()
        for network, collector in zip(self.networks, self.collectors, strict=True):
            network.heal()
            collector.give_up()
        self.operators.healed = True

    # -- as operators see it

    def spaces(self) -> list[str]:
        """Return the serial spaces that have keys, in their order."""
        return sorted({key.space for key in self.database.memory.journal})

    def today(self) -> int:
        """Return the platform's date."""
        return business_date(self.kernel.wall_us, ZONE)


_PROCESS_FAULTS: dict[str, Callable[[World, Process, Fault], None]] = {
    "kill": World._kill,
    "freeze": World._freeze,
    "deaf": World._deafen,
    "clock_jump": World._jump,
    "drain": World._drain,
}
_DOUBLING = frozenset({"bank_frames_twice", "bank_frames_late"})


def limited(profile: "Profile", bank: BankPlan) -> "Profile":
    """Return the profile with the limits and instances that this run gives it."""
    limits = replace(
        profile.limits,
        in_flight=bank.in_flight or profile.limits.in_flight,
        rate_per_second=bank.per_second or profile.limits.rate_per_second,
    )
    return replace(profile, limits=limits, instances=bank.instances)


def _bank_limits(profile: "Profile") -> BankLimits:
    limits = profile.limits
    return BankLimits(
        in_flight=limits.in_flight, rate_per_second=limits.rate_per_second, burst=limits.rate_per_second
    )


def _month_before(date: int) -> int:
    year, month = divmod(date // 100, 100)
    return (year - 1) * 100 + 12 if month == 1 else date // 100 - 1
