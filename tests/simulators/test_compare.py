"""Bank against journal: every way in which one key can disagree is found, and nothing else."""

from dataclasses import dataclass

import pytest

from qianzhi.domain.requests import Key, Kind
from simulators.compare import compare
from simulators.record import Debit, Outcome, Record

KEY = Key("icbc", 20260701, "1")


@dataclass
class Row:
    key: str
    state: str
    amount_fen: int


def record(outcome: Outcome | None, debit: Debit) -> Record:
    return Record(
        KEY, Kind.RECHARGE, "recharge", 1, "13800000001", "0102", 50_00, outcome=outcome, debit=debit
    )


APPROVED = record(Outcome.APPROVED, Debit.DEBITED)
REFUSED = record(Outcome.REFUSED, Debit.RETURNED)
REVERSED = record(Outcome.REVERSED, Debit.RETURNED)
LOST = record(None, Debit.UNKNOWN)


@pytest.mark.parametrize(
    ("bank", "state", "agrees"),
    [
        (APPROVED, "approved", True),
        (APPROVED, "reversed", False),
        (APPROVED, "", False),
        (REFUSED, "refused", True),
        (REFUSED, "blocked", True),
        (REFUSED, "", True),
        (REFUSED, "approved", False),
        (REVERSED, "reversed", True),
        (REVERSED, "approved", False),
        (LOST, "refused", False),
        (LOST, "", False),
    ],
)
def test_a_key_agrees_when_it_is_final_and_the_money_is_the_same(
    bank: Record, state: str, agrees: bool
) -> None:
    journal = [Row(KEY.text, state, 50_00)] if state else []
    comparison = compare([bank], journal)
    assert (comparison.keys, comparison.agreed) == (1, int(agrees))
    assert len(comparison.disagreements) == int(not agrees)


def test_another_amount_is_a_disagreement_that_names_the_key_and_no_customer() -> None:
    (found,) = compare([APPROVED], [Row(KEY.text, "approved", 49_99)]).disagreements
    assert found.key == KEY.text
    assert "13800000001" not in found.bank + found.core
