"""Business dates as the money rules need them."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from qianzhi.domain import dates

SHANGHAI = ZoneInfo("Asia/Shanghai")


def wall(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp()) * 1_000_000


def test_business_date_is_the_sites_calendar_day_not_utcs():
    assert dates.business_date(wall("2026-11-21T16:00:00+00:00"), SHANGHAI) == 20261122
    assert dates.business_date(wall("2026-11-21T15:59:59+00:00"), SHANGHAI) == 20261121


@pytest.mark.parametrize(
    ("mmdd", "today", "expected"),
    [
        ("1122", 20261122, 20261122),
        ("1231", 20270101, 20261231),
        ("0101", 20261231, 20270101),
        ("0229", 20280205, 20280229),
        ("0229", 20240301, 20240229),
        ("0501", 20261122, 20260501),  # half a year ago, and not five months ahead
        ("1222", 20261122, 20261222),
        ("1223", 20261122, 20251223),
        ("1230", 20261122, 20251230),
    ],
)
def test_month_and_day_means_a_date_that_a_bank_can_ask_about(mmdd, today, expected):
    assert dates.date_of(mmdd, today) == expected


@pytest.mark.parametrize("bad", ["", "1", "13 1", "1332", "0230", "+101", "一二三四", "0229"])
def test_no_such_month_and_day_is_refused(bad):
    with pytest.raises(ValueError, match=r"month and day"):
        dates.date_of(bad, 20260601)


def test_a_date_closes_at_noon_of_the_next_day():
    closes = dates.closes_us(20261231, 12 * 60, SHANGHAI)
    assert datetime.fromtimestamp(closes // 1_000_000, tz=UTC).isoformat() == "2027-01-01T04:00:00+00:00"


def test_shift_and_days_between_agree_over_a_leap_day():
    assert dates.shift(20280228, 2) == 20280301
    assert dates.days_between(20280228, 20280301) == 2
    assert dates.days_between(20280301, 20280228) == -2
