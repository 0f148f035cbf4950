"""Business dates: whole numbers YYYYMMDD in the site's time zone, worked out from the wall time that is
given.

The source of each rule is the money rule it serves: MMDD means a date that a bank can still ask about; a date
closes at a set time of the next day.
"""

from datetime import UTC, date, datetime, timedelta, tzinfo
from functools import lru_cache

AHEAD_DAYS_MAX = 30  # a month and day further ahead than this is last year's


def local_datetime(wall_us: int, zone: tzinfo) -> datetime:
    """Return the local time of an instant, to the second."""
    return datetime.fromtimestamp(wall_us // 1_000_000, tz=UTC).astimezone(zone)


def business_date(wall_us: int, zone: tzinfo) -> int:
    """Return the local calendar date of an instant as YYYYMMDD."""
    return as_number(local_datetime(wall_us, zone).date())


def as_number(day: date) -> int:
    """Return a date as YYYYMMDD."""
    return day.year * 10_000 + day.month * 100 + day.day


def as_date(number: int) -> date:
    """Return YYYYMMDD as a date; raises ValueError when there is no such day."""
    return date(number // 10_000, number // 100 % 100, number % 100)


@lru_cache(maxsize=512)  # a line's messages are mostly of one day
def date_of(mmdd: str, today: int) -> int:
    """Return the latest date with this month and day that is at most AHEAD_DAYS_MAX days after `today`.

    So it reaches eleven months back: a bank that asks after a recharge of half a year ago must not hear of a
    date to come.  It reaches a month ahead, lest a clock of ours that is some days late takes a bank's today
    for last year's.  29 February counts in leap years only.  Raises ValueError when no such day exists.
    """
    if len(mmdd) != 4 or not (mmdd.isascii() and mmdd.isdigit()):
        raise ValueError("a month and day is four digits")
    here = as_date(today)
    for year in (here.year + 1, here.year, here.year - 1):
        number = year * 10_000 + int(mmdd)
        try:
            ahead = (as_date(number) - here).days
        except ValueError:
            continue
        if ahead <= AHEAD_DAYS_MAX:
            return number
    raise ValueError("no such month and day in the year before today")


def days_between(first: int, second: int) -> int:
    """Return how many days lie from `first` to `second` (both YYYYMMDD); negative when it is earlier."""
    return (as_date(second) - as_date(first)).days


@lru_cache(maxsize=512)
def shift(number: int, days: int) -> int:
    """Return the date `days` later."""
    return as_number(as_date(number) + timedelta(days=days))


def closes_us(number: int, close_minutes: int, zone: tzinfo) -> int:
    """Return the instant at which a business date closes: `close_minutes` after midnight of the next day."""
    day = as_date(number) + timedelta(days=1)
    midnight = datetime(day.year, day.month, day.day, tzinfo=zone)
    return int(midnight.timestamp()) * 1_000_000 + close_minutes * 60_000_000
