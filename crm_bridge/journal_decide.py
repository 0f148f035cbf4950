"""What a batch of requests comes to: keys and repeats here, money at the desk, in the order of arrival.
Pure.

Works on what the store loaded and changes only its own copy, so that a batch may be decided again from the
start.
"""

from collections.abc import Callable, Iterable, Sequence

import msgspec

from crm_bridge.gateway_checks import refusal
from crm_bridge.journal import (
    Row,
    State,
    agrees,
    encode,
    kept,
    new_row,
    repeat_of,
    same_content,
    standing_of,
    void_key,
)
from crm_bridge.journal_breaks import Breaks
from crm_bridge.journal_dates import Calendar
from crm_bridge.journal_fences import Fences
from crm_bridge.journal_given import Changes as Changes
from crm_bridge.journal_given import Counter as Counter
from crm_bridge.journal_given import Kept as Kept
from crm_bridge.journal_given import Terms as Terms
from crm_bridge.journal_house import House
from crm_bridge.journal_totals import Tally
from crm_bridge.plain import Recharge, Till
from qianzhi.billing.desk import Job, Outcome
from qianzhi.domain.requests import KEYLESS_KINDS, Key, Kind, Reply, Request
from qianzhi.domain.results import Result
from qianzhi.ledger.invariant import invariant
from qianzhi.runtime.effects import Alarm
from qianzhi.runtime.now import Now

HOUSE_KINDS = frozenset({Kind.CLOSE, Kind.BREAK, Kind.MEND})
# What is answered whatever its date: no key of a row is named, or an open break of an old one is ended.
_ANY_DATE = KEYLESS_KINDS | {Kind.CLOSE, Kind.MEND}
HOUR_US = 3_600_000_000


class Journal:
    """One batch's working copy of the journal, with the desk that its money requests go to."""

    def __init__(
        self, known: Kept, desk: Counter, calendar: Calendar, terms: Terms, now: Now, part: str
    ) -> None:
        self._rows = {row.key: row for row in known.rows}
        self._loaded = frozenset(self._rows)
        self._changed: dict[Key, None] = {}  # as they were settled: mostly in their order already
        self._tally = Tally(known.totals)
        self._fences, self._breaks = Fences(known.fences), Breaks(known.breaks)
        self._unsettled = known.unsettled
        self._house = House(
            self._fences, self._breaks, known.due, desk, calendar, terms.fence_minutes, now, part
        )
        self._desk = desk
        self._calendar = calendar
        self._terms = terms
        self._now = now
        self._part = part
        self.alarms: list[Alarm] = self._house.alarms

    def decide(
        self,
        requests: Sequence[Request],
        plain: Sequence[Key | None] = (),
        recharge: Recharge = lambda key, phone, amount_fen, bank_number: None,
    ) -> list[Reply]:
        """Return each request's reply, in the order given.

        `plain` are the keys of those that may be plain recharges, which the desk approves by `recharge`.
        """
        if not plain:
            return [self._decided(request) for request in requests]
        till, replies = self._till(), list[Reply]()
        for request, key in zip(requests, plain, strict=True):
            reply = till.settle(request, key, recharge) if key is not None else None
            replies.append(self._decided(request) if reply is None else reply)
        return replies

    def quarantine(self, request: Request) -> Reply:
        """Block the key of a request that could not be processed; a key with a row keeps it.

        What such a row says already is said again, for a query that heard "refused" of an approved key would
        take the money back.  Only the reversal of what stands is refused: it stands on.
        """
        refused = refusal(request)
        if refused is not None:
            return Reply(refused)
        if request.kind in KEYLESS_KINDS or request.kind in HOUSE_KINDS:
            return Reply(Result.QUARANTINED)
        if self._too_old(request.date):
            return Reply(Result.TOO_OLD)  # it may stand, its row being kept no more
        asking = request.kind in (Kind.STATUS, Kind.REVERSAL, Kind.VOID)
        row = self._row_of_original(request) if asking else self._row_of_credit(request)
        if row is None and self._fences.closed(request.space, request.date):
            pass  # a closed date takes no key, and needs no block
        elif row is None:
            self._keep(request, State.QUARANTINED, Reply(Result.QUARANTINED, settled_us=self._now.wall_us))
            self._house.quarantined(self._rows[request.key])
        elif request.kind is Kind.STATUS or (asking and row.state is not State.APPROVED):
            return _DECIDE[request.kind](self, request)
        elif not asking:
            return self._repeat(request, row)
        else:
            self._house.quarantined(row)
        return Reply(Result.QUARANTINED)

    def changes(self) -> Changes:
        """Return what is to be written; a row that is new and reversed at once is written once."""
        changed, rows, loaded = sorted(self._changed), self._rows, self._loaded
        inserts = [rows[key] for key in changed if not loaded or key not in loaded]
        reversals = [rows[key] for key in changed if key in loaded] if loaded else []
        new, other = self._breaks.changed()
        return Changes(inserts, reversals, self._tally.added(), self._fences.raised(), new, other)

    def note_refunds(self, keys: Iterable[Key]) -> None:
        """Open a break for each reversal of ours of a closed date that a remote core is asked for."""
        for key in keys:
            if self._fences.closed(key.space, key.date) and key in self._rows:
                self._house.refund_due(self._rows[key])

    def _till(self) -> Till:
        terms = self._terms
        return Till(
            *(self._rows, self._changed, self._tally, self._fences.closed_through),
            *(self._takes, terms.amount_fen_max, self._now.wall_us, self._part),
        )

    def _takes(self, date: int) -> bool:
        """Say whether a date takes new keys as long as it is not closed: see `_too_old`, `_date_refusal`."""
        ahead = self._calendar.days_ahead(date)
        return ahead is not None and -1 <= ahead <= min(1, self._terms.keep_days) and not self._too_old(date)

    def _decided(self, request: Request) -> Reply:
        refused = refusal(request)
        if refused is None and request.kind not in _ANY_DATE and self._too_old(request.date):
            refused = Result.TOO_OLD  # its row may be there still, and is about to go: the same for all
        return Reply(refused) if refused is not None else _DECIDE[request.kind](self, request)

    def _close(self, request: Request) -> Reply:
        after = self._fences.through(request.space)
        unsettled = [
            count
            for (space, date), count in self._unsettled.items()
            if space == request.space and after < date <= request.date
        ]
        return self._house.close(request, sum(unsettled))

    def _totals(self, request: Request) -> Reply:
        """Compare a bank's totals; any date may be asked about that can have rows, closed ones too."""
        ahead = self._calendar.days_ahead(request.date)
        if ahead is None or ahead > 1:
            return Reply(Result.BAD_DATE)
        if ahead < -self._terms.keep_days:
            return Reply(Result.TOO_OLD)
        return msgspec.structs.replace(self._tally.answer(request), settled_us=self._now.wall_us)

    def _owed(self, request: Request) -> Reply:
        return self._reply(self._desk.owed(request.phone))

    def _credit(self, request: Request) -> Reply:
        key = request.key
        row = self._row_of_credit(request, key)
        if row is not None:
            return self._repeat(request, row)
        refused = self._date_refusal(request)
        if refused is not None:
            return refused
        if request.amount_fen <= 0:
            return self._refuse(request, Reply(Result.BAD_AMOUNT))
        if request.amount_fen > self._terms.amount_fen_max:
            return self._refuse(request, Reply(Result.AMOUNT_LIMIT))
        job = Job(request.kind, key, request.phone, request.amount_fen, request.bank_number, request.bill)
        reply = self._reply(self._desk.credit(job))
        if reply.result is not Result.APPROVED:
            return self._refuse(request, reply)
        return self._keep(request, State.APPROVED, reply, key)

    def _block(self, request: Request) -> Reply:
        row = self._row_of_credit(request)
        if row is not None:
            return self._repeat(request, row)
        refused = self._date_refusal(request)
        if refused is not None:
            return refused
        return self._keep(request, State.BLOCKED, Reply(Result.BLOCKED, settled_us=self._now.wall_us))

    def _status(self, request: Request) -> Reply:
        row = self._row_of_original(request)
        return self._settle_unseen(request) if row is None else standing_of(row)

    def _void(self, request: Request) -> Reply:
        """Undo an original whose money is unspent, or refuse for good.

        Money that is spent now may be there again in a minute: without a row of its refusal, a copy of the
        void that another bridge still holds would be carried out after its asker was told no.
        """
        row = self._row_of_original(request)
        key = void_key(row.key, request.own_serial) if row is not None and request.own_serial else None
        if key is not None and key in self._rows:
            return kept(self._rows[key].reply)
        reply = self._reversal(request)
        if key is not None and reply.result is Result.SPENT:
            reply = msgspec.structs.replace(reply, settled_us=self._now.wall_us)
            self._rows[key] = new_row(request, key, State.REFUSED, reply, self._now.wall_us, self._part)
            self._changed[key] = None
        return reply

    def _reversal(self, request: Request) -> Reply:
        row = self._row_of_original(request)
        if row is None:
            return self._settle_unseen(request)
        if row.state is State.BLOCKED and row.result == Result.NOT_FOUND:
            return kept(row.reply)
        if row.state not in (State.APPROVED, State.REVERSED):
            return Reply(Result.ORIGINAL_REFUSED, settled_us=row.decided_us)
        if request.amount_fen and request.amount_fen != row.amount_fen:
            return Reply(Result.AMOUNT_DIFFERS)
        if request.phone and request.phone != row.phone:
            return Reply(Result.DUPLICATE_SERIAL)
        if row.state is State.REVERSED:
            invariant(row.reversal_reply is not None, "a reversed row keeps the reply to its reversal")
            return kept(row.reversal_reply or b"")
        if not self._fences.closed(row.space, row.business_date):
            return self._reverse(row, request.kind)
        return self._undo_closed(request, row)

    def _undo_closed(self, request: Request, row: Row) -> Reply:
        """Answer who wants an original of a closed date undone (rule 10).

        The bank's reversal is refused, and what it wanted goes by the refund path: a break says so, until a
        person has seen to it.  Our own, which names its reason, is carried out all the same; what the bank
        was told of that day is wrong by it, so it leaves the same break.
        """
        if request.kind is Kind.VOID:
            return Reply(Result.DATE_CLOSED)
        reply = self._reverse(row, request.kind) if request.reason else Reply(Result.DATE_CLOSED)
        if reply.result in (Result.APPROVED, Result.DATE_CLOSED):
            self._house.refund_due(row)
        return reply

    def _reverse(self, row: Row, kind: Kind) -> Reply:
        invariant(row.order_serial is not None, "an approved row names its work order")
        outcome = self._desk.reverse(row.order_serial or "", row.key, row.bank_number, kind)
        if outcome.result is not Result.APPROVED:
            return Reply(outcome.result)
        if outcome.shortage_fen:
            fields = {"key": row.key.text, "order": outcome.order, "shortage_fen": outcome.shortage_fen}
            self.alarms.append(Alarm("reversal_left_arrears", fields))
        reply = msgspec.structs.replace(self._reply(outcome), order=row.order_serial or "")
        self._rows[row.key] = row._replace(
            state=State.REVERSED,
            reversal_order=outcome.order,
            reversal_reply=encode(reply),
            reversed_us=self._now.wall_us,
        )
        self._changed[row.key] = None
        self._tally.reverse(row.bank_number, row.business_date, row.amount_fen)
        return reply

    def _row_of_credit(self, request: Request, key: Key | None = None) -> Row | None:
        """Return the row under the request's own key, or, where the date is ours, of a day beside it."""
        row = self._rows.get(key or request.key)
        if row is not None or not request.date_ours:
            return row
        for date in self._calendar.beside(request.date):
            row = self._rows.get(request.key._replace(date=date))
            if row is not None and self._is_recent_repeat(request, row):
                return row
        return None

    def _is_recent_repeat(self, request: Request, row: Row) -> bool:
        if self._now.wall_us - row.received_us >= self._terms.repeat_hours * HOUR_US:
            return False
        return same_content(request, row) if row.content else agrees(request, row)

    def _row_of_original(self, request: Request) -> Row | None:
        """Return the row that a query or reversal means; where the date is ours, the one that fits."""
        own = self._rows.get(request.key)
        if not request.date_ours:
            return own
        beside = (
            self._rows.get(request.key._replace(date=date)) for date in self._calendar.beside(request.date)
        )
        found = [row for row in (own, *beside) if row is not None]
        return next((row for row in found if agrees(request, row)), found[0] if found else None)

    def _repeat(self, request: Request, row: Row) -> Reply:
        """Return the kept answer, unless the key was used with other content."""
        return repeat_of(row) if same_content(request, row) else Reply(Result.DUPLICATE_SERIAL)

    def _date_refusal(self, request: Request) -> Reply | None:
        """Refuse a new key whose date is too old, closed or too far ahead.

        A past or closed date only gets older, so the refusal needs no row.  A date ahead would become
        acceptable by waiting, and a late copy would be credited after its bank was told no: that refusal is
        kept.  So is that of a closed date of ours, for the next copy may be given another date.
        """
        ahead = self._calendar.days_ahead(request.date)
        if ahead is None or ahead > self._terms.keep_days or ahead < -1:
            return Reply(Result.BAD_DATE)
        if self._fences.closed(request.space, request.date):
            closed = Reply(Result.DATE_CLOSED)
            return self._refuse(request, closed) if request.date_ours else closed
        return self._refuse(request, Reply(Result.BAD_DATE)) if ahead > 1 else None

    def _too_old(self, date: int) -> bool:
        ahead = self._calendar.days_ahead(date)
        return ahead is not None and (ahead < -self._terms.keep_days or date <= self._terms.kept_after)

    def _settle_unseen(self, request: Request) -> Reply:
        """Answer a query or reversal of a key that was never seen: asking settles, by a tombstone (rule 4).

        A closed date takes no tombstone, because it takes no original either; where the date is ours, its
        late original may be given another one, which is open.
        """
        ahead = self._calendar.days_ahead(request.date)
        reply = Reply(Result.NOT_FOUND, settled_us=self._now.wall_us)
        shut = self._fences.closed(*request.key[:2]) and not request.date_ours
        if ahead is None or ahead > self._terms.keep_days or shut:
            return reply
        return self._keep(request, State.BLOCKED, reply)

    def _refuse(self, request: Request, reply: Reply) -> Reply:
        return self._keep(
            request, State.REFUSED, msgspec.structs.replace(reply, settled_us=self._now.wall_us)
        )

    def _keep(self, request: Request, state: State, reply: Reply, key: Key | None = None) -> Reply:
        key = key or request.key
        invariant(key not in self._rows, "a key is settled once")
        self._rows[key] = new_row(request, key, state, reply, self._now.wall_us, self._part)
        self._changed[key] = None
        if state is State.APPROVED:
            self._tally.approve(request.bank_number, key.date, request.amount_fen)
        return reply

    def _reply(self, outcome: Outcome) -> Reply:
        return Reply(
            outcome.result,
            outcome.order,
            outcome.amount_fen,
            outcome.balance_fen,
            outcome.bills,
            outcome.name,
            self._now.wall_us,
        )


_DECIDE: dict[Kind, Callable[[Journal, Request], Reply]] = {
    Kind.OWED: Journal._owed,
    Kind.RECHARGE: Journal._credit,
    Kind.PAY: Journal._credit,
    Kind.STATUS: Journal._status,
    Kind.REVERSAL: Journal._reversal,
    Kind.BLOCK: Journal._block,
    Kind.TOTALS: Journal._totals,
    Kind.VOID: Journal._void,
    Kind.CLOSE: Journal._close,
    Kind.BREAK: lambda journal, request: journal._house.open_break(request),
    Kind.MEND: lambda journal, request: journal._house.mend(request),
}
