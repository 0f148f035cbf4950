"""Claims on keys: calls that are intended, outcomes that are open, what an outcome does to the journal.

Pure.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import msgspec

from crm_bridge.journal import Row
from crm_bridge.journal_decide import Changes, Journal
from crm_bridge.journal_totals import Day, Totals
from crm_bridge.remote.contract import Answered, Call, Outcome, Unanswered, What
from crm_bridge.remote.desks import Planner, Teller
from qianzhi.domain.requests import MONEY_KINDS, Key, Kind, Reply, Request
from qianzhi.domain.results import Result
from qianzhi.runtime.effects import Alarm
from qianzhi.runtime.now import Now

MakeJournal = Callable[[Iterable[Row], Planner | Teller, Now], Journal]
# What a core may refuse a reversal for of what stands here; any other refusal contradicts the journal.
_REVERSAL_REFUSALS = frozenset({Result.DATE_CLOSED, Result.TOO_OLD, Result.QUARANTINED})


class Claim(NamedTuple):
    """An intent without its result: the request that a call was, or was to be, made for; since when."""

    request: Request
    part: str
    since_us: int

    @property
    def key(self) -> Key:
        """The key that is claimed."""
        return self.request.key


class Claims(NamedTuple):
    """What a transaction does to claims: keys settled at once, credits and reversals intended, keys whose
    call is over.
    """

    settled: Sequence[Key] = ()
    credits: Sequence[Request] = ()
    reversals: Sequence[Request] = ()
    closed: Sequence[Key] = ()


class Ended(NamedTuple):
    """One call's outcome, judged as at the time at which the call was intended."""

    call: Call
    outcome: Outcome
    at: Now


class Telling:
    """Turns the outcomes of calls into replies, and gathers what they change."""

    def __init__(self, rows: Iterable[Row], journal: MakeJournal) -> None:
        """`rows` are those of all the keys that the outcomes are about."""
        self._rows = {row.key: row for row in rows}
        self._journal = journal
        self._changes: list[Changes] = []
        self.closed: list[Key] = []
        self.alarms: list[Alarm] = []

    def tell(self, one: Ended) -> Reply:
        """Decide one outcome by the journal, as the same request would be decided on a core of ours."""
        if one.call.what is What.OWED:
            return self._owed(one)
        if stays_open(one):
            return Reply(Result.UNKNOWN)
        self.closed.append(one.call.request.key)
        if isinstance(one.outcome, Unanswered):
            return self._decide(not_forwarded(one.call.request), Planner(one.call.request), one.at)
        if one.call.what is What.QUERY:
            asked = msgspec.structs.replace(one.call.request, kind=Kind.STATUS)
            return self._decide(asked, Teller(one.outcome), one.at)
        return self._moved(one.call, one.outcome, one.at)

    def changes(self) -> Changes:
        """Return all that the outcomes change, in one."""
        totals: dict[Day, Totals] = {}
        for changes in self._changes:
            for day, more in changes.totals:
                totals[day] = totals.get(day, Totals()).plus(more)
        inserts = sorted((row for one in self._changes for row in one.inserts), key=lambda row: row.key)
        reversals = sorted((row for one in self._changes for row in one.reversals), key=lambda row: row.key)
        return Changes(inserts, reversals, sorted(totals.items()))

    def _owed(self, one: Ended) -> Reply:
        if isinstance(one.outcome, Answered):
            return self._journal((), Teller(one.outcome), one.at).decide([one.call.request])[0]
        return Reply(Result.UNKNOWN if one.outcome.sent else Result.UNAVAILABLE)

    def _moved(self, call: Call, answer: Answered, at: Now) -> Reply:
        """Decide a credit or a reversal that the core has answered."""
        if call.what is What.REVERSAL and answer.result is not Result.APPROVED:
            if answer.result in _REVERSAL_REFUSALS:
                return Reply(answer.result)
            return self._contradicted(call.request, answer)
        reply = self._decide(call.request, Teller(answer), at)
        if answer.result is Result.APPROVED and reply.result not in (Result.APPROVED, Result.REVERSED):
            return self._contradicted(call.request, answer)
        return reply

    def _decide(self, request: Request, desk: Planner | Teller, at: Now) -> Reply:
        row = self._rows.get(request.key)
        journal = self._journal([row] if row is not None else (), desk, at)
        reply = journal.decide([request])[0]
        changes = journal.changes()
        self._changes.append(changes)
        self.alarms += journal.alarms
        self._rows.update((row.key, row) for row in (*changes.inserts, *changes.reversals))
        return reply

    def _contradicted(self, request: Request, answer: Answered) -> Reply:
        """The core says what cannot be by the journal: a person has to look, and nothing is concluded."""
        row = self._rows.get(request.key)
        journal = row.state.name.lower() if row is not None else "no row"
        fields = {"key": request.key.text, "core": answer.result.name.lower(), "journal": journal}
        self.alarms.append(Alarm("core_contradicts_journal", fields))
        return Reply(Result.UNKNOWN)


def stays_open(one: Ended) -> bool:
    """Say whether a call's claim stays open: its outcome is not known, or it is a reversal, which is
    promised even if certainly nothing of it has left.
    """
    if one.call.what is What.OWED or isinstance(one.outcome, Answered):
        return False
    return one.outcome.sent or one.call.what is What.REVERSAL


def results_of(claim: Claim, outcome: Outcome) -> list[Ended]:
    """Return what the answer to a status query says of the call that was open."""
    request, at = claim.request, time_of(claim)
    outcome = never_certain(outcome)
    if claim.request.kind is Kind.REVERSAL:
        if isinstance(outcome, Answered) and outcome.result is Result.REVERSED:
            outcome = outcome._replace(result=Result.APPROVED)
        return [Ended(Call(What.REVERSAL, request), outcome, at)]
    if isinstance(outcome, Unanswered):
        return [Ended(Call(What.CREDIT, request), outcome, at)]
    if outcome.result is Result.NOT_FOUND:
        return [Ended(Call(What.QUERY, request), outcome, at)]
    if outcome.result is Result.REVERSED:
        approved = outcome._replace(result=Result.APPROVED)
        reversal = msgspec.structs.replace(request, kind=Kind.REVERSAL)
        return [
            Ended(Call(What.CREDIT, request), approved, at),
            Ended(Call(What.REVERSAL, reversal), approved, at),
        ]
    return [Ended(Call(What.CREDIT, request), outcome, at)]


def never_certain(outcome: Outcome) -> Outcome:
    """Return the outcome of asking about a call that was open: where not even the question left, the call
    itself may have.
    """
    return outcome._replace(sent=True) if isinstance(outcome, Unanswered) else outcome


def claims_for(changes: Changes, calls: Iterable[Call]) -> Claims:
    """Return the claims that settled rows and intended calls make."""
    calls = list(calls)
    return Claims(
        settled=[row.key for row in changes.inserts],
        credits=[call.request for call in calls if call.what is What.CREDIT],
        reversals=[call.request for call in calls if call.what is What.REVERSAL],
    )


def not_forwarded(request: Request) -> Request:
    """Return what becomes of a request that is not forwarded: of a credit, the block of its key (rule 4)."""
    if request.kind not in MONEY_KINDS:
        return request
    return msgspec.structs.replace(request, kind=Kind.BLOCK)


def time_of(claim: Claim) -> Now:
    """Return the time at which a call was intended: its date is judged as at that time, however late its
    outcome is learnt.
    """
    return Now(0, claim.since_us)
