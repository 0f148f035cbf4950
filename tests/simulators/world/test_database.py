"""Two bridges on one model database: what interleaves, what is lost, and what never is."""

from collections.abc import Callable

import pytest

from qianzhi.domain.requests import Key, Kind
from qianzhi.domain.results import Result
from tests.simulators.world.bridges_bench import PHONES, SECOND, TODAY, Bench, request


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_a_request_is_carried_out_and_its_repeat_at_another_bridge_gets_the_same_answer(bench: Bench) -> None:
    (first,) = bench.ask(0, request(1))
    bench.run(1)
    (again,) = bench.ask(1, request(1))
    bench.run(1)
    assert (bench.said(first), bench.said(again)) == ("APPROVED", "APPROVED")
    assert bench.answers[first][1].order == bench.answers[again][1].order  # type: ignore[union-attr]
    assert bench.balance(PHONES[0]) == 1000


def test_two_copies_side_by_side_at_two_bridges_are_one_credit(bench: Bench) -> None:
    bench.ask(0, request(1), request(2))
    bench.ask(1, request(2), request(1))
    bench.run(1)
    assert [bench.said(n) for n in range(4)] == ["APPROVED"] * 4
    assert bench.balance(PHONES[0]) == 2000
    assert bench.kernel.coverage["same-serial-twice-at-once"] > 0


def test_transactions_on_other_accounts_stand_side_by_side(bench: Bench) -> None:
    bench.fault("slow_database", 500)
    bench.ask(0, request(1, phone=PHONES[0]))
    bench.ask(1, request(2, phone=PHONES[1]))
    both = False
    for _ in range(3_000):
        bench.run(0.001)
        both = both or len(bench.database._open) == 2
    assert both
    assert {bench.said(0), bench.said(1)} == {"APPROVED"}


@pytest.mark.parametrize("written", [True, False])
@pytest.mark.parametrize("seed", range(8))
def test_an_unknown_commit_ends_as_one_credit_however_late_it_lands(seed: int, written: bool) -> None:
    bench = Bench(seed)
    fault = bench.fault("commit_unknown_written" if written else "commit_unknown_lost", 1_000)
    (number,) = bench.ask(0, request(1))
    bench.run(0.004)
    bench.database.end_fault(fault)
    bench.run(30)
    assert bench.said(number) == "APPROVED"
    assert bench.balance(PHONES[0]) == 1000
    name = "commit-unknown-written" if written else "commit-unknown-lost"
    assert bench.kernel.coverage[name] >= 1


def test_a_commit_that_lands_late_keeps_others_waiting_until_it_has(bench: Bench) -> None:
    """The first bridge has given up; the second must not decide before the ghost has come to its end."""
    for seed in range(20):
        bench = Bench(seed)
        fault = bench.fault("commit_unknown_written", 1_000)
        bench.ask(0, request(1), budget_ms=60_000)
        bench.run(0.004)
        bench.database.end_fault(fault)
        ghosts = [one for one in bench.database._open if one.client_gone]
        bench.bridges[0].kill()
        (other,) = bench.ask(1, request(1, Kind.STATUS), budget_ms=60_000)
        bench.run(40)
        approved = bench.balance(PHONES[0]) == 1000
        assert bench.said(other) == ("APPROVED" if approved else "NOT_FOUND")
        if ghosts:
            assert approved


@pytest.mark.parametrize("kind", ["database_restart", "failover"])
def test_what_was_answered_is_there_after_the_server_died_and_what_was_not_is_settled(kind: str) -> None:
    for seed in range(12):
        bench = Bench(seed, writers=2)
        numbers = []
        for serial in range(60):
            numbers += bench.ask(serial % 2, request(serial, phone=PHONES[serial % 6]))
            bench.run(0.0007)
        before = {n for n in numbers if n in bench.answers}
        fault = bench.fault(kind)
        bench.run(2)
        bench.database.end_fault(fault)
        bench.run(30)
        assert before
        assert len(before) < len(numbers)
        assert {bench.said(n) for n in numbers} == {"APPROVED"}
        assert sum(bench.balance(phone) for phone in PHONES) == 60_000


def test_what_stood_on_a_primary_without_standby_goes_with_it_and_nobody_was_told(bench: Bench) -> None:
    cut = bench.fault("standby_cut")
    (lost,) = bench.ask(0, request(1), budget_ms=3_000)
    bench.run(2)
    assert lost not in bench.answers
    assert bench.balance(PHONES[0]) == 0
    bench.run(4)
    assert bench.balance(PHONES[0]) == 1000  # committed here, and told as uncertain
    failover = bench.fault("failover")
    assert bench.balance(PHONES[0]) == 0
    bench.run(1)
    bench.database.end_fault(failover)
    bench.database.end_fault(cut)
    bench.run(40)
    assert bench.said(lost) in ("BLOCKED", "UNKNOWN")
    assert bench.balance(PHONES[0]) == 0
    (again,) = bench.ask(1, request(1, Kind.STATUS))
    bench.run(2)
    assert bench.said(again) in ("BLOCKED", "NOT_FOUND")


def test_a_standby_that_comes_back_lets_waiting_commits_be_confirmed(bench: Bench) -> None:
    cut = bench.fault("standby_cut")
    (number,) = bench.ask(0, request(1))
    bench.run(1)
    assert number not in bench.answers
    bench.database.end_fault(cut)
    bench.run(1)
    assert bench.said(number) == "APPROVED"


@pytest.mark.parametrize("kind", ["deadlock", "serialization"])
def test_a_batch_that_others_stand_in_the_way_of_is_carried_out_again(kind: str, bench: Bench) -> None:
    bench.fault(kind, 500)
    numbers = []
    for n in range(12):
        numbers += bench.ask(0, request(n, phone=PHONES[n % 6]))
        bench.run(1)
    assert {bench.said(n) for n in numbers} == {"APPROVED"}
    assert bench.kernel.coverage["batch-again-after-conflict"] > 0


def test_a_bad_request_is_blocked_alone(bench: Bench) -> None:
    bench.fault("bad_request", 120)
    numbers = bench.ask(0, *(request(n, phone=PHONES[n % 6]) for n in range(40)))
    bench.run(10)
    said = [bench.said(n) for n in numbers]
    assert set(said) == {"APPROVED", "QUARANTINED"}
    assert sum(bench.balance(phone) for phone in PHONES) == 1000 * said.count("APPROVED")


@pytest.mark.parametrize("kind", ["read_only", "database_full", "database_restart"])
def test_while_nothing_can_be_written_new_money_is_refused_and_what_waits_is_served_after(
    kind: str, bench: Bench
) -> None:
    bench.run(1)
    fault = bench.fault(kind)
    (waiting,) = bench.ask(0, request(1))
    bench.run(5)
    (late,) = bench.ask(0, request(2))
    bench.run(0.01)
    assert bench.said(late) == "DRAINING"
    assert waiting not in bench.answers
    bench.database.end_fault(fault)
    bench.run(5)
    assert bench.said(waiting) == "APPROVED"
    (after,) = bench.ask(0, request(3))
    bench.run(1)
    assert bench.said(after) == "APPROVED"


def test_a_bridge_whose_clock_is_wrong_takes_nothing(bench: Bench) -> None:
    bench.bridges[0].offset_us = 3_600 * SECOND
    bench.run(4)
    (number,) = bench.ask(0, request(1))
    bench.run(0.1)
    assert bench.said(number) == "DRAINING"
    bench.bridges[0].offset_us = 0
    bench.run(2)
    (number,) = bench.ask(0, request(1))
    bench.run(1)
    assert bench.said(number) == "APPROVED"


def test_a_bridge_that_stands_still_in_mid_transaction_loses_it_and_does_it_again(bench: Bench) -> None:
    (held,) = bench.ask(0, request(1))
    while not any(one.batch for one in bench.database._open):
        bench.run(0.0001)
    bench.bridges[0].freeze()
    (other,) = bench.ask(1, request(2))  # the same account
    bench.run(8)
    assert bench.said(other) == "APPROVED"
    bench.bridges[0].thaw()
    bench.run(5)
    assert bench.said(held) == "APPROVED"
    assert bench.balance(PHONES[0]) == 2000


def test_a_database_of_one_transaction_at_a_time_is_waited_for() -> None:
    bench = Bench(bridges=1, whole=True)
    numbers = bench.ask(0, *(request(n) for n in range(5)))
    bench.run(1)
    assert {bench.said(n) for n in numbers} == {"APPROVED"}


def test_equal_seeds_are_equal_runs() -> None:
    def trace(run: Callable[[int], Bench]) -> str:
        return run(3).kernel.trace.hexdigest()

    def run(seed: int) -> Bench:
        bench = Bench(seed)
        bench.fault("commit_unknown_written", 200)
        bench.fault("slow_database", 50)
        for serial in range(40):
            bench.ask(serial % 2, request(serial // 2, phone=PHONES[serial % 6]))
            bench.run(0.01)
        bench.run(30)
        return bench

    assert trace(run) == trace(run)
    assert trace(run) != run(4).kernel.trace.hexdigest()


def test_a_key_is_what_it_was(bench: Bench) -> None:
    bench.ask(0, request(7))
    bench.run(1)
    row = bench.database.memory.journal[Key("icbc", TODAY, "000007")]
    assert Result(row.result) is Result.APPROVED
    assert bench.commits.rows == [("bridge-1", row)]
