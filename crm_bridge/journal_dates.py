"""Business dates as a batch sees them: today, how far away a date is, whether it is closed.  Pure."""

from collections.abc import Iterable
from datetime import tzinfo

from qianzhi.domain.dates import as_date, business_date, closes_us, days_between, shift
from qianzhi.runtime.now import Now

_EARLIEST = 20000101
_LATEST = 21991231


class Calendar:
    """One batch's calendar; what it works out for a date it keeps."""

    def __init__(self, now: Now, zone: tzinfo, close_minutes: int) -> None:
        """By the clock alone, until `close_through` says what the database remembers as closed."""
        self.today = business_date(now.wall_us, zone)
        self._now = now
        self._zone = zone
        self._close_minutes = close_minutes
        self._ahead: dict[int, int | None] = {}
        self._closed: dict[int, bool] = {}
        self._closed_through = 0

    def days_ahead(self, date: int) -> int | None:
        """Return how many days `date` lies after today (negative: before), None when it is no date."""
        if date not in self._ahead:
            self._ahead[date] = days_between(self.today, date) if _is_date(date) else None
        return self._ahead[date]

    def close_through(self, date: int) -> None:
        """Take all dates up to this one as closed, whatever the clock says."""
        self._closed_through = date

    def closed(self, date: int) -> bool:
        """Say whether an existing business date is closed; once closed it stays so."""
        if date <= self._closed_through:
            return True
        if date not in self._closed:
            self._closed[date] = self._now.wall_us >= closes_us(date, self._close_minutes, self._zone)
        return self._closed[date]

    def latest_closed(self, dates: Iterable[int]) -> int:
        """Return the latest of these dates that is closed, 0 where none is."""
        return max((date for date in dates if _is_date(date) and self.closed(date)), default=0)

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
