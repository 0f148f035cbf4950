"""`qianzhi simulate --seed N`: the whole system in one process, from a seed, with everything going wrong.

A failing seed is made smaller, kept as a file and told again as a timeline of the key that it is about.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from qianzhi.cli.output import BROKEN, USAGE, CommandError, say, show_table

if TYPE_CHECKING:
    from simulators.world.plan import Plan
    from simulators.world.run import Sum
    from simulators.world.timeline import Timeline
    from simulators.world.world import Ended

COVERED_SEEDS = 1_000  # from so many seeds on, every interleaving must have happened
SHOWN_EVERY = 50
EXPLAINED_MAX = 3
KEPT = Path("build/simulate")


def simulate_plan(config: Path, plan: "Plan", *, shrinking: bool) -> None:
    """Run one plan, say how it ended, and end with its trace hash; raises CommandError where a rule broke."""
    from simulators.world.run import run_plan

    told: list[Timeline] = []
    ended = run_plan(plan, config, told.append)
    faults = ", ".join(f"{kind} {n}" for kind, n in sorted(ended.kinds.items())) or "none"
    banks = ", ".join(f"{bank.name} ({'+'.join(bank.habits) or 'careful'})" for bank in plan.banks)
    say(f"seed {plan.seed}: {banks}; faults: {faults}")
    say(f"{ended.transactions} transactions, {ended.seconds} s of theirs, {ended.steps} events")
    if ended.violation is not None:
        _explain(config, plan, ended, told[0], shrinking=shrinking)
    say(f"trace hash: {ended.trace_hash}")
    if ended.violation is not None:
        raise CommandError(BROKEN, f"seed {plan.seed}: {ended.violation}")


def read_plan(path: Path) -> "Plan":
    """Read a plan that was kept; raises CommandError."""
    import msgspec

    from simulators.world.plan import Plan

    try:
        return Plan.read(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise CommandError(
            USAGE, f"{path}: {error.strerror}", "failing seeds leave theirs in build/simulate"
        ) from error
    except msgspec.MsgspecError as error:
        raise CommandError(USAGE, f"{path} is no plan: {error}") from error


def simulate_seeds(
    config: Path, seeds: range, jobs: int, requests: int, *, shrinking: bool, stopping: bool = False
) -> None:
    """Run many seeds, show what happened how often, explain the first that fail, and sum up.

    `stopping` runs none after the first that fails.  Raises CommandError where a rule broke, or an
    interleaving never happened in a run that is long enough.
    """
    from simulators.world.run import add_up, plan_of, run_seeds, until_failure
    from simulators.world.sequences import NAMES

    def each(seed: int, total: "Sum") -> None:
        if total.seeds % SHOWN_EVERY == 0:
            say(f"  {total.line}")
        if total.violations and total.violations[-1] == seed:
            say(f"  seed {seed} FAILS; again with: qianzhi simulate --seed {seed} --requests {requests}")

    results = run_seeds(seeds, config, jobs, requests)
    total = add_up(until_failure(results) if stopping else results, each)
    show_table(("interleaving", "times>"), [(name, total.coverage[name]) for name in NAMES])
    show_table(("fault", "times>"), sorted(total.kinds.items()))
    never = [name for name in NAMES if not total.coverage[name]]
    try:
        for seed in total.violations[:EXPLAINED_MAX]:
            try:
                simulate_plan(config, plan_of(seed, requests), shrinking=shrinking)
            except CommandError as error:
                say(error.what)
    finally:  # also where a seed has not even a world
        if total.seeds >= COVERED_SEEDS and never:
            say(f"never happened: {', '.join(never)}")
        say(total.line)
    if total.violations:
        raise CommandError(BROKEN, f"{len(total.violations)} seeds fail: {total.violations[:20]}")
    if total.seeds >= COVERED_SEEDS and never:
        raise CommandError(BROKEN, f"{len(never)} interleavings never happened")


def _explain(config: Path, plan: "Plan", ended: "Ended", told: "Timeline", *, shrinking: bool) -> None:
    """Make a failing plan smaller, keep it, and tell what happened to the key."""
    from simulators.world.run import name_of, run_plan, shrunk

    violation = ended.violation
    if shrinking:
        plan = shrunk(plan, name_of(ended), config)
        again: list[Timeline] = []
        violation = run_plan(plan, config, again.append).violation or violation
        told = again[0]
    KEPT.mkdir(parents=True, exist_ok=True)
    path = KEPT / f"seed-{plan.seed}.json"
    path.write_text(plan.text(), encoding="utf-8")
    size = f"{len(plan.faults)} faults, {sum(bank.requests for bank in plan.banks)} requests"
    say(f"shrunk to {size}" if shrinking else f"its plan has {size}")
    for fault in plan.faults:
        say(f"  {fault.at_us / 1_000_000:10.3f} s  {fault.text}")
    if violation is not None:
        _tell(told, violation.key)
        say(f"{violation.invariant} is broken: {violation.says}")
        for side, view in violation.views.items():
            say(f"  {side}: {view}")
    say(f"again with: qianzhi simulate --plan {path}")


def _tell(told: "Timeline", key: str) -> None:
    say(f"timeline of {key or 'all'}")
    for line in told.lines(key):
        say(line)
