"""Bills by month and the late fee 违约金 that grows on them; integers in fen throughout."""

from typing import NamedTuple

from qianzhi.domain.dates import days_between, shift
from qianzhi.domain.requests import Bill

RATE_SCALE = 10_000  # late fees are quoted in ten-thousandths of the principal per day


class Tariff(NamedTuple):
    """How late fees grow: `per_day` ten-thousandths of the principal, after `free_days` past the due date."""

    per_day: int = 0
    free_days: int = 0


class MonthBill(NamedTuple):
    """One month's bill as a row; `paid_by` is the work order that wrote it off, None while it is open."""

    serial: str
    book: int
    month: int  # YYYYMM
    principal_fen: int
    due_date: int  # YYYYMMDD
    paid_by: str | None = None


def late_fee_fen(principal_fen: int, due_date: int, today: int, tariff: Tariff) -> int:
    """Return the late fee on the business date `today` (YYYYMMDD).

    Simple interest by whole days, cut down to whole fen in the customer's favour, and never above the
    principal.
    """
    days = days_between(due_date, today) - tariff.free_days
    if days <= 0:
        return 0
    return min(principal_fen, principal_fen * tariff.per_day * days // RATE_SCALE)


def quote(bill: MonthBill, today: int, tariff: Tariff) -> Bill:
    """Return the bill as a bank is told it today."""
    fee = late_fee_fen(bill.principal_fen, bill.due_date, today, tariff)
    return Bill(bill.serial, bill.month, bill.principal_fen, fee)


def due_date(month: int, due_day: int) -> int:
    """Return when the bill of `month` (YYYYMM) falls due: the `due_day` (1 to 28) of the month after it."""
    first = month * 100 + 1
    return shift(first, 32) // 100 * 100 + due_day
