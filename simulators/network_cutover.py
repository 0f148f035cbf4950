"""When a simulated network cuts over 日切, and what it tells then.  Pure.

At 23:00 it says that the settlement date ends, and at once that the next one has begun.  Where its line was
down then it says so when the line is open again.  What it says again changes nothing.
"""

from datetime import tzinfo

from qianzhi.domain.dates import business_date, closes_us, shift
from qianzhi.runtime.now import Now

BEGINS, ENDS = "cutover_begin", "cutover"  # names under [management]
MINUTE = 23 * 60  # of the local day


class Cutovers:
    """One network's settlement dates."""

    def __init__(self, zone: tzinfo) -> None:
        self._zone = zone
        self._told = 0  # the settlement date that we are known to be in
        self.due_us = 0  # when `take` is wanted (wall)

    def take(self, now: Now) -> list[tuple[str, int]]:
        """Return what is to be told now: names and their dates."""
        today = business_date(now.wall_us, self._zone)
        over = _instant_us(today, self._zone) <= now.wall_us
        date = shift(today, 1) if over else today
        self.due_us = _instant_us(date, self._zone)
        before, self._told = self._told or today, date
        return [(BEGINS, before), (ENDS, date)] if date > before else []


def _instant_us(date: int, zone: tzinfo) -> int:
    """Return when a local date's settlement date ends (wall)."""
    return closes_us(shift(date, -1), MINUTE, zone)
