"""Keeps the days of the core's database, on a thread of its own: parts for the coming ones, the old ones out.

Every bridge has one; the database lets one of them work at a time.  What it cannot do now it says once, and
tries again at the next look: no request waits for it.
"""

import threading
from datetime import tzinfo

from crm_bridge.gateway_errors import StoreError
from crm_bridge.migrations.days import ROWS_MOVED_MAX
from crm_bridge.retained.store import run_round
from crm_bridge.retention import Round
from qianzhi.domain.dates import business_date
from qianzhi.runtime import clock, metrics
from qianzhi.runtime.log import end_process, get_logger
from qianzhi.runtime.now import Now

LOOK_SECONDS = 600.0


class Retainer:
    """One bridge's; `look` may be called without a thread."""

    def __init__(self, url: str, keep_days: int, zone: tzinfo) -> None:
        self._url, self._keep_days, self._zone = url, keep_days, zone
        self._log = get_logger("retention")
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="retainer", daemon=True)
        self._said = ""

    def start(self) -> None:
        """Begin with a look."""
        self._thread.start()

    def stop(self) -> None:
        """End; a step that is under way is not waited for, each is done wholly or not at all."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(1)

    def look(self, now: Now) -> Round:
        """Do what is to be done; say what was done, and what stands in the way."""
        today = business_date(now.wall_us, self._zone)
        try:
            done = run_round(self._url, today, self._keep_days, now, ROWS_MOVED_MAX)
        except StoreError as error:
            self._say("days cannot be kept now", str(error))
            return Round()
        metrics.gauge("qianzhi_rows_without_part", (), done.unplaced)
        for day in done.closed:
            self._log.info("opening balances are written", date=day)
        for day in done.detached:
            self._log.info("a date's rows are detached", date=day)
        if done.unplaced:
            self._say("rows stand in no part of their date", f"{done.unplaced}: `qianzhi retention run`")
        elif done.held:
            what = ", ".join(f"{one.why}: {one.times}" for one in done.held)
            self._say(f"{done.held_date} is old enough to go, and is held", what)
        else:
            self._said = ""
        return done

    def _say(self, what: str, detail: str) -> None:
        if (said := f"{what}: {detail}") != self._said:
            self._log.warning(what, detail=detail)
        self._said = said

    def _run(self) -> None:
        try:
            while True:
                self.look(clock.now())
                if self._stopping.wait(LOOK_SECONDS):
                    return
        finally:
            if not self._stopping.is_set():
                end_process("retainer failed", "days would come without a part of their own")
