"""The embedded core step by step, over whatever keeps its books: loads what a list touches, decides it in
order of arrival, writes keys first and commits.

Pure.  Loading saves work, the insert judges: fewer keys inserted than decided → roll back, load, decide
again.
Before each call of the database it yields, because there others may come in between (`steps`).
"""

from collections.abc import Callable, Sequence
from datetime import tzinfo
from typing import TYPE_CHECKING, NamedTuple

from crm_bridge.batch import Books, Changes
from crm_bridge.gateway_errors import RaceError
from crm_bridge.journal_dates import Calendar
from crm_bridge.journal_decide import Journal, Kept, Terms
from crm_bridge.plain import NOTHING_PLAIN, plain_of, still_plain
from crm_bridge.steps import Committing, Loading, Saving, Steps
from crm_bridge.wanted import wants
from qianzhi.billing.bills import Tariff
from qianzhi.billing.desk import Desk
from qianzhi.domain.requests import Reply, Request
from qianzhi.ledger.sheet import Sheet
from qianzhi.runtime.effects import Alarm
from qianzhi.runtime.now import Now

if TYPE_CHECKING:
    from crm_bridge.settings import CoreSettings  # it reads URLs; its shape alone is used here

RACES_MAX = 5
SET_BACK_US_MAX = 3_600_000_000  # a clock that is set back further is an operator's doing


# What a list has become: of a credit whose time is over meanwhile, the block of its key.
Again = Callable[[], Sequence[Request]]


class Rules(NamedTuple):
    """What the core's settings say to a batch."""

    terms: Terms
    tariff: Tariff
    zone: tzinfo


class SteppedGateway:
    """The core of one writer, `part` of the accounts that every request moves is its own."""

    def __init__(self, books: Books, rules: Rules, part: str) -> None:
        self._books = books
        self._rules = rules
        self._part = part
        self._alarms: list[Alarm] = []
        self._latest_us = 0

    def executing(
        self, requests: Sequence[Request], now: Now, again: Again | None = None
    ) -> Steps[list[Reply]]:
        """Carry out a list in one transaction; return the replies in its order.  `again` is asked when all
        is locked: waiting for others may have taken longer than a credit had.

        Raises RetryableError (nothing written), CommitUnknownError, RaceError; anything else is one
        request's fault and nothing was written: halve the list.
        """
        for _ in range(RACES_MAX):
            replies = yield from self._trying(requests, now, again)
            if replies is not None:
                return replies
        raise RaceError(f"{RACES_MAX} times others claimed keys of this batch")

    def quarantining(self, request: Request, now: Now) -> Steps[Reply]:
        """Block the key of a request that fails even alone, in a transaction of its own; return the refusal.

        A key that the journal knows keeps its row, and its repeat gets the kept answer.  Raises as
        `executing`.
        """
        for _ in range(RACES_MAX):
            replies = yield from self._trying([request], now, quarantine=True)
            if replies is not None:
                return replies[0]
        raise RaceError(f"{RACES_MAX} times others claimed the key to be blocked")

    def keep_after(self, date: int) -> None:
        """Refuse keys of this date and before it as too old: their rows may be gone."""
        self._rules = self._rules._replace(terms=self._rules.terms._replace(kept_after=date))

    def take_alarms(self) -> list[Alarm]:
        """Return the alarms of committed lists since the last call."""
        alarms, self._alarms = self._alarms, []
        return alarms

    def _trying(
        self, requests: Sequence[Request], now: Now, again: Again | None = None, *, quarantine: bool = False
    ) -> Steps[list[Reply] | None]:
        """Decide and commit once; return None when a key was claimed by somebody else meanwhile."""
        clock_us, now = now.wall_us, self._steady(now)
        rules, part = self._rules, self._part
        calendar = Calendar(now, rules.zone, clock_us)
        plain, asked = NOTHING_PLAIN if quarantine else plain_of(requests), requests
        wanted = wants(requests, calendar, part, plain, quarantine=quarantine)
        with self._books.transaction() as transaction:
            yield Loading(wanted)
            batch = transaction.load(wanted, now.wall_us)
            requests = again() if again is not None else requests
            sheet = Sheet(batch.accounts)
            desk = Desk(batch.billing, sheet, rules.tariff, calendar.today, now, part)
            kept = Kept(batch.rows, batch.totals, batch.fences, batch.breaks, batch.due)
            journal = Journal(kept, desk, calendar, rules.terms, now, part)
            if quarantine:
                replies = [journal.quarantine(one) for one in requests]
            else:
                replies = journal.decide(requests, still_plain(plain, asked, requests), desk.recharge)
            changes = Changes(journal.changes(), desk.changes(), sheet.changes())
            yield Saving()
            if not transaction.save(changes, part):
                return None
            # Before the outcome is known: executed again, a reversal that was committed finds itself done and
            # raises nothing.  An alarm for nothing is the lesser harm.
            self._alarms += journal.alarms
            yield Committing()
            transaction.commit()
        return replies

    def _steady(self, now: Now) -> Now:
        """Let the wall clock stand still while it is behind what it has shown: a date that was answered as
        closed, without a tombstone, must not take its late original after all.
        """
        if 0 < self._latest_us - now.wall_us < SET_BACK_US_MAX:
            return now._replace(wall_us=self._latest_us)
        self._latest_us = now.wall_us
        return now


def rules_of(settings: "CoreSettings", zone: tzinfo) -> Rules:
    """Return what the settings say to a batch."""
    return Rules(terms_of(settings), settings.tariff, zone)


def terms_of(settings: "CoreSettings") -> Terms:
    """Return what the settings say to a decision."""
    given = (settings.amount_fen_max, settings.keep_days, settings.repeat_hours, settings.fence_minutes)
    return Terms(*given)
