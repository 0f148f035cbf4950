"""The one place that reads the clocks; shells ask here and hand `Now` to their pure cores."""

import time  # noqa: TID251 - this module is what everybody else asks

from qianzhi.runtime.now import Now


def now() -> Now:
    """Read both clocks: monotonic for deadlines, wall for stamps and business dates, in microseconds."""
    return Now(time.monotonic_ns() // 1000, time.time_ns() // 1000)


def monotonic_seconds() -> float:
    """Return the monotonic clock in seconds; a reactor's timers run on it, so that no clock change moves
    them."""
    return time.monotonic()


def sleep(seconds: float) -> None:
    """Block this thread; for threads and blocking clients only, never on a reactor."""
    time.sleep(seconds)
