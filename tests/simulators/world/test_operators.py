"""Operators of the simulated world: they close days and see to entries, whatever dies meanwhile."""

from collections import Counter
from pathlib import Path
from random import Random  # noqa: TID251 - the tests bring the seeds

from crm_bridge.operators.acts import ActKind
from qianzhi.runtime.now import SECOND_US
from simulators.world.checks_order import chain
from simulators.world.faults import Fault
from simulators.world.parts import BankPlan, NetworkPlan
from simulators.world.plan import NEWEST, Plan
from simulators.world.run import given
from simulators.world.world import World

CONFIG = Path(__file__).parents[3] / "config"


def test_operators_close_days_and_retry_what_was_put_aside_while_nodes_die() -> None:
    bank = BankPlan("short", requests=10, rate=1)
    network = NetworkPlan("unet", charges=24, phone_first=13_700_000_000, late=300, silent=300, odd=500)
    kills = tuple(
        Fault("kill", f"node-{1 + number % 2}", (10 + 9 * number) * SECOND_US, SECOND_US, 5)
        for number in range(5)
    )
    plan = Plan(1, NEWEST + SECOND_US, (bank,), kills, (network,))
    world = World(plan, given(CONFIG), lambda name: Random(f"operators/{name}"))
    ended = world.run([])
    assert ended.violation is None
    entries = world.house.acts.entries
    said = Counter(entry.what for entry in entries)
    assert said["act done"] == said["act approved"] == said["act proposed"] > 5
    kinds = {act.kind for act in world.house.acts.acts.values()}
    assert {ActKind.SAF_RETRY, ActKind.DAY_CLOSE} <= kinds
    chain(entries)
