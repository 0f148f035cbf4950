import pytest
from hypothesis import given
from hypothesis import strategies as st

from qianzhi.billing.bills import MonthBill, Tariff, due_date, late_fee_fen, quote
from qianzhi.billing.orders import order_serial, order_serials

TARIFF = Tariff(per_day=5, free_days=3)


@pytest.mark.parametrize(
    ("today", "fee"),
    [
        (20260919, 0),
        (20260920, 0),
        (20260923, 0),  # three days are free
        (20260924, 4),  # 9999 * 5 / 10000 = 4.9995, cut down
        (20260925, 9),
        (20270920, 1809),  # 362 days
        (20990101, 9999),  # never above the principal
    ],
)
def test_late_fee_by_hand(today, fee):
    assert late_fee_fen(9_999, 20260920, today, TARIFF) == fee


def test_a_quote_is_principal_and_the_fee_of_the_day():
    bill = quote(MonthBill("B1", 1, 202608, 10_000, 20260920), 20260927, TARIFF)
    assert (bill.serial, bill.month, bill.principal_fen, bill.late_fee_fen, bill.total_fen) == (
        "B1",
        202608,
        10_000,
        20,
        10_020,
    )


@pytest.mark.parametrize(("month", "due"), [(202608, 20260920), (202612, 20270120), (202602, 20260320)])
def test_a_bill_falls_due_in_the_month_after(month, due):
    assert due_date(month, 20) == due


@given(st.integers(1, 10**9), st.integers(0, 100), st.integers(0, 400), st.integers(0, 400))
def test_late_fees_only_grow(principal, rate, first, more):
    from datetime import date, timedelta

    def fee(days):
        today = int((date(2026, 1, 1) + timedelta(days)).strftime("%Y%m%d"))
        return late_fee_fen(principal, 20260101, today, Tariff(rate))

    assert 0 <= fee(first) <= fee(first + more) <= principal
    assert fee(1) == min(principal, principal * rate // 10_000)


def test_a_work_order_has_twelve_characters():
    assert order_serial("Q", 1) == "Q00000000001"
    assert order_serial("", 123456789012) == "123456789012"


@pytest.mark.parametrize("prefix", ["", "Q", "ABC"])
def test_many_work_orders_are_called_as_each_alone(prefix):
    numbers = [*range(12), *range(990, 1_012), 10**9 - 1, 10**8, 7, *range(99_998, 100_003), 5_000, 5_001]
    assert order_serials(prefix, numbers) == [order_serial(prefix, number) for number in numbers]
    assert order_serials(prefix, range(1_999, 2_002)) == [
        order_serial(prefix, n) for n in range(1_999, 2_002)
    ]
