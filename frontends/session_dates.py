"""Which business date messages get that carry none: by a time of the clock, or by the bank's notice.  Pure.

    clock    18:00 ……… cutover ……… 00:20   the date changes at this minute of the evening or the night
    notice   18:00 … bank's notice … 00:20   the date changes with it; without one the clock takes over at the
                                             end, with an alarm

Between two changes lie seventeen hours at least, and no date is ever more than a day from the local one.
Both matter: a repeat, query or reversal is looked for under the date of its own receipt and the two beside
it (money rule 2), so two changes within a short time would hide an original from its own repeat.
"""

from datetime import tzinfo
from enum import Enum

from frontends.front import Outbox
from frontends.hours import MINUTES_A_DAY, minute_of
from qianzhi.domain.dates import as_date, as_number, days_between, local_datetime, shift
from qianzhi.runtime.now import SECOND_US, Now

NOTICE = "notice"
FIRST_MINUTE = 18 * 60  # of the evening before: the earliest change to the next date
LAST_MINUTE = 20  # after midnight: the latest change, and where the clock takes over


CLOCKS_MINUTES = 10  # by which the clocks of a front-end and of a bridge may differ at worst


def may_be_late(rule: str) -> int:
    """Return how many minutes after midnight a rule may still give yesterday's date, 0 for none."""
    if rule == NOTICE:
        return LAST_MINUTE
    minute = minute_of(rule)
    return minute if 0 < minute <= LAST_MINUTE else 0


class Verdict(Enum):
    """What a notice is."""

    NEW = 1  # it moves the date, once it is stored
    KNOWN = 2  # a repeat of the one that is in force
    REFUSED = 3  # it goes back, too far ahead, or to tomorrow before the evening


class BusinessDates:
    """The dates of one line; `noticed` is the date of the last notice that the store kept, 0 for none."""

    def __init__(self, rule: str, zone: tzinfo, noticed: int) -> None:
        """`rule` is [session].cutover, checked: a time HH:MM, or `notice`."""
        self.by_notice = rule == NOTICE
        self._cutover = 0 if self.by_notice else minute_of(rule)
        self._zone = zone
        self._noticed = noticed
        self._missed = 0  # the date for which an alarm told that no notice came
        self._second, self._now = -1, (0, 0)  # the last second asked about, and its local date and minute
        self._told = bool(noticed)  # whether a notice was ever waited for: the first day needs none
        self.deadline: int | None = 0 if self.by_notice else None

    def date(self, now: Now) -> int:
        """Return the business date of what is received now and carries none."""
        today, minute = self._local(now)
        if not self.by_notice:
            return shift(today, _days_off(minute, self._cutover))
        if self._noticed > today:
            return min(self._noticed, shift(today, 1))
        late = self._noticed == shift(today, -1) and minute < LAST_MINUTE
        return self._noticed if late else today

    def judge(self, date: int, now: Now) -> Verdict:
        """Say what a notice of this date is."""
        if not _exists(date):
            return Verdict.REFUSED
        today, minute = self._local(now)
        ahead = days_between(today, date)
        if date == self._noticed == self.date(now):
            return Verdict.KNOWN
        early = ahead > 1 or (ahead == 1 and minute < FIRST_MINUTE)
        return Verdict.REFUSED if early or date < self.date(now) else Verdict.NEW

    def adopt(self, noticed: int) -> None:
        """Put a notice in force that is stored, by this instance or another one."""
        self._noticed = noticed

    def on_time(self, now: Now, out: Outbox) -> None:
        """Raise an alarm, once for a date, when the clock took over because no notice came."""
        if not self.by_notice:
            return None
        today, minute = self._local(now)
        if minute < LAST_MINUTE:
            return self._wake(now, LAST_MINUTE - minute)
        missed, self._missed = self._noticed < today and self._missed != today, today
        if missed and self._told:
            out.alarm("cutover_notice_missing", business_date=today, noticed=self._noticed)
            out.note("cutover", now.wall_us, business_date=today, by="clock")
        self._told = True
        return self._wake(now, MINUTES_A_DAY - minute + LAST_MINUTE)

    def _wake(self, now: Now, minutes: int) -> None:
        self.deadline = now.mono_us + minutes * 60 * SECOND_US

    def _local(self, now: Now) -> tuple[int, int]:
        """Return the local date and how many of its minutes have passed."""
        second = now.wall_us // SECOND_US
        if second != self._second:
            local = local_datetime(now.wall_us, self._zone)
            self._second, self._now = second, (as_number(local.date()), local.hour * 60 + local.minute)
        return self._now


def _days_off(minute: int, cutover: int) -> int:
    """Return how many days the business date is from the local one at this minute."""
    if cutover >= FIRST_MINUTE:
        return int(minute >= cutover)
    return -int(minute < cutover)


def _exists(date: int) -> bool:
    try:
        as_date(date)
    except ValueError:
        return False
    return True
