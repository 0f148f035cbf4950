"""What the house asks of its own journal: fences raised, breaks opened and mended.  Pure.

Decided in the transaction that writes it, beside the banks' requests and in their order: what stands before a
CLOSE in a list is judged by the open date, what stands behind it by the closed one.
"""

from typing import Protocol

import msgspec

from crm_bridge.journal import Row
from crm_bridge.journal_breaks import MANUAL, QUARANTINE, REFUND, SAF, Break, Breaks, BreakState, noted
from crm_bridge.journal_dates import Calendar
from crm_bridge.journal_fences import EVERY_SPACE, Due, Fences
from qianzhi.domain.requests import Reply, Request
from qianzhi.domain.results import Result
from qianzhi.runtime.effects import Alarm
from qianzhi.runtime.now import Now


class Suspense(Protocol):
    """Where money stands until somebody knows whose it is: billing's desk; a remote core has its own."""

    def suspend(self, reference: str, bank_number: str, amount_fen: int) -> int:
        """Move an amount from a bank's clearing to suspense; return how much stands there by that."""

    def restore(self, reference: str, bank_number: str, amount_fen: int) -> None:
        """Move it back."""


class House:
    """One batch's working copy of fences and breaks."""

    def __init__(
        self,
        fences: Fences,
        breaks: Breaks,
        due: tuple[Due, ...],
        suspense: Suspense,
        calendar: Calendar,
        fence_minutes: int,
        now: Now,
        part: str,
    ) -> None:
        """`due` is what a question for dates to close is told; `fence_minutes` after its cutover a date may
        be closed.
        """
        self.fences = fences
        self.breaks = breaks
        self._due = due
        self._suspense = suspense
        self._calendar = calendar
        self._fence_minutes = fence_minutes
        self._now = now
        self._part = part
        self.alarms: list[Alarm] = []

    def close(self, request: Request, unsettled: int = 0) -> Reply:
        """Raise the fence of a space, unless it is too early or something of its dates is open.

        `unsettled` counts outcomes of these dates that a remote core has not told yet.
        """
        if request.space == EVERY_SPACE:
            return Reply(Result.APPROVED, name="\n".join(one.text for one in self._due), count=len(self._due))
        if self._calendar.days_ahead(request.date) is None:
            return Reply(Result.BAD_DATE)
        if self.fences.closed(request.space, request.date):
            return Reply(Result.APPROVED, settled_us=self._now.wall_us, stored=True)
        if not self._calendar.may_close(request.date, self._fence_minutes):
            return Reply(Result.TOO_EARLY)
        held = self.breaks.open_until(request.space, self.fences.through(request.space), request.date)
        if held or unsettled:
            amount = sum(row.amount_fen for row in held)
            return Reply(Result.BREAK_OPEN, amount_fen=amount, count=len(held) + unsettled)
        self.fences.rise(request.space, request.date, self._now.wall_us, request.reason or self._part)
        return Reply(Result.APPROVED, settled_us=self._now.wall_us)

    def open_break(self, request: Request) -> Reply:
        """Note that a key is open; `manual` puts its amount into suspense and stays until it is mended.

        A node's word on what it stores may come after the date was closed without it.  Clearing has gone out
        with that amount in it, so that it is `manual` from the start: its node's MEND ends it all the same.
        """
        if self._calendar.days_ahead(request.date) is None:
            return Reply(Result.BAD_DATE)
        if request.reason == SAF and self.fences.closed(request.space, request.date):
            request = msgspec.structs.replace(request, reason=MANUAL)
        request = self._seated(request, request.reason)
        stamp_us = noted(request, self._now.wall_us)
        row = self.breaks.get(request.key)
        late = row is not None and stamp_us < row.noted_us + (not row.open)
        if row is not None and (late or (row.open and row.kind in (MANUAL, request.reason))):
            return self._told(row, stored=True)
        return self._told(self._open(row, request, stamp_us))

    def mend(self, request: Request) -> Reply:
        """Note that a key is not open any more; what stood in suspense goes back to clearing.

        A MEND whose BREAK was never seen leaves a mended row, so that the late BREAK opens nothing.  A node's
        ends what it has told, and nothing else of that key; operators name the row that they mean.
        """
        if self._calendar.days_ahead(request.date) is None:
            return Reply(Result.BAD_DATE)
        if request.reason == SAF and not request.own_serial:
            request = self._seated(request, SAF)
        stamp_us, now_us = noted(request, self._now.wall_us), self._now.wall_us
        row = self.breaks.get(request.key)
        if row is None:
            row = _new(request, stamp_us, now_us, self._part)._replace(state=BreakState.MENDED)
            self.breaks.put(row)
            return self._told(row)
        if not row.open or stamp_us < row.noted_us:
            if not row.open and stamp_us > row.noted_us:
                self.breaks.put(row._replace(noted_us=stamp_us))
            return self._told(row, stored=True)
        if row.suspense_fen:
            self._suspense.restore(row.reference, row.bank_number, row.suspense_fen)
        mended = row._replace(
            state=BreakState.MENDED, suspense_fen=0, noted_us=stamp_us, changed_us=now_us, part=self._part
        )
        self.breaks.put(mended)
        return self._told(mended)

    def refund_due(self, row: Row) -> None:
        """Note that a reversal met its date's fence: what it wanted back has to go by the refund path.

        Once per key: a bank that goes on asking opens nothing that a person has mended.
        """
        if self.breaks.get(self.breaks.seat(row.key, REFUND)) is None:
            self._open_for(row, REFUND)

    def quarantined(self, row: Row) -> None:
        """Note that a request of this key could not be processed, until a person has looked."""
        known = self.breaks.get(self.breaks.seat(row.key, QUARANTINE))
        if known is None or not known.open:
            self._open_for(row, QUARANTINE, known)

    def _seated(self, request: Request, kind: str) -> Request:
        """Return a request that names the row of its key in which a break of this kind stands."""
        return msgspec.structs.replace(request, serial=self.breaks.seat(request.key, kind).serial)

    def _open(self, row: Break | None, request: Request, stamp_us: int) -> Break:
        now_us = self._now.wall_us
        new = _new(request, stamp_us, now_us, self._part)
        if row is not None:
            amount, opened_us = new.amount_fen or row.amount_fen, row.opened_us if row.open else now_us
            new = new._replace(amount_fen=amount, opened_us=opened_us, changes=row.changes)
            new = new._replace(noted_us=max(stamp_us, row.noted_us))
        if new.kind == MANUAL:
            if new.amount_fen:
                held = self._suspense.suspend(new.reference, new.bank_number, new.amount_fen)
                new = new._replace(suspense_fen=held)
            self._alarm("break_manual", new)
        if self.fences.closed(new.space, new.business_date):
            self._alarm("break_of_closed_date", new)
        self.breaks.put(new)
        return new

    def _open_for(self, row: Row, kind: str, known: Break | None = None) -> None:
        """Open a break about a journal row, by ourselves."""
        now_us = self._now.wall_us
        noted_us = now_us if known is None else max(now_us, known.noted_us + 1)  # no late copy is about it
        opened = Break(
            *self.breaks.seat(row.key, kind),
            kind,
            BreakState.OPEN,
            row.bank,
            row.bank_number,
            max(0, row.amount_fen),
            0,
            noted_us,
            now_us,
            now_us,
            self._part,
            known.changes if known is not None else 1,
        )
        self.breaks.put(opened)

    def _told(self, row: Break, *, stored: bool = False) -> Reply:
        return Reply(Result.APPROVED, amount_fen=row.amount_fen, settled_us=row.changed_us, stored=stored)

    def _alarm(self, name: str, row: Break) -> None:
        fields = {"key": row.key.text, "kind": row.kind, "amount_fen": row.amount_fen}
        self.alarms.append(Alarm(name, fields))


def _new(request: Request, stamp_us: int, now_us: int, part: str) -> Break:
    return Break(
        *request.key,
        request.reason,
        BreakState.OPEN,
        request.bank,
        request.bank_number,
        max(0, request.amount_fen),
        0,
        stamp_us,
        now_us,
        now_us,
        part,
    )
