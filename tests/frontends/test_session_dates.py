"""Which business date messages without one get at which moment, and what a notice is worth then."""

from zoneinfo import ZoneInfo

import pytest

from frontends.front import Outbox
from frontends.session_dates import BusinessDates, Verdict
from qianzhi.domain.dates import shift
from qianzhi.runtime.effects import Alarm
from qianzhi.runtime.now import Now

SECOND = 1_000_000
HOUR = 3_600 * SECOND
WALL_US, TODAY = 1_795_312_800_250_000, 20261122  # 10:00:00 of that day in Shanghai
TOMORROW, YESTERDAY = shift(TODAY, 1), shift(TODAY, -1)
ZONE = ZoneInfo("Asia/Shanghai")


def at(time, day=0):
    """The instant of a local time HH:MM, so many days from TODAY."""
    hour, minute = map(int, time.split(":"))
    minutes = (hour - 10) * 60 + minute + day * 24 * 60
    return Now(minutes * 60 * SECOND, WALL_US + minutes * 60 * SECOND)


@pytest.mark.parametrize(
    ("rule", "dates"),
    [
        ("00:00", {"00:00": TODAY, "12:00": TODAY, "23:59": TODAY}),
        ("23:00", {"00:00": TODAY, "22:59": TODAY, "23:00": TOMORROW, "23:59": TOMORROW}),
        ("18:00", {"17:59": TODAY, "18:00": TOMORROW}),
        ("00:20", {"00:00": YESTERDAY, "00:19": YESTERDAY, "00:20": TODAY, "23:59": TODAY}),
    ],
)
def test_a_time_of_the_clock_moves_the_date_to_the_side_of_midnight_where_it_stands(rule, dates):
    assert {time: BusinessDates(rule, ZONE, 0).date(at(time)) for time in dates} == dates


@pytest.mark.parametrize(
    ("noticed", "time", "date"),
    [
        (0, "23:59", TODAY),  # never told of any: the calendar's
        (TODAY, "23:59", TODAY),
        (TOMORROW, "18:00", TOMORROW),
        (TOMORROW, "00:00", TOMORROW),
        (YESTERDAY, "00:00", YESTERDAY),  # its notice may still come
        (YESTERDAY, "00:19", YESTERDAY),
        (YESTERDAY, "00:20", TODAY),  # the clock takes over
        (shift(TODAY, -2), "00:00", TODAY),
        (shift(TODAY, 9), "12:00", TOMORROW),  # a wall clock was set back: never more than a day ahead
    ],
)
def test_the_date_is_the_notices_until_the_clock_takes_over(noticed, time, date):
    assert BusinessDates("notice", ZONE, noticed).date(at(time)) == date


@pytest.mark.parametrize(
    ("noticed", "time", "told", "verdict"),
    [
        (TODAY, "18:00", TOMORROW, Verdict.NEW),
        (TODAY, "17:59", TOMORROW, Verdict.REFUSED),
        (0, "23:00", TOMORROW, Verdict.NEW),
        (TOMORROW, "23:00", TOMORROW, Verdict.KNOWN),
        (TODAY, "23:00", TODAY, Verdict.KNOWN),
        (TOMORROW, "23:00", TODAY, Verdict.REFUSED),  # it goes back
        (TODAY, "23:00", shift(TODAY, 2), Verdict.REFUSED),
        (YESTERDAY, "00:10", TODAY, Verdict.NEW),
        (YESTERDAY, "00:10", YESTERDAY, Verdict.KNOWN),
        (YESTERDAY, "00:10", TOMORROW, Verdict.REFUSED),
        (YESTERDAY, "09:00", TODAY, Verdict.NEW),  # late: the date is in force already
        (YESTERDAY, "09:00", YESTERDAY, Verdict.REFUSED),
        (TODAY, "23:00", 20261345, Verdict.REFUSED),
    ],
)
def test_a_notice_is_new_known_or_refused(noticed, time, told, verdict):
    assert BusinessDates("notice", ZONE, noticed).judge(told, at(time)) is verdict


def test_no_two_changes_are_so_near_that_a_repeat_could_miss_its_original():
    """Whatever is told at every quarter of an hour: dates two days apart are seventeen hours apart."""
    dates, seen = BusinessDates("notice", ZONE, 0), {}
    for quarter in range(4 * 24 * 4):
        now = at("00:00")
        now = Now(now.mono_us + quarter * HOUR // 4, now.wall_us + quarter * HOUR // 4)
        seen[quarter] = before = dates.date(now)
        for told in (shift(before, -1), shift(before, 2), shift(before, 1), before):
            # A bank that tells as late as it may, and on other days as early.
            early = (quarter // 96) % 2 == 0
            if dates.judge(told, now) is Verdict.NEW and (early or quarter % 96 < 4):
                dates.adopt(told)
        assert before <= dates.date(now) <= shift(before, 1)
    for quarter, date in seen.items():
        for other in range(quarter, min(quarter + 17 * 4, len(seen))):
            assert seen[other] <= shift(date, 1)


def test_a_notice_that_does_not_come_is_told_once_for_each_date_and_the_first_day_needs_none():
    dates, told = BusinessDates("notice", ZONE, 0), []
    for day in range(4):
        for time in ("00:05", "00:20", "09:00"):
            out = Outbox("x")
            dates.on_time(at(time, day), out)
            told += [(day, time) for effect in out.effects() if isinstance(effect, Alarm)]
        if day == 2:
            dates.adopt(shift(TODAY, 3))
    assert told == [(1, "00:20"), (2, "00:20")]
