"""Business dates as a batch sees them: today, how far away a date is, whether it may be closed.  Pure."""

from datetime import tzinfo

from qianzhi.domain.dates import as_date, business_date, closes_us, days_between, shift
from qianzhi.runtime.now import Now

_EARLIEST = 20000101
_LATEST = 21991231


class Calendar:
    """One batch's calendar; what it works out for a date it keeps."""

    def __init__(self, now: Now, zone: tzinfo, clock_us: int | None = None) -> None:
        """`zone` is the site's, in which business dates begin at midnight.

        `clock_us` is what the wall clock itself says, where `now` stands still because that was set back:
        what may be closed is the clock's to say, for a fence only rises.
        """
        self.today = business_date(now.wall_us, zone)
        self._clock_us = now.wall_us if clock_us is None else min(clock_us, now.wall_us)
        self._zone = zone
        self._ahead: dict[int, int | None] = {}

    def days_ahead(self, date: int) -> int | None:
        """Return how many days `date` lies after today (negative: before), None when it is no date."""
        if date not in self._ahead:
            self._ahead[date] = days_between(self.today, date) if _is_date(date) else None
        return self._ahead[date]

    def may_close(self, date: int, fence_minutes: int) -> bool:
        """Say whether an existing business date was cut over at least so many minutes ago (rule 10)."""
        return self._clock_us >= closes_us(date, fence_minutes, self._zone)

    def beside(self, date: int) -> tuple[int, ...]:
        """Return the day before and the day after an existing date, as money rule 2 searches them."""
        return (shift(date, -1), shift(date, 1)) if _is_date(date) else ()


def _is_date(date: int) -> bool:
    if not _EARLIEST <= date <= _LATEST:
        return False
    try:
        as_date(date)
    except ValueError:
        return False
    return True
