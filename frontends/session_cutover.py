"""The bank's notices of cutover 日切: judged, stored, put in force and only then answered.  Pure.

    cutover_begin ─▶ noted, answered                                   CUPS: network code 201, the old date
    cutover ─▶ known? ─▶ answered                                      CUPS: network code 202, the new date
               new?   ─▶ row stored ─▶ in force ─▶ answered
               back, or too far? ─▶ alarm ─▶ refused, and nothing changes

The row is shared by all instances of the bank and rests on the rows before it, as those of sign-on and keys.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

from frontends.front import Outbox
from frontends.session_dates import BusinessDates, Verdict
from frontends.session_line import Asked, Line
from frontends.session_rows import DateRow
from frontends.session_writes import Writes, Written
from qianzhi.domain.results import Result
from qianzhi.runtime.now import Now

CUTOVER, CUTOVER_BEGIN = "cutover", "cutover_begin"  # names under [management]

Answer = Callable[[Asked, Result, Now, Outbox], None]


class Cutover:
    """The business dates of one line, and what its bank says of them."""

    def __init__(self, line: Line, noticed: int, writes: Writes, answer: Answer) -> None:
        """`noticed` is the date of the last notice that was stored; `answer` sends one result back."""
        self.dates = BusinessDates(line.rules.cutover, line.mapping.zone, noticed)
        self._line = line
        self._writes = writes
        self._answer = answer

    def status(self, now: Now) -> dict[str, Any]:
        """Return what an operator wants to see, nothing where dates change at midnight by themselves."""
        rule = self._line.rules.cutover
        return {} if rule == "00:00" else {"business_date": self.dates.date(now), "cutover": rule}

    def on_notice(self, asked: Asked, now: Now, out: Outbox) -> None:
        """Take the bank's notice of the business date that begins."""
        date = self._line.mapping.notice_date(CUTOVER, asked.message, now)
        if date is None:
            return self._answer(asked, Result.FORMAT, now, out)
        verdict = self.dates.judge(date, now)
        if verdict is Verdict.NEW:
            row = DateRow(self._line.bank, date, now.wall_us)
            steps = Written(partial(self._in_force, date, asked), partial(self.on_notice, asked))
            return self._writes.store([row], steps, now, out)
        if verdict is Verdict.REFUSED:
            in_force = self.dates.date(now)
            out.alarm("cutover_refused", business_date=date, in_force=in_force)
            out.note("cutover_refused", now.wall_us, business_date=date, in_force=in_force)
            return self._answer(asked, Result.BAD_DATE, now, out)
        return self._answer(asked, Result.APPROVED, now, out)

    def on_begin(self, asked: Asked, now: Now, out: Outbox) -> None:
        """Note that the bank has begun to cut over; the date changes with the notice that follows."""
        out.note("cutover_begun", now.wall_us, business_date=self.dates.date(now))
        self._answer(asked, Result.APPROVED, now, out)

    def _in_force(self, date: int, asked: Asked, now: Now, out: Outbox) -> None:
        self.dates.adopt(date)
        out.note("cutover", now.wall_us, business_date=date, by="notice")
        self._answer(asked, Result.APPROVED, now, out)
