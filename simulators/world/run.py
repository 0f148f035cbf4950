"""Runs of simulated worlds: what they take from files, one seed, many seeds on several processes.

The one module of this package that reads files and makes chance; what happens in a world is its plan's and
its seed's alone.
"""

import gc
import multiprocessing
from collections import Counter, deque
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from itertools import islice
from pathlib import Path
from random import Random  # noqa: TID251 - the seed's numbers come from here, and from nowhere else
from typing import NamedTuple

from crm_bridge.settings import CoreSettings
from frontends.profile import load_profile, resolve_keys
from simulators.world.checks import Checks
from simulators.world.coverage import Coverage
from simulators.world.coverage_charges import ChargeCoverage
from simulators.world.habits import HABITS
from simulators.world.kernel import Dice
from simulators.world.plan import Offer, Plan, make_plan
from simulators.world.shrink import shrink
from simulators.world.timeline import Timeline
from simulators.world.world import Ended, Given, World

REQUESTS = 560  # serials of one seed, of which some never begin; two thousand seeds come to a million
SOCKETS = (
    *("hz_ceb", "hz_citic", "lianlian", "nb_ccb", "nb_ceb"),
    *("psbc", "unionpay_web", "wenzhou", "zhenghe", "zongheng"),
)
QUEUES: tuple[str, ...] = ("abc", "boc", "bocom", "cboss", "ccb", "cmb", "icbc")
NETWORKS = ("unet", "vnet", "mnet", "lnet")
OWN = ("short", "undated")  # dialects of this package alone: quick ones, one with dates and one without
NOTICED = frozenset({"undated"})
DIALECTS = Path(__file__).with_name("dialects")
AHEAD = 2  # seeds that are handed out for each process, so that none waits for the next one


def offer() -> Offer:
    """Return what plans choose from."""
    parts = tuple((name, 1) for name in (*SOCKETS, *QUEUES)) + tuple((name, 14) for name in OWN)
    paired = frozenset((*SOCKETS, *OWN))
    habits = tuple(habit.name for habit in HABITS)
    return Offer(parts, habits, paired, frozenset(QUEUES), NETWORKS, NOTICED, frozenset(OWN))


@cache
def given(config: Path) -> Given:
    """Read what worlds take from files; raises ValueError naming the first thing that is wrong there."""
    profiles, keys = {}, {}
    for name in (*SOCKETS, *QUEUES, *OWN, *NETWORKS):
        profile, problems = load_profile(DIALECTS if name in OWN else config, name, rehearsed=False)
        if profile is None:
            raise ValueError(f"the bank {name} cannot be simulated: {problems[0]}")
        profiles[name] = profile
        keys[name] = resolve_keys(profile, config, production=False)
    return Given(profiles, keys, CoreSettings(database="sqlite:///none", day_closes="00:01", fence_minutes=1))


def plan_of(seed: int, requests: int = REQUESTS) -> Plan:
    """Return what a seed means."""
    return make_plan(seed, offer(), Dice(_stream(seed, "plan")), requests)


def _stream(seed: int, name: str) -> Random:
    """Return the numbers of one part of one seed's world; a text seeds alike in every process."""
    return Random(f"{seed}/{name}")  # noqa: S311 - a simulation is to be repeated


def run_plan(plan: Plan, config: Path, timeline: Callable[[Timeline], None] | None = None) -> Ended:
    """Let one plan happen; `timeline` is given all that happened.  What falls over in it is its violation."""
    telling = timeline is not None
    world = World(plan, given(config), lambda name: _stream(plan.seed, name), telling=telling)
    observers = [Checks(world, left=world.broker.left), Coverage(world), ChargeCoverage(world)]
    told = Timeline(world.kernel)
    collecting = gc.isenabled()
    gc.disable()  # a run is short, and what it leaves is given back at once
    try:
        ended = world.run([told, *observers] if telling else observers)
    finally:
        if collecting:
            gc.enable()
    if timeline is not None:
        timeline(told)
    return ended


def name_of(result: Ended | BaseException) -> str:
    """Return in which way a run failed, empty where it did not; one that had no world fails by its error."""
    if isinstance(result, BaseException):
        return type(result).__name__
    return result.violation.invariant if result.violation is not None else ""


def shrunk(plan: Plan, failed: str, config: Path) -> Plan:
    """Return a smaller plan that fails in the same way."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, context) as pool:

        def fails(candidate: Plan) -> bool:
            future = pool.submit(run_plan, candidate, config)
            error = future.exception()
            return name_of(error if error is not None else future.result()) == failed

        return shrink(plan, fails)


def run_seed(seed: int, config: Path, requests: int = REQUESTS) -> Ended:
    """Let one seed happen."""
    return run_plan(plan_of(seed, requests), config)


def _prepare(config: Path) -> None:
    """Begin a process that runs many seeds: what all of them share is never searched for garbage."""
    given(config)
    gc.collect()
    gc.freeze()


def run_seeds(
    seeds: range, config: Path, jobs: int, requests: int = REQUESTS
) -> Iterator[tuple[int, Ended | BaseException]]:
    """Run seeds on `jobs` processes; yield each with how it ended, or with what fell over, in their order.

    Whoever takes no more of them lets no more of them run than are under way.
    """
    context = multiprocessing.get_context("spawn")  # nothing of this process is taken over by chance
    with ProcessPoolExecutor(jobs, context, _prepare, (config,)) as pool:
        waiting = iter(seeds)
        futures = deque(
            (seed, pool.submit(run_seed, seed, config, requests)) for seed in islice(waiting, AHEAD * jobs)
        )
        while futures:
            seed, future = futures.popleft()
            error = future.exception()
            futures.extend(
                (more, pool.submit(run_seed, more, config, requests)) for more in islice(waiting, 1)
            )
            yield seed, error if error is not None else future.result()


def until_failure(
    results: Iterator[tuple[int, Ended | BaseException]],
) -> Iterator[tuple[int, Ended | BaseException]]:
    """Yield results up to the first that fails."""
    for seed, ended in results:
        yield seed, ended
        if name_of(ended):
            return


class Sum(NamedTuple):
    """What many seeds come to."""

    seeds: int
    transactions: int
    violations: list[int]
    coverage: Counter[str]
    kinds: Counter[str]

    @property
    def line(self) -> str:
        """The last line of a run."""
        broken = len(self.violations)
        return f"simulate: {self.seeds} seeds, {self.transactions} transactions, {broken} violations"


def add_up(results: Iterator[tuple[int, Ended | BaseException]], each: Callable[[int, Sum], None]) -> Sum:
    """Add results up; `each` hears of every one."""
    total = Sum(0, 0, [], Counter(), Counter())
    for seed, ended in results:
        wrong = name_of(ended) != ""
        if not isinstance(ended, BaseException):
            total.coverage.update(ended.coverage)
            total.kinds.update(ended.kinds)
            total = total._replace(transactions=total.transactions + ended.transactions)
        if wrong:
            total.violations.append(seed)
        total = total._replace(seeds=total.seeds + 1)
        each(seed, total)
    return total
