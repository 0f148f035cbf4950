"""What a bank's agreement allows at this moment: its hours, the site's maintenance, its rate.  Pure."""

from typing import TYPE_CHECKING

from frontends.limits import share
from frontends.transforms import moment_of_second
from qianzhi.domain.results import Result
from qianzhi.runtime.now import SECOND_US, Now

if TYPE_CHECKING:
    from frontends.profile import Profile  # it reads files; its shape alone is used here


class Gate:
    """Counts one bank's requests against its rate, a full second's worth at most at once.

    Reversals and status queries never come here (money rule 8).
    """

    def __init__(self, profile: "Profile") -> None:
        self._hours = profile.hours
        self._windows = profile.maintenance
        self._zone = profile.mapping.zone
        self._rate = share(profile.limits.rate_per_second, profile.instances)
        self._credit_us = SECOND_US  # in microseconds of a second's worth, so that nothing is rounded away
        self._counted_us = 0
        self._looked = -1, ""  # at which second, and what was found

    def refusal(self, now: Now) -> Result | None:
        """Count one request; return CLOSED_HOURS or BUSY when it is not to pass now."""
        if self.closed(now):
            return Result.CLOSED_HOURS
        self._credit_us = min(SECOND_US, self._credit_us + now.mono_us - self._counted_us)
        self._counted_us = now.mono_us
        if self._credit_us * self._rate < SECOND_US:
            return Result.BUSY
        self._credit_us -= SECOND_US // self._rate
        return None

    def closed(self, now: Now) -> str:
        """Return why money and queries are refused as closed at this moment, empty when they are not."""
        second = now.wall_us // SECOND_US
        if self._looked[0] != second:
            self._looked = second, self._closed_at(second)
        return self._looked[1]

    def _closed_at(self, second: int) -> str:
        local = moment_of_second(second, self._zone).local.replace(tzinfo=None)
        for window in self._windows:
            if window.holds(local):
                reason = f", {window.reason}" if window.reason else ""
                return f"maintenance until {window.end:%m-%d %H:%M}{reason}"
        if self._hours.is_open(local.hour * 60 + local.minute):
            return ""
        return f"outside its hours, {self._hours.open} to {self._hours.close}"
