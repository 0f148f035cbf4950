"""Banks, journal and books that disagree at the end of a run are found out, and open breaks explain them."""

import msgspec
import pytest

from qianzhi.domain.requests import Kind, Request
from simulators.record import Debit, Outcome
from simulators.world import checks_end
from simulators.world.checks_bench import PHONE, Bench, asking, bank_of, deal_of
from simulators.world.checks_end import Party, compare
from simulators.world.observe import Violation


@pytest.fixture
def bench() -> Bench:
    return Bench()


def break_of(kind: Kind) -> Request:
    return msgspec.structs.replace(asking(kind), reason="unreversed", stamp_us=1)


@pytest.mark.parametrize(
    ("outcome", "debit", "reverse", "invariant", "says"),
    [
        (Outcome.REFUSED, Debit.RETURNED, False, "I1", "refused, and it is credited"),
        (Outcome.REVERSED, Debit.RETURNED, False, "I3", "credited still after a completed reversal"),
        (Outcome.APPROVED, Debit.DEBITED, True, "I3", "told of success, and the money is not credited"),
        (Outcome.APPROVED, Debit.UNKNOWN, False, "I7", "still open"),
    ],
)
def test_a_bank_and_a_core_that_disagree_are_named(
    bench: Bench, outcome: Outcome, debit: Debit, reverse: bool, invariant: str, says: str
) -> None:
    bench.ask()
    if reverse:
        bench.ask(asking(Kind.REVERSAL))
    with pytest.raises(Violation) as found:
        compare(bank_of(deal_of(outcome, debit)), bench.memory, bench.find)
    assert found.value.invariant == invariant
    assert says in found.value.says
    assert {"bank", "journal"} <= set(found.value.views)


def test_money_that_no_bank_knows_of_is_an_unexplained_difference(bench: Bench) -> None:
    bench.ask()
    with pytest.raises(Violation, match=r"I12 .*nobody asked for them"):
        compare(bank_of(), bench.memory, bench.find)


def test_a_customer_who_paid_more_than_was_credited_is_named(bench: Bench) -> None:
    bench.ask()
    deal = deal_of(Outcome.APPROVED, Debit.DEBITED)
    with pytest.raises(Violation, match=f"I12 {PHONE}: 1500 fen debited, 1000 credited, nothing open"):
        compare([Party("bank", [deal], {PHONE: 1_500})], bench.memory, bench.find)


def test_a_kept_total_that_is_not_the_journals_is_named(bench: Bench) -> None:
    bench.ask()
    (day,) = bench.memory.totals
    bench.memory.totals[day] = bench.memory.totals[day]._replace(approved_fen=1)
    with pytest.raises(Violation, match=r"I12 0101/20260701: journal 1000, books 1000, kept totals 1 fen"):
        compare(bank_of(deal_of(Outcome.APPROVED, Debit.DEBITED)), bench.memory, bench.find)


def test_a_difference_with_an_open_break_is_explained_and_one_that_is_mended_is_not(bench: Bench) -> None:
    bench.ask()
    deal = deal_of(Outcome.REFUSED, Debit.RETURNED)
    bench.ask(break_of(Kind.BREAK))
    compare(bank_of(deal), bench.memory, bench.find)
    bench.ask(break_of(Kind.MEND))
    with pytest.raises(Violation, match="I1 "):
        compare(bank_of(deal), bench.memory, bench.find)


def test_what_stays_in_a_queue_is_named() -> None:
    checks_end.drained([("queue", 0)])
    with pytest.raises(Violation, match="I8 saf/1: 3 are left"):
        checks_end.drained([("queue", 0), ("saf/1", 3)])
