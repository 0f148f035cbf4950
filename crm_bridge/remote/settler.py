"""Asks the core for outcomes that nobody else asks for: calls that a time-out or a death left open.

A thread of its own with its own connection, so that a bank's traffic never waits for it.  Whoever touches an
open key asks for its outcome before anything else; this is for the keys that nobody touches.
"""

import threading
from collections.abc import Callable

from crm_bridge.gateway_errors import RaceError, StoreError
from crm_bridge.remote.gateway import RemoteGateway
from qianzhi.runtime import clock, metrics
from qianzhi.runtime.effects import Alarm
from qianzhi.runtime.log import end_process, get_logger
from qianzhi.runtime.now import SECOND_US

PAUSE_SECONDS = 1.0
CLAIMS_MAX = 100


class Settler:
    """Looks for open claims older than `after_seconds`, which a call under way never is."""

    def __init__(
        self, gateway: RemoteGateway, after_seconds: int, alarmed: Callable[[list[Alarm]], None]
    ) -> None:
        self._gateway = gateway
        self._after_us = after_seconds * SECOND_US
        self._alarmed = alarmed
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="settler", daemon=True)
        self._log = get_logger("settler")
        self._trouble = ""
        self.left = 0  # outcomes that stay open, of those looked at last

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def stop(self, timeout_seconds: float | None = None) -> None:
        """End after the present look."""
        self._stopping.set()
        self._thread.join(timeout_seconds)

    def look(self) -> int:
        """Settle what is overdue; return how many outcomes stay open of those looked at."""
        try:
            found, left = self._gateway.settle_overdue(clock.now().wall_us - self._after_us, CLAIMS_MAX)
        except (StoreError, RaceError) as error:
            if str(error) != self._trouble:
                self._log.warning("open outcomes cannot be settled now", detail=str(error))
            self._trouble = str(error)
            return 0
        self._trouble = ""
        if found > left:
            self._log.info("open outcomes settled", settled=found - left, left=left)
        self.left = left
        metrics.gauge("qianzhi_remote_overdue", (), left)
        self._alarmed(self._gateway.take_alarms())
        return left

    def _run(self) -> None:
        try:
            while not self._stopping.wait(PAUSE_SECONDS):
                self.look()
        finally:
            if not self._stopping.is_set():
                end_process("settler failed", "open outcomes would stay open")
