"""Looks after the claims of a remote core: promises what a death left open, and lets go what is
kept no longer.

A thread of its own with its own connection, so that a bank's traffic never waits for it.  Whoever leaves a
call open promises to settle it (`gateway`); this is for claims whose bridge died before it could.
"""

import threading
from collections.abc import Callable
from datetime import tzinfo
from typing import NamedTuple

from crm_bridge.gateway_errors import RaceError, StoreError
from crm_bridge.remote.gateway import RemoteGateway
from crm_bridge.remote.store import ClaimStore
from qianzhi.domain.dates import business_date
from qianzhi.runtime import clock
from qianzhi.runtime.effects import Alarm
from qianzhi.runtime.log import end_process, get_logger
from qianzhi.runtime.now import SECOND_US, Now
from qianzhi.saf.policies import DAY_US

PAUSE_SECONDS = 1.0
CLAIMS_MAX = 100
PRUNE_US = 600 * SECOND_US
PRUNED_MAX = 5_000  # of a space at once: others wait for SQLite's one writer
DAYS_BEYOND = 2  # that a claim stays longer than its key, whatever clocks and zones do


class Keeping(NamedTuple):
    """For how long keys are kept, and where: what pruning needs."""

    store: ClaimStore
    keep_days: int
    zone: tzinfo


class Settler:
    """Looks for open claims older than `after_seconds`, which a call under way never is."""

    def __init__(
        self,
        gateway: RemoteGateway,
        after_seconds: int,
        keeping: Keeping,
        alarmed: Callable[[list[Alarm]], None],
    ) -> None:
        self._gateway = gateway
        self._after_us = after_seconds * SECOND_US
        self._keeping = keeping
        self._alarmed = alarmed
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="settler", daemon=True)
        self._log = get_logger("settler")
        self._trouble = ""
        self._pruned_us = 0

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def stop(self, timeout_seconds: float | None = None) -> None:
        """End after the present look."""
        self._stopping.set()
        self._thread.join(timeout_seconds)

    def look(self, now: Now) -> int:
        """Promise what is overdue, and now and then let go what is kept no longer; return how much was
        promised.
        """
        try:
            found = self._gateway.promise_overdue(now.wall_us - self._after_us, CLAIMS_MAX)
            if now.wall_us - self._pruned_us > PRUNE_US and prune(self._keeping, now) == 0:
                self._pruned_us = now.wall_us
        except (StoreError, RaceError) as error:
            if str(error) != self._trouble:
                self._log.warning("open outcomes cannot be promised now", detail=str(error))
            self._trouble = str(error)
            return 0
        self._trouble = ""
        if found:
            self._log.info("outcomes were left open, and are promised now", claims=found)
        self._alarmed(self._gateway.take_alarms())
        return found

    def _run(self) -> None:
        try:
            while not self._stopping.wait(PAUSE_SECONDS):
                self.look(clock.now())
        finally:
            if not self._stopping.is_set():
                end_process("settler failed", "open outcomes would stay open")


def prune(keeping: Keeping, now: Now) -> int:
    """Delete closed claims whose keys are kept no longer, some at a time; return how many went.

    Raises as `ClaimStore.prune`.
    """
    before_us = now.wall_us - (keeping.keep_days + DAYS_BEYOND) * DAY_US
    return keeping.store.prune(business_date(before_us, keeping.zone), before_us, PRUNED_MAX)
