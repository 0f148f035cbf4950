"""A writer: a thread that carries out what waits, in batches of one database transaction each.

It takes all that is waiting (up to `batch_max`), so that under light load a batch is one request and waits
for nobody, and while one batch commits the next one gathers.  A batch that fails:

    nothing was written, may succeed later   the same batch again, as long as its requests have time
    others hold what it needs                the same batch once more, then halved, so that less is needed
    the outcome of COMMIT is not known       the same batch again: keys that were claimed give their answers
    anything else                            halved, until the one bad request fails alone and is quarantined

This is the one module that catches every exception, because here a programming error that one request shows
must not touch its neighbours.
"""

import threading
from collections import Counter, deque
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

import msgspec

from crm_bridge.bridge import Batch, Done, Work
from crm_bridge.gateway_errors import CommitUnknownError, RaceError, RetryableError, Trouble
from qianzhi.domain.requests import MONEY_KINDS, Kind, Reply, Request
from qianzhi.link.messages import Status
from qianzhi.runtime import clock
from qianzhi.runtime.effects import Alarm
from qianzhi.runtime.log import end_process, get_logger
from qianzhi.runtime.now import SECOND_US, Now

FIRST_PAUSE_SECONDS = 0.02
LONGEST_PAUSE_SECONDS = 1.0
HURT_US = 300_000  # a connection that was lost and is there again at once is no trouble
# How long a batch without any time left is still tried: a reversal or a block is worth more late than never.
PATIENCE_SECONDS = 10
QUARANTINE_ATTEMPTS = 5
CONTESTED_MAX = 2  # executions of a whole batch that others stand in the way of


class Core(Protocol):
    """What a writer asks of the core; `gateway.Gateway` is one."""

    def execute(
        self, requests: Sequence[Request], now: Now, again: Callable[[], Sequence[Request]] | None = None
    ) -> list[Reply]:
        """Carry out a list in one transaction, all of it or none; return the replies in its order.

        `again` says what the list is by the time that all waiting is over.
        """

    def quarantine(self, request: Request, now: Now) -> Reply:
        """Block the key of a request that fails even alone."""

    def take_alarms(self) -> list[Alarm]:
        """Return the alarms raised since the last call."""


class _Exhausted(NamedTuple):
    """A batch that could not be carried out in time; `certain` says that nothing of it was written."""

    certain: bool


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
        self._hurt = hurt
        self._require = require
        self._number = number
        self._core = core
        self._batch_max = batch_max
        self._deliver = deliver
        self._now = now
        self._stopping = threading.Event()
        self._sleep = sleep or self._wait
        self._waiting: deque[Work] = deque()
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name=f"writer-{number}", daemon=True)
        self._log = get_logger("writer")
        self._retries: Counter[str] = Counter()
        self._alarms: list[Alarm] = []
        self._certain = True  # that nothing of the present batch was written by a COMMIT of unknown outcome

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

    def _run(self) -> None:
        try:
            while works := self._take():
                self._deliver(self._number, self.settle(works))
        except Exception as error:  # noqa: BLE001 - the thread's last word, then the process ends
            self._log.exception("writer failed", writer=self._number)
            end_process("writer failed", type(error).__name__)

    def _take(self) -> list[Work]:
        """Wait for work and take up to `batch_max` in the order of arrival; an empty list means the end."""
        with self._changed:
            while not self._waiting and not self._stopping.is_set():
                self._changed.wait()
            size = min(len(self._waiting), self._batch_max)
            return [self._waiting.popleft() for _ in range(size)]

    def settle(self, works: Sequence[Work]) -> Batch:
        """Carry out one batch, whatever happens: every piece of work is in the result once."""
        began = self._now()
        self._retries.clear()
        self._alarms = []
        self._certain = True
        give_up_us = max(work.deadline_us for work in works)
        give_up_us = max(give_up_us, began.mono_us + PATIENCE_SECONDS * SECOND_US)
        done = self._settle(works, give_up_us)
        self._alarms += self._core.take_alarms()
        seconds = (self._now().mono_us - began.mono_us) / SECOND_US
        return Batch(done, seconds, dict(self._retries), self._alarms)

    def _settle(self, works: Sequence[Work], give_up_us: int) -> list[Done]:
        """Carry out the works together, or halve them: until the one that fails stands alone, or until
        others do not stand in their way.
        """
        try:
            outcome = self._execute(works, give_up_us)
        except Exception as error:  # noqa: BLE001 - whatever one request shows, its neighbours go on
            if len(works) == 1:
                return [self._quarantine(works[0], error)]
            outcome = None
        if outcome is None:
            self._retries["halved"] += 1
            middle = len(works) // 2
            return self._settle(works[:middle], give_up_us) + self._settle(works[middle:], give_up_us)
        if isinstance(outcome, _Exhausted):
            status = Status.EXPIRED if outcome.certain else Status.UNKNOWN
            self._alarms.append(Alarm("core_unavailable", {"requests": len(works), "status": status.name}))
            return [Done(work.ticket, status, None) for work in works]
        return [Done(work.ticket, Status.OK, reply) for work, reply in zip(works, outcome, strict=True)]

    def _execute(self, works: Sequence[Work], give_up_us: int) -> list[Reply] | _Exhausted | None:
        """Execute a batch, again and again while its failures allow it; a credit whose time is over becomes
        the block of its key (money rule 5).  None says that it is to be halved, because others stand in its
        way: two bridges that are late would otherwise make each other later with ever longer batches.
        """
        contested = 0
        pause_seconds = FIRST_PAUSE_SECONDS
        began_us = self._now().mono_us
        while True:
            now = self._now()
            try:
                self._require()
                return self._core.execute(self._asked(works), now, lambda: self._asked(works))
            except (CommitUnknownError, RetryableError) as error:
                contested += isinstance(error, RetryableError) and error.trouble is Trouble.CONFLICT
                if isinstance(error, CommitUnknownError):
                    self._certain = False  # of all its parts too, should it be halved later on
                self._note(error)
                if self._now().mono_us - began_us >= HURT_US:
                    self._hurt(error.trouble, str(error))
            except RaceError as error:
                contested += 1
                self._note(error)
            over = self._now().mono_us >= give_up_us
            if contested >= CONTESTED_MAX and len(works) > 1 and not over:
                return None
            if over or self._stopping.is_set():
                return _Exhausted(self._certain)
            self._sleep(pause_seconds)
            pause_seconds = min(2 * pause_seconds, LONGEST_PAUSE_SECONDS)

    def _asked(self, works: Sequence[Work]) -> list[Request]:
        now = self._now()
        return [in_time(work, now) for work in works]

    def _quarantine(self, work: Work, cause: Exception) -> Done:
        """Block the key of a request that fails alone, so that it is settled; where that fails, say
        nothing."""
        fields = {"key": work.request.key.text, "error": type(cause).__name__}
        self._log.error("request quarantined", kind=work.request.kind.name, exc_info=cause, **fields)
        self._alarms.append(Alarm("quarantined", fields))
        for _ in range(QUARANTINE_ATTEMPTS):
            try:
                reply = self._core.quarantine(work.request, self._now())
                return Done(work.ticket, Status.OK, reply)
            except (RetryableError, RaceError, CommitUnknownError) as error:
                self._note(error)
                self._sleep(FIRST_PAUSE_SECONDS)
            except Exception as error:  # noqa: BLE001 - one request must not stop the writer
                self._log.exception("quarantine failed", **fields | {"error": type(error).__name__})
                break
        self._alarms.append(Alarm("quarantine_failed", fields))
        return Done(work.ticket, Status.UNKNOWN, None)

    def _note(self, error: Exception) -> None:
        """Count a failure that is tried again, and log the first of each kind in a batch."""
        name = type(error).__name__
        if not self._retries[name]:
            self._log.warning("batch to be executed again", reason=name, detail=str(error))
        self._retries[name] += 1

    def _wait(self, seconds: float) -> None:
        self._stopping.wait(seconds)


def in_time(work: Work, now: Now) -> Request:
    """Return the request to carry out now: of a credit whose time is over, the block of its key."""
    if work.request.kind in MONEY_KINDS and work.deadline_us <= now.mono_us:
        return msgspec.structs.replace(work.request, kind=Kind.BLOCK)
    return work.request
