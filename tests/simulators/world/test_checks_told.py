"""A front that tells a bank what the journal does not bear out is found out."""

import pytest

from qianzhi.domain.requests import Kind
from qianzhi.domain.results import Result
from qianzhi.runtime.effects import Event
from simulators.record import Debit, Heard, Outcome
from simulators.scenario import Step
from simulators.world.banks_deals import HeardAt
from simulators.world.checks_bench import KEY, NOW, Bench, asking, deal_of
from simulators.world.observe import Violation


@pytest.fixture
def bench() -> Bench:
    return Bench()


def said(bench: Bench, kind: str, result: Result) -> None:
    rows = [
        Event(NOW.wall_us, "in", KEY.text, "t1", {"kind": kind}),
        Event(NOW.wall_us, "out", KEY.text, "t1", {"result": result.name.lower()}),
    ]
    bench.told.rows("bank", rows)


@pytest.mark.parametrize(
    ("kind", "result", "invariant"),
    [
        ("recharge", Result.APPROVED, "I3"),
        ("recharge", Result.REVERSED, "I5"),
        ("recharge", Result.NO_SUCH_PHONE, "r7"),
        ("recharge", Result.CLOSED_HOURS, "r7"),
        ("recharge", Result.DUPLICATE_SERIAL, "r7"),
        ("status", Result.APPROVED, "I3"),
        ("status", Result.NOT_FOUND, "I6"),
        ("reversal", Result.APPROVED, "I3"),
        ("reversal", Result.NOT_FOUND, "I6"),
    ],
)
def test_a_word_that_the_journal_does_not_bear_out_is_named(
    bench: Bench, kind: str, result: Result, invariant: str
) -> None:
    with pytest.raises(Violation) as found:
        said(bench, kind, result)
    assert (found.value.invariant, found.value.key) == (invariant, KEY.text)


def test_words_that_the_journal_bears_out_pass(bench: Bench) -> None:
    said(bench, "recharge", Result.BUSY)  # it may come again
    said(bench, "recharge", Result.UNKNOWN)
    bench.ask()
    said(bench, "recharge", Result.APPROVED)
    said(bench, "status", Result.APPROVED)
    bench.ask(asking(Kind.REVERSAL))
    said(bench, "reversal", Result.APPROVED)
    said(bench, "recharge", Result.REVERSED)
    said(bench, "recharge", Result.APPROVED)  # a late word of before


def test_nothing_found_is_not_said_of_money_that_stands(bench: Bench) -> None:
    bench.ask()
    with pytest.raises(Violation, match="a status is told that there is nothing, and it stands"):
        said(bench, "status", Result.NOT_FOUND)
    with pytest.raises(Violation, match="a reversal is told that there is nothing, and it stands"):
        said(bench, "reversal", Result.NOT_FOUND)


def test_other_content_that_is_told_approved_is_named(bench: Bench) -> None:
    reply = bench.ask()
    bench.told.executed(asking(), reply)
    with pytest.raises(Violation, match=r"rule 3 .*not the row's"):
        bench.told.executed(asking(amount_fen=2_000), reply)


def test_an_answer_that_changes_between_two_copies_is_named(bench: Bench) -> None:
    deal = deal_of(Outcome.APPROVED, Debit.DEBITED)

    def hear(result: Result, order: str = "Q1") -> None:
        bench.told.heard(HeardAt("bank", deal, Step.REPEAT, Heard(1, "00", result, order=order), True))

    hear(Result.APPROVED)
    hear(Result.UNKNOWN)
    hear(Result.REVERSED)
    with pytest.raises(Violation, match=r"I5 .*REVERSED became NO_SUCH_PHONE"):
        hear(Result.NO_SUCH_PHONE)


def test_another_order_in_a_repeated_answer_is_named(bench: Bench) -> None:
    deal = deal_of(Outcome.APPROVED, Debit.DEBITED)
    for order in ("Q1", "Q1"):
        bench.told.heard(
            HeardAt("bank", deal, Step.REPEAT, Heard(1, "00", Result.APPROVED, order=order), True)
        )
    with pytest.raises(Violation, match="approved as Q1, then as Q2"):
        bench.told.heard(
            HeardAt("bank", deal, Step.REPEAT, Heard(1, "00", Result.APPROVED, order="Q2"), True)
        )
