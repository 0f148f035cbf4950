"""When certificates cease to be good: a gauge for each kind, and an alarm as the last days come."""

from collections.abc import Mapping
from datetime import datetime

from qianzhi.runtime import clock, metrics
from qianzhi.runtime.log import get_logger
from qianzhi.runtime.now import SECOND_US

ALARM_DAYS = (1, 7, 30)
DAY_SECONDS = 86_400


class Ends:
    """Tells of one table's files."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._told: dict[str, tuple[object, int]] = {}  # of what, by its end: the days that were told
        self._log = get_logger("tls")

    def tell(self, ends: Mapping[str, datetime]) -> None:
        """Set the gauges, and raise an alarm once for each of the last days that has come."""
        now_seconds = clock.now().wall_us / SECOND_US
        for what, end in ends.items():
            left_seconds = end.timestamp() - now_seconds
            metrics.gauge("qianzhi_certificate_expires_seconds", (self._name, what), left_seconds)
            days = next((days for days in (0, *ALARM_DAYS) if left_seconds <= days * DAY_SECONDS), None)
            if days is None or (what == "crl" and days > 1):
                continue  # a list lives for days only, and is renewed in its last ones
            told_end, told_days = self._told.get(what, (end, ALARM_DAYS[-1] + 1))
            if end != told_end or days < told_days:
                self._told[what] = (end, days)
                fields = {"what": what, "days": days, "on": f"{end:%Y-%m-%d %H:%M} UTC"}
                self.alarm("certificate_expires", fields)

    def alarm(self, name: str, fields: Mapping[str, object]) -> None:
        """Raise an alarm about these files."""
        metrics.count("qianzhi_alarms_total", (name,))
        self._log.error("alarm", alarm=name, fields={"tls": self._name, **fields})
