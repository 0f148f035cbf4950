"""Whole simulated worlds: a hundred seeds, alike in every process, made smaller where they fail."""

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from crm_bridge import journal_decide
from qianzhi.cli.output import BROKEN, CommandError
from qianzhi.cli.simulating_world import simulate_seeds
from qianzhi.domain.requests import Kind
from qianzhi.ledger.invariant import InvariantError
from qianzhi.runtime.now import SECOND_US
from simulators.world import run
from simulators.world.banks import BankActor
from simulators.world.observe import Violation
from simulators.world.parts import BankPlan
from simulators.world.plan import MIDNIGHT_US, NEWEST, Plan
from simulators.world.run import (
    QUEUES,
    add_up,
    name_of,
    plan_of,
    run_plan,
    run_seed,
    run_seeds,
    until_failure,
)
from simulators.world.shrink import shrink
from simulators.world.timeline import Timeline
from simulators.world.world import Ended

ROOT = Path(__file__).parents[3]
CONFIG = ROOT / "config"
SEEDS = range(1, 101)
REQUESTS = 100
HASHED = 7
MIDNIGHT = NEWEST + MIDNIGHT_US


def test_a_hundred_seeds_break_no_rule() -> None:
    wrong: list[str] = []

    def looked(seed: int, total: object) -> None:
        pass

    def watched() -> "object":
        for seed, ended in run_seeds(SEEDS, CONFIG, os.cpu_count() or 1, REQUESTS):
            if name_of(ended):
                says = ended if isinstance(ended, BaseException) else ended.violation
                wrong.append(f"qianzhi simulate --seed {seed} --requests {REQUESTS}: {says!r}")
            yield seed, ended

    total = add_up(watched(), looked)  # type: ignore[arg-type]
    assert not wrong, "\n".join(wrong)
    assert total.seeds == len(SEEDS)
    assert total.transactions > 60 * len(SEEDS)
    assert len(total.kinds) > 25  # of all kinds of faults


@pytest.mark.parametrize("hash_seed", ["1", "2"])
def test_a_seed_is_the_same_run_in_every_process(hash_seed: str) -> None:
    here = run_plan(plan_of(HASHED, REQUESTS), CONFIG)
    there = subprocess.run(
        [
            sys.executable,
            "-m",
            "qianzhi.cli.main",
            "simulate",
            "--seed",
            str(HASHED),
            "--requests",
            str(REQUESTS),
        ],
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
        check=True,
    )
    assert there.stdout.splitlines()[-1] == f"trace hash: {here.trace_hash}"


def test_seeds_differ_and_a_plan_that_was_written_down_is_the_same_run() -> None:
    plan = plan_of(3, 40)
    again = Plan.read(plan.text())
    assert again == plan
    first, second = run_plan(plan, CONFIG), run_plan(again, CONFIG)
    assert first.trace_hash == second.trace_hash
    assert first.trace_hash != run_plan(plan_of(4, 40), CONFIG).trace_hash


def test_telling_a_run_changes_nothing_in_it() -> None:
    plan = plan_of(5, 60)
    told: list[Timeline] = []
    assert run_plan(plan, CONFIG, told.append).trace_hash == run_plan(plan, CONFIG).trace_hash
    assert told[0].lines("")


def test_a_failing_plan_is_made_smaller_until_nothing_can_be_left_out() -> None:
    plan = next(plan for seed in range(1, 99) if len((plan := plan_of(seed, 400)).faults) > 8)
    guilty = {plan.faults[2], plan.faults[6]}
    bank = plan.banks[-1].name

    def fails(candidate: Plan) -> bool:
        there = [one for one in candidate.banks if one.name == bank]
        return guilty <= set(candidate.faults) and bool(there) and there[0].requests > 10

    small = shrink(plan, fails)
    assert set(small.faults) == guilty
    assert [one.name for one in small.banks] == [bank]
    assert small.banks[0].requests < plan.banks[-1].requests
    assert (small.bridges, small.writers) == (1, 1)


def test_results_add_up_and_failures_are_named() -> None:
    good = Ended(1, 10, 0, 0, "", Counter({"repeat-in-flight": 2}), Counter({"kill": 1}), None)
    bad = good._replace(seed=2, violation=Violation("I2", "x/20260701/1", "credited twice"))
    total = add_up(iter([(1, good), (2, bad), (3, KeyError("x"))]), lambda seed, total: None)
    assert total.line == "simulate: 3 seeds, 20 transactions, 2 violations"
    assert total.violations == [2, 3]
    assert total.coverage == Counter({"repeat-in-flight": 4})
    assert [name_of(one) for one in (good, bad, KeyError("x"))] == ["", "I2", "KeyError"]
    upto = until_failure(iter([(1, good), (2, bad), (3, good)]))
    assert add_up(upto, lambda seed, total: None).seeds == 2


def test_a_request_that_fails_alone_for_a_fault_of_ours_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(journal: object, request: object) -> None:
        raise InvariantError("a posting does not balance")

    monkeypatch.setitem(journal_decide._DECIDE, Kind.RECHARGE, fails)
    violation = run_plan(plan_of(HASHED, 20), CONFIG).violation
    assert violation is not None
    assert (violation.invariant, violation.says) == ("rule 16", "InvariantError: a posting does not balance")


def test_whatever_falls_over_in_a_world_fails_its_seed_and_the_run_is_summed_up_all_the_same(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def falls(bank: object, line: int, items: object) -> None:
        raise KeyError("nobody has foreseen it")

    def here(seeds: range, config: Path, jobs: int, requests: int) -> "object":
        return ((seed, run_seed(seed, config, requests)) for seed in seeds)

    monkeypatch.chdir(tmp_path)  # where the plan is kept
    monkeypatch.setattr(run, "run_seeds", here)
    monkeypatch.setattr(BankActor, "came", falls)
    with pytest.raises(CommandError) as raised:
        simulate_seeds(CONFIG, range(HASHED, HASHED + 1), 1, 20, shrinking=False)
    assert raised.value.code == BROKEN
    says = capsys.readouterr().out
    assert "KeyError is broken: something fell over: 'nobody has foreseen it'" in says
    assert "timeline of all" in says
    assert "in falls" in says  # where that was
    assert says.rstrip().splitlines()[-1].endswith(" transactions, 1 violations")
    kept = Plan.read(Path("build/simulate", f"seed-{HASHED}.json").read_text(encoding="utf-8"))
    assert name_of(run_plan(kept, CONFIG)) == "KeyError"


def test_plans_draw_what_befalls_both_nodes_at_once_and_clocks_of_banks_that_are_off() -> None:
    plans = [plan_of(seed) for seed in range(1, 300)]
    for kind in ("kill", "freeze"):
        pairs = [[one.target for one in plan.faults if one.kind == kind] for plan in plans]
        assert sum({"node-1", "node-2"} <= set(targets) for targets in pairs) > 30
    together = [
        {(one.at_us, one.for_us) for one in plan.faults if one.kind == "freeze" and one.target == node}
        for plan in plans
        for node in ("node-1", "node-2")
    ]
    assert sum(bool(first & second) for first, second in zip(together[::2], together[1::2], strict=True)) > 30
    off = [(bank.name in QUEUES, bank.offset_us // SECOND_US) for plan in plans for bank in plan.banks]
    assert any(seconds < -60 for queued, seconds in off if not queued)
    assert any(seconds > 60 for queued, seconds in off if queued)
    assert all(seconds > -30 for queued, seconds in off if queued)  # or all that it sends has expired


def test_a_bank_whose_clock_is_off_by_minutes_is_served_on_either_side_of_midnight() -> None:
    for off_us in (-900 * SECOND_US, 900 * SECOND_US):
        bank = BankPlan("hz_citic", requests=60, rate=3, habits=("careful",), offset_us=off_us)
        for epoch_us in (MIDNIGHT, MIDNIGHT - 20 * SECOND_US):
            ended = run_plan(Plan(1, epoch_us, (bank,)), CONFIG)
            assert ended.violation is None, str(ended.violation)
            assert ended.transactions > 40


def test_plans_end_every_fault_before_they_are_healed_or_by_it_and_name_whom_there_is() -> None:
    for seed in range(1, 300):
        plan = plan_of(seed)
        assert sum(bank.requests for bank in plan.banks) > 400
        assert all(0 <= fault.at_us < plan.heal_us and fault.for_us > 0 for fault in plan.faults)
        assert plan.heal_us - plan.load_us == 10 * SECOND_US


def test_a_banks_notice_moves_the_date_of_what_carries_none_before_midnight() -> None:
    evening_us = NEWEST + 3_600 * SECOND_US
    bank = BankPlan("undated", requests=60, rate=4, habits=("careful",), notice_us=5 * SECOND_US)
    noticed = run_plan(Plan(1, evening_us, (bank,)), CONFIG)
    unnoticed = run_plan(Plan(1, evening_us, (bank._replace(notice_us=0),)), CONFIG)
    assert (noticed.violation, unnoticed.violation) == (None, None)
    assert noticed.coverage["cutover-by-notice"] > 10
    assert unnoticed.coverage["cutover-by-notice"] == 0
