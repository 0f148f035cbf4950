"""A writer: a thread that carries out what waits, in batches of one database transaction each.

It takes all that is waiting (up to `batch_max`), so that under light load a batch is one request and waits
for nobody, and while one batch commits the next one gathers.  What becomes of a batch that fails is decided
in `settling`; here it is slept, called and logged.
"""

import threading
import traceback
from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

from crm_bridge.bridge import Batch, Work
from crm_bridge.gateway_errors import Trouble
from crm_bridge.gateway_steps import Again
from crm_bridge.settling import Settling
from crm_bridge.steps import Steps, finish
from qianzhi.domain.requests import Reply, Request
from qianzhi.runtime import clock
from qianzhi.runtime.effects import Alarm
from qianzhi.runtime.log import end_process, get_logger
from qianzhi.runtime.now import Now


class Core(Protocol):
    """What a writer asks of the core; `gateway.Gateway` is one."""

    def execute(self, requests: Sequence[Request], now: Now, again: Again | None = None) -> list[Reply]:
        """Carry out a list in one transaction, all of it or none; return the replies in its order.

        `again` says what the list is by the time that all waiting is over.
        """

    def quarantine(self, request: Request, now: Now) -> Reply:
        """Block the key of a request that fails even alone."""

    def take_alarms(self) -> list[Alarm]:
        """Return the alarms raised since the last call."""


class AtOnce:
    """A core whose calls wait by themselves, as one that is carried out step by step."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def executing(
        self, requests: Sequence[Request], now: Now, again: Again | None = None
    ) -> Steps[list[Reply]]:
        """Carry out a list; see `Core.execute`."""
        yield from ()
        return self._core.execute(requests, now, again)

    def quarantining(self, request: Request, now: Now) -> Steps[Reply]:
        """Block a key; see `Core.quarantine`."""
        yield from ()
        return self._core.quarantine(request, now)

    def take_alarms(self) -> list[Alarm]:
        """Return the alarms raised since the last call."""
        return self._core.take_alarms()


class Writer:
    """Writer number `number`; `deliver(number, batch)` is called on its thread once per batch."""

    def __init__(
        self,
        number: int,
        core: Core,
        batch_max: int,
        deliver: Callable[[int, Batch], None],
        *,
        hurt: Callable[[Trouble, str], None] = lambda trouble, detail: None,
        require: Callable[[], None] = lambda: None,
        now: Callable[[], Now] = clock.now,
        sleep: Callable[[float], None] | None = None,
    ) -> None:
        """The core is used by this writer's thread alone from now on; `hurt` hears, on that thread, what
        stands in the way of a batch that has failed for a while; `require` raises RetryableError while
        nothing at all may be carried out.
        """
        self._number = number
        self._batch_max = batch_max
        self._deliver = deliver
        self._stopping = threading.Event()
        self._sleep = sleep or self._wait
        self._waiting: deque[Work] = deque()
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name=f"writer-{number}", daemon=True)
        self._settling = Settling(AtOnce(core), _Around(now, self._stopping.is_set, require, hurt))

    def start(self) -> None:
        """Begin to carry out what is given."""
        self._thread.start()

    def give(self, works: Sequence[Work]) -> None:
        """Add work; called on the reactor's thread, once per list."""
        with self._changed:
            self._waiting.extend(works)
            self._changed.notify()

    def stop(self, timeout_seconds: float | None = None) -> None:
        """Finish what waits, without further patience for retries, and end the thread."""
        self._stopping.set()
        with self._changed:
            self._changed.notify()
        if self._thread.is_alive():
            self._thread.join(timeout_seconds)

    def settle(self, works: Sequence[Work]) -> Batch:
        """Carry out one batch, whatever happens: every piece of work is in the result once."""
        return finish(self._settling.settle(works), self._sleep)

    def _run(self) -> None:
        ended = False
        try:
            while works := self._take():
                self._deliver(self._number, self.settle(works))
            ended = True
        finally:
            if not ended:  # work would be taken and never settled
                end_process("writer failed", "an exception that nobody expected", traceback.format_exc())

    def _take(self) -> list[Work]:
        """Wait for work and take up to `batch_max` in the order of arrival; an empty list means the end."""
        with self._changed:
            while not self._waiting and not self._stopping.is_set():
                self._changed.wait()
            size = min(len(self._waiting), self._batch_max)
            return [self._waiting.popleft() for _ in range(size)]

    def _wait(self, seconds: float) -> None:
        self._stopping.wait(seconds)


class _Around:
    """What stands around a writer's thread, and the log."""

    def __init__(
        self,
        now: Callable[[], Now],
        stopping: Callable[[], bool],
        require: Callable[[], None],
        hurt: Callable[[Trouble, str], None],
    ) -> None:
        self.now = now
        self.stopping = stopping
        self.require = require
        self.hurt = hurt
        self._log = get_logger("writer")

    def again(self, reason: str, error: Exception) -> None:
        self._log.warning("batch to be executed again", reason=reason, detail=str(error))

    def quarantined(self, work: Work, cause: Exception) -> None:
        request = work.request
        fields = {"key": request.key.text, "error": type(cause).__name__}
        self._log.error("request quarantined", kind=request.kind.name, exc_info=cause, **fields)

    def quarantine_failed(self, work: Work, error: Exception) -> None:
        fields = {"key": work.request.key.text, "error": type(error).__name__}
        self._log.error("quarantine failed", exc_info=error, **fields)
