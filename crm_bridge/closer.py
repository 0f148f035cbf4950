"""When a bridge asks its core to close business dates: the timer of `[core] day_closes`.  Pure.

    asleep ──the hour has come, or we have just begun──▶ asks which dates are due
    asks   ──some are──▶ one CLOSE for each space, its oldest date first ──all answered──▶ asks again
    asks   ──none is, or all that are were refused just now──▶ asleep

Every bridge does so, also when it starts long after the hour: a date that is closed already is none that is
due.  The clock decides only when to ask; what is closed is what stands in the core's database.

A wall clock that has gone ahead of the monotonic one is doubted, with an alarm: for an hour nothing is asked
for, unless it is set back before.  PostgreSQL has a clock of its own, to which the transaction holds ours as
well; on SQLite there is no other.
"""

from datetime import tzinfo

from crm_bridge.journal_fences import EVERY_SPACE, HOUSE_SERIAL, Due
from qianzhi.domain.dates import business_date, closes_us, shift
from qianzhi.domain.requests import Key, Kind, Reply, Request
from qianzhi.domain.results import Result
from qianzhi.runtime.effects import Alarm
from qianzhi.runtime.now import SECOND_US, Now

TIMER = "timer"  # who has closed a date, where no operator has
AGAIN_SECONDS = 60  # until a date that could not be closed is tried again
LOOK_SECONDS = 600  # the wall clock may be set meanwhile
AHEAD_SECONDS_MAX = 60  # that the wall clock may gain between two looks, as against the database's
DOUBT_SECONDS = 3_600  # until a clock that went ahead is believed: long enough for a person to set it right


class Closer:
    """One bridge's timer; it has at most one round under way."""

    def __init__(self, zone: tzinfo, close_minutes: int) -> None:
        """`close_minutes` after midnight of the next day a business date is to be closed."""
        self._zone = zone
        self._close_minutes = close_minutes
        self._waiting: dict[Key, Request] = {}
        self._closed = 0  # of this round
        self._refused: set[Due] = set()  # of this sweep
        self._told: set[Due] = set()  # refusals that were alarmed
        self._done_through = 0
        self._through = 0  # of this round: no later clock adds a date to it
        self._ahead_us: int | None = None  # of the wall clock before the monotonic one, as believed
        self._doubted_us: int | None = None  # since when it is not (monotonic)
        self.deadline: int | None = 0

    def on_time(self, now: Now) -> tuple[list[Request], list[Alarm]]:
        """Return what is to be asked now, and alarms; the next deadline is set either way."""
        if self._waiting or self.deadline is None or now.mono_us < self.deadline:
            return [], []
        alarms = self._doubt(now)
        if self._doubted_us is not None:
            return self._rest(now), alarms
        through = self._due_through(now)
        self._done_through = min(self._done_through, through)  # the clock was ahead, and was set back
        if through <= self._done_through:
            self._sleep(now)
            return [], []
        self.deadline, self._through = None, through
        return [self._ask(Key(EVERY_SPACE, through, HOUSE_SERIAL))], []

    def on_answer(self, request: Request, reply: Reply | None, now: Now) -> tuple[list[Request], list[Alarm]]:
        """Take the answer to one of our requests, None where it got none; return what to ask next."""
        if self._waiting.pop(request.key, None) is None:
            return [], []
        if request.space == EVERY_SPACE:
            return self._listed(request.date, reply, now)
        alarms = self._noted(Due(request.space, request.date), reply)
        if self._waiting:
            return [], alarms
        if self._closed:
            return [self._ask(Key(EVERY_SPACE, self._through, HOUSE_SERIAL))], alarms
        return self._rest(now), alarms

    def _doubt(self, now: Now) -> list[Alarm]:
        """Compare how both clocks went since the last look; return an alarm where a doubt begins."""
        ahead_us = now.wall_us - now.mono_us
        gained_us = 0 if self._ahead_us is None else ahead_us - self._ahead_us
        over = self._doubted_us is not None and now.mono_us - self._doubted_us >= DOUBT_SECONDS * SECOND_US
        if gained_us <= AHEAD_SECONDS_MAX * SECOND_US or over:
            self._ahead_us, self._doubted_us = ahead_us, None
            return []
        if self._doubted_us is not None:
            return []
        self._doubted_us = now.mono_us
        return [Alarm("clock_ahead", {"seconds": gained_us // SECOND_US})]

    def _listed(self, through: int, reply: Reply | None, now: Now) -> tuple[list[Request], list[Alarm]]:
        if reply is None or reply.result is not Result.APPROVED:
            return self._rest(now), []
        due = [Due.parse(line) for line in reply.name.split("\n") if line]
        due = [one for one in due if one not in self._refused]
        self._closed = 0
        if due:
            return [self._ask(Key(one.space, one.date, HOUSE_SERIAL)) for one in due], []
        if not self._refused:
            self._done_through = through
            self._sleep(now)
            return [], []
        return self._rest(now), []

    def _noted(self, due: Due, reply: Reply | None) -> list[Alarm]:
        if reply is not None and reply.result is Result.APPROVED:
            self._closed += 1
            self._told.discard(due)
            return []
        self._refused.add(due)
        if reply is None or due in self._told:
            return []
        self._told.add(due)
        fields = {"space": due.space, "date": due.date, "why": reply.result.name, "open": reply.count}
        return [Alarm("day_not_closed", fields)]

    def _ask(self, key: Key) -> Request:
        request = Request(Kind.CLOSE, *key, "", "", reason=TIMER)
        self._waiting[key] = request
        return request

    def _rest(self, now: Now) -> list[Request]:
        """Try again soon: something is due that could not be closed."""
        self._refused.clear()
        self.deadline = now.mono_us + AGAIN_SECONDS * SECOND_US
        return []

    def _sleep(self, now: Now) -> None:
        """Wake when the next date is due."""
        next_us = closes_us(shift(self._due_through(now), 1), self._close_minutes, self._zone) - now.wall_us
        self.deadline = now.mono_us + min(max(next_us, 0), LOOK_SECONDS * SECOND_US)

    def _due_through(self, now: Now) -> int:
        """Return the latest business date whose hour to be closed has come."""
        date = shift(business_date(now.wall_us, self._zone), -1)
        return date if closes_us(date, self._close_minutes, self._zone) <= now.wall_us else shift(date, -1)
