"""A bank's hours of service: the table `[hours]` of a profile.

Money requests and queries outside the hours are refused as closed; reversals and status queries never are.
"""

from qianzhi.runtime.problems import Problem
from qianzhi.runtime.table import table

MINUTES_A_DAY = 24 * 60


@table
class Hours:
    """From `open` to `close`, local time as HH:MM; `close` may be the earlier one (service over midnight).

    The default, 00:00 to 24:00, is round the clock.
    """

    open: str = "00:00"
    close: str = "24:00"

    def is_open(self, minute: int) -> bool:
        """Tell whether service is given at this minute of the local day (0 to 1439)."""
        first, last = minute_of(self.open), minute_of(self.close)
        if first < last:
            return first <= minute < last
        return minute >= first or minute < last


def check_hours(hours: Hours, file: str) -> list[Problem]:
    """Return what is wrong with the table: a time that is none, or a day without any service."""
    problems = []
    for name, text in (("open", hours.open), ("close", hours.close)):
        if not 0 <= minute_of(text) <= MINUTES_A_DAY:
            problems.append(
                Problem(file, f"hours.{name}", repr(text[:20]), "a time HH:MM from 00:00 to 24:00")
            )
    if not problems and hours.open == hours.close:
        problems.append(Problem(file, "hours.close", repr(hours.close), "another time than hours.open"))
    return problems


def minute_of(text: str) -> int:
    """Return HH:MM as minutes after midnight, -1 when it is no time."""
    hour, colon, minute = text.partition(":")
    parts = hour + minute
    if not colon or len(hour) != 2 or len(minute) != 2 or not (parts.isascii() and parts.isdigit()):
        return -1
    return int(hour) * 60 + int(minute) if int(minute) < 60 else -1
