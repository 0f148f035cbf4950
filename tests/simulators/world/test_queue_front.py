"""A bank on a queue through a whole simulated world, while its broker and its fronts do their worst."""

from collections import Counter
from pathlib import Path

import pytest

from simulators.world.faults import Fault
from simulators.world.parts import BankPlan
from simulators.world.plan import Plan
from simulators.world.run import run_plan

CONFIG = Path(__file__).parents[3] / "config"
SECOND = 1_000_000
BANK = BankPlan("icbc", 60, 2, ("careful",), customers=8)
LOAD = 40 * SECOND


def run(seed: int, *faults: Fault, instances: int = 1) -> Counter[str]:
    """Let a bank ask, with these faults; return what was seen to happen.  No rule is broken."""
    plan = Plan(
        seed,
        1_782_900_000_000_000,
        (BANK._replace(instances=instances),),
        tuple(sorted(faults, key=lambda fault: fault.at_us)),
        load_us=LOAD,
        heal_us=LOAD + 10 * SECOND,
        settle_us=300 * SECOND,
    )
    ended = run_plan(plan, CONFIG)
    assert ended.violation is None, str(ended.violation)
    assert ended.transactions > 20
    return ended.coverage


def whole(kind: str, strength: int) -> Fault:
    return Fault(kind, "broker", 0, LOAD, strength)


@pytest.mark.parametrize(
    ("faults", "sequence"),
    [
        ([whole("confirm_lost", 100)], "confirm-lost"),
        ([Fault("reply_queue_gone", "broker", 5 * SECOND, 5 * SECOND)], "reply-unroutable"),
        ([whole("poison", 60)], "poison-backed-out"),
        (
            [Fault("kill", "front-icbc-1", n * SECOND, SECOND, 2) for n in range(4, 36, 4)],
            "redelivery-after-crash",
        ),
        (
            [Fault("cut", "front-icbc-1", 5 * SECOND, 10 * SECOND, 0, f"node-{n}") for n in (1, 2)],
            "paused-queue-served-later",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_rules_eight_and_nine_exist_for_happens_and_breaks_nothing(
    faults: list[Fault], sequence: str
) -> None:
    assert run(5, *faults)[sequence] > 0


def test_queues_that_are_deleted_are_declared_again_and_what_was_in_them_is_asked_again() -> None:
    faults = [Fault("queue_gone", "broker", n * SECOND, SECOND) for n in range(2, 38, 2)]
    lone = [fault for fault in faults if fault.at_us == 20 * SECOND]
    cut = [Fault("cut", "front-icbc-1", 18 * SECOND, 10 * SECOND, 0, f"node-{n}") for n in (1, 2)]
    run(7, *faults)
    run(7, *lone, *cut)  # while messages wait in a queue that is not read
    run(8, *faults, instances=2)


def test_messages_that_are_damaged_on_their_way_are_nobodys() -> None:
    run(9, whole("body_broken", 200))


def test_what_a_poisoned_message_is_known_by_may_be_torn_and_it_is_put_aside_all_the_same() -> None:
    torn = [Fault("torn", f"disk/{n}", 0, LOAD, 400) for n in (1, 2)]
    assert run(5, whole("poison", 60), *torn)["poison-backed-out"] > 0


def test_two_fronts_on_one_queue_take_each_others_deliveries_over() -> None:
    faults = [Fault("kill", f"front-icbc-{1 + n % 2}", n * SECOND, SECOND, 3) for n in range(3, 36, 3)]
    found = run(6, *faults, whole("redelivery", 50), whole("duplicate", 50), whole("nack", 50), instances=2)
    assert found["redelivery-after-crash"] > 0
