"""Watching traffic more finely than its looks do, and killing a daemon in the middle of it."""

import itertools
import os
import signal
import threading
from typing import TYPE_CHECKING, Any

from qianzhi.runtime import clock

if TYPE_CHECKING:
    from qianzhi.cli.machine import Machine
    from simulators.report import Report
    from simulators.traffic import Look

SAMPLE_SECONDS = 0.002
ASK_SECONDS = 0.05
RESTART_SECONDS = 30.0


class Watch:
    """Samples how many answers were approvals, and when their number grew; a thread of its own."""

    def __init__(self) -> None:
        self.grew: list[float] = []  # monotonic seconds
        self._reports: list[Report] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def __call__(self, looks: "list[Look]") -> None:
        """Take the banks' reports from the first look; they go on changing."""
        if not self._reports and looks:
            self._reports = [look.report for look in looks]
            self._thread.start()

    def end(self) -> None:
        """Sample no more."""
        self._over.set()

    def gap_after(self, moment: float) -> tuple[float, float]:
        """Return the time from a moment to the next approval, and the longest without one from then on."""
        times = [moment, *(each for each in self.grew if each > moment)]
        if len(times) == 1:
            return float("inf"), float("inf")
        gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
        return gaps[0], max(gaps)

    def _sample(self) -> None:
        before = 0
        while not self._over.wait(SAMPLE_SECONDS):
            approved = sum(report.approved for report in self._reports)
            if approved > before:
                self.grew.append(clock.monotonic_seconds())
                before = approved


class Killer:
    """Ends one daemon with SIGKILL after a while, and notes when another process has taken its place."""

    def __init__(self, system: "Machine", name: str, after_seconds: float) -> None:
        self.name = name
        self.killed_at = 0.0
        self.pid = 0
        self.again_seconds: float | None = None
        self._system = system
        self._after_seconds = after_seconds
        self._thread = threading.Thread(target=self._kill, daemon=True)

    def start(self) -> None:
        """Begin to wait."""
        self._thread.start()

    def wait(self) -> None:
        """Wait until the daemon runs again."""
        self._thread.join(self._after_seconds + RESTART_SECONDS)

    def _kill(self) -> None:
        clock.sleep(self._after_seconds)
        self.pid = int(self._status()["pid"])
        self.killed_at = clock.monotonic_seconds()
        os.kill(self.pid, signal.SIGKILL)
        while clock.monotonic_seconds() < self.killed_at + RESTART_SECONDS:
            status = self._status()
            if status["state"] == "running" and status["pid"] != self.pid:
                self.again_seconds = clock.monotonic_seconds() - self.killed_at
                return
            clock.sleep(ASK_SECONDS)

    def _status(self) -> dict[str, Any]:
        return self._system.status(self.name)
