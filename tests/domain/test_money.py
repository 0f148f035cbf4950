"""Amounts: what people may write, and that no fen is lost on the way there and back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qianzhi.domain.money import MoneyError, fen_from_yuan, yuan_from_fen


@given(st.integers(min_value=0, max_value=999_999_999_999))
def test_writing_and_reading_an_amount_loses_nothing(amount_fen):
    assert fen_from_yuan(yuan_from_fen(amount_fen)) == amount_fen


@pytest.mark.parametrize(("text", "fen"), [("50", 5000), ("50.5", 5050), ("0.05", 5), ("007.10", 710)])
def test_people_may_leave_out_decimals(text, fen):
    assert fen_from_yuan(text) == fen


@pytest.mark.parametrize(
    "bad", ["", ".5", "5.", "-1", "+1", "1_0", " 1", "1.001", "1e3", "1,000", "٥", "1.-1", "12345678901"]
)
def test_anything_else_is_refused_without_being_repeated(bad):
    with pytest.raises(MoneyError) as caught:
        fen_from_yuan(bad)
    assert not bad.strip() or bad not in str(caught.value)


def test_negative_balances_are_written_with_one_sign():
    assert yuan_from_fen(-5) == "-0.05"
    assert yuan_from_fen(-12345) == "-123.45"
