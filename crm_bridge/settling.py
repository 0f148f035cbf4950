"""How a writer settles a batch, whatever happens: every request in it comes to an end of its own.

Pure; a generator that yields its pauses (`steps`), so that a thread sleeps through them and the simulator
lets other bridges' transactions come in between.  A batch that fails:

    nothing was written, may succeed later   the same batch again, as long as its requests have time
    others hold what it needs                the same batch once more, then halved, so that less is needed
    the outcome of COMMIT is not known       the same batch again: keys that were claimed give their answers
    anything else                            halved, until the one bad request fails alone and is quarantined

This is the one module that catches every exception, because here a programming error that one request shows
must not touch its neighbours.
"""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple, Protocol

import msgspec

from crm_bridge.bridge import Batch, Done, Work
from crm_bridge.gateway_errors import CommitUnknownError, RaceError, RetryableError, Trouble
from crm_bridge.gateway_steps import Again
from crm_bridge.steps import Pause, Steps
from qianzhi.domain.requests import MONEY_KINDS, Kind, Reply, Request
from qianzhi.link.messages import Status
from qianzhi.runtime.effects import Alarm
from qianzhi.runtime.now import SECOND_US, Now

FIRST_PAUSE_SECONDS = 0.02
LONGEST_PAUSE_SECONDS = 1.0
HURT_US = 300_000  # a connection that was lost and is there again at once is no trouble
# How long a batch without any time left is still tried: a reversal or a block is worth more late than never.
PATIENCE_SECONDS = 10
QUARANTINE_ATTEMPTS = 5
_OK = Status.OK
CONTESTED_MAX = 2  # executions of a whole batch that others stand in the way of


class SteppedCore(Protocol):
    """What settling asks of the core; `gateway_steps.SteppedGateway` is one."""

    def executing(
        self, requests: Sequence[Request], now: Now, again: Again | None = None
    ) -> Steps[list[Reply]]:
        """Carry out a list in one transaction, all of it or none; return the replies in its order.

        `again` says what the list is by the time that all waiting is over.
        """

    def quarantining(self, request: Request, now: Now) -> Steps[Reply]:
        """Block the key of a request that fails even alone."""

    def take_alarms(self) -> list[Alarm]:
        """Return the alarms raised since the last call."""


class Circumstances(Protocol):
    """What a settling is told of the world around it, and whom it tells what it meets."""

    def now(self) -> Now:
        """Return the time."""

    def stopping(self) -> bool:
        """Say whether there is no more patience, because the process is to end."""

    def require(self) -> None:
        """Raise RetryableError while nothing at all may be carried out."""

    def hurt(self, trouble: Trouble, detail: str) -> None:
        """Hear what stands in the way of a batch that has failed for a while."""

    def again(self, reason: str, error: Exception) -> None:
        """Hear of a failure that is tried again, the first of its kind in a batch."""

    def quarantined(self, work: Work, cause: Exception) -> None:
        """Hear of a request that fails alone."""

    def quarantine_failed(self, work: Work, error: Exception) -> None:
        """Hear of one that could not even be blocked."""


class _Exhausted(NamedTuple):
    """A batch that could not be carried out in time; `certain` says that nothing of it was written."""

    certain: bool


class Settling:
    """One writer's way of settling, a batch at a time."""

    def __init__(self, core: SteppedCore, around: Circumstances) -> None:
        self._core = core
        self._around = around
        self._retries: Counter[str] = Counter()
        self._alarms: list[Alarm] = []
        self._certain = True  # that nothing of the present batch was written by a COMMIT of unknown outcome

    def settle(self, works: Sequence[Work]) -> Steps[Batch]:
        """Carry out one batch, whatever happens: every piece of work is in the result once."""
        began = self._around.now()
        self._retries.clear()
        self._alarms = []
        self._certain = True
        give_up_us = max(work.deadline_us for work in works)
        give_up_us = max(give_up_us, began.mono_us + PATIENCE_SECONDS * SECOND_US)
        done = yield from self._settle(works, give_up_us)
        self._alarms += self._core.take_alarms()
        seconds = (self._around.now().mono_us - began.mono_us) / SECOND_US
        return Batch(done, seconds, dict(self._retries), self._alarms)

    def _settle(self, works: Sequence[Work], give_up_us: int) -> Steps[list[Done]]:
        """Carry out the works together, or halve them: until the one that fails stands alone, or until
        others do not stand in their way.
        """
        try:
            outcome = yield from self._execute(works, give_up_us)
        except Exception as error:  # noqa: BLE001 - whatever one request shows, its neighbours go on
            if len(works) == 1:
                return [(yield from self._quarantine(works[0], error))]
            outcome = None
        if outcome is None:
            self._retries["halved"] += 1
            middle = len(works) // 2
            first = yield from self._settle(works[:middle], give_up_us)
            return first + (yield from self._settle(works[middle:], give_up_us))
        if isinstance(outcome, _Exhausted):
            status = Status.EXPIRED if outcome.certain else Status.UNKNOWN
            self._alarms.append(Alarm("core_unavailable", {"requests": len(works), "status": status.name}))
            return [Done(work.ticket, status, None) for work in works]
        return [Done(work.ticket, _OK, reply) for work, reply in zip(works, outcome, strict=True)]

    def _execute(self, works: Sequence[Work], give_up_us: int) -> Steps[list[Reply] | _Exhausted | None]:
        """Execute a batch, again and again while its failures allow it; a credit whose time is over becomes
        the block of its key (money rule 5).  None says that it is to be halved, because others stand in its
        way: two bridges that are late would otherwise make each other later with ever longer batches.
        """
        requests = [work.request for work in works]
        soonest_us = min(work.deadline_us for work in works)

        def asked() -> list[Request]:
            now = self._around.now()
            return requests if now.mono_us < soonest_us else [in_time(work, now) for work in works]

        contested = 0
        pause_seconds = FIRST_PAUSE_SECONDS
        began_us = self._around.now().mono_us
        while True:
            now = self._around.now()
            try:
                self._around.require()
                return (yield from self._core.executing(asked(), now, asked))
            except (CommitUnknownError, RetryableError) as error:
                contested += isinstance(error, RetryableError) and error.trouble is Trouble.CONFLICT
                if isinstance(error, CommitUnknownError):
                    self._certain = False  # of all its parts too, should it be halved later on
                self._note(error)
                if self._around.now().mono_us - began_us >= HURT_US:
                    self._around.hurt(error.trouble, str(error))
            except RaceError as error:
                contested += 1
                self._note(error)
            over = self._around.now().mono_us >= give_up_us
            if contested >= CONTESTED_MAX and len(works) > 1 and not over:
                return None
            if over or self._around.stopping():
                return _Exhausted(self._certain)
            yield Pause(pause_seconds)
            pause_seconds = min(2 * pause_seconds, LONGEST_PAUSE_SECONDS)

    def _quarantine(self, work: Work, cause: Exception) -> Steps[Done]:
        """Block the key of a request that fails alone, so that it is settled; where that fails, say
        nothing."""
        fields = {"key": work.request.key.text, "error": type(cause).__name__}
        self._around.quarantined(work, cause)
        self._alarms.append(Alarm("quarantined", fields))
        for _ in range(QUARANTINE_ATTEMPTS):
            try:
                reply = yield from self._core.quarantining(work.request, self._around.now())
                return Done(work.ticket, Status.OK, reply)
            except (RetryableError, RaceError, CommitUnknownError) as error:
                self._note(error)
                yield Pause(FIRST_PAUSE_SECONDS)
            except Exception as error:  # noqa: BLE001 - one request must not stop the writer
                self._around.quarantine_failed(work, error)
                break
        self._alarms.append(Alarm("quarantine_failed", fields))
        return Done(work.ticket, Status.UNKNOWN, None)

    def _note(self, error: Exception) -> None:
        """Count a failure that is tried again, and log the first of each kind in a batch."""
        name = type(error).__name__
        if not self._retries[name]:
            self._around.again(name, error)
        self._retries[name] += 1


def in_time(work: Work, now: Now) -> Request:
    """Return the request to carry out now: of a credit whose time is over, the block of its key."""
    if work.request.kind in MONEY_KINDS and work.deadline_us <= now.mono_us:
        return msgspec.structs.replace(work.request, kind=Kind.BLOCK)
    return work.request
