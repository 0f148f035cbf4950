"""The remote core as a writer sees it: intents into the journal, calls to the core, results into the journal.

The journal decides about keys, repeats and dates as it does for the embedded core; the core is asked for what
moves money.  For each wave of a list:

    1  one transaction: what can be settled here is, and each call's key gets an open claim
    2  the calls, outside of any transaction
    3  one transaction: results into the journal, claims closed

An open claim without a call under way is an outcome that is not known: before anything else happens to its
key the core is asked for it, and asking settles.  Nothing is concluded from silence.  What stays open is
promised, by an entry of store-and-forward that is stored with the claim; so is a reversal that cannot be
forwarded now.  Delivering it is `courier`'s.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import tzinfo
from typing import NamedTuple, Protocol

import msgspec

from crm_bridge.gateway_checks import key_refusal
from crm_bridge.gateway_errors import CommitUnknownError, RaceError, RetryableError
from crm_bridge.gateway_steps import terms_of
from crm_bridge.journal import Row, repeat_of
from crm_bridge.journal_dates import Calendar
from crm_bridge.journal_decide import HOUSE_KINDS, Journal, Kept
from crm_bridge.journal_decide import Changes as JournalChanges
from crm_bridge.remote.claims import (
    Claim,
    Claims,
    Ended,
    Telling,
    claims_for,
    never_certain,
    not_forwarded,
    results_of,
    stays_open,
    time_of,
)
from crm_bridge.remote.comparing import differing, to_compare
from crm_bridge.remote.contract import Answered, Call, Outcome, What
from crm_bridge.remote.desks import Planner, Teller
from crm_bridge.remote.promises import Promising
from crm_bridge.remote.store import ClaimStore, ClaimTransaction
from crm_bridge.remote.waves import named_keys, waves
from crm_bridge.settings import CoreSettings
from crm_bridge.wanted import wants
from qianzhi.domain.requests import Key, Kind, Reply, Request
from qianzhi.domain.results import Result
from qianzhi.runtime.crash import crashpoint
from qianzhi.runtime.effects import Alarm
from qianzhi.runtime.now import Now
from qianzhi.saf.policies import Policy
from qianzhi.saf.rows import Entry

RACES_MAX = 5
TIMEOUT = "timeout"


class Asked(Protocol):
    """What this gateway needs of the client."""

    @property
    def ready(self) -> bool:
        """Whether calls are forwarded now."""

    def ask(self, calls: Sequence[Call]) -> list[Outcome]:
        """Make calls that do not touch each other; return their outcomes in the same order."""

    def take_alarms(self) -> list[Alarm]:
        """Return the alarms raised since the last call."""


class _Plan(NamedTuple):
    """What a wave comes to before the core is asked; `unsettled` claims have to be asked for first, and
    `promised` are reversals that cannot be forwarded now.
    """

    unsettled: list[Claim]
    replies: dict[int, Reply]
    calls: dict[int, Call]
    promised: list[Call]


class RemoteGateway:
    """One user of the remote core: a writer, the settler or the courier; used by one thread at a time."""

    def __init__(
        self,
        settings: CoreSettings,
        zone: tzinfo,
        core: Asked,
        bridge: str = "bridge1",
        lane: int = 0,
        promising: Promising | None = None,
        promised: Callable[[list[Entry]], None] = lambda entries: None,
    ) -> None:
        """`promised` hears of entries once they are stored; on the thread that uses this."""
        self._store = ClaimStore(settings.database)
        self._core = core
        self._terms = terms_of(settings)
        self._zone = zone
        self._part = f"{bridge}/{lane}"
        self._promising = promising or Promising(bridge, Policy(), zone)
        self._promised = promised
        self._alarms: list[Alarm] = []
        self._begun = False

    @property
    def forwards(self) -> bool:
        """Whether calls are forwarded now."""
        return self._core.ready

    def execute(
        self, requests: Sequence[Request], now: Now, again: Callable[[], Sequence[Request]] | None = None
    ) -> list[Reply]:
        """Carry out a list; return the replies in its order, UNKNOWN where the core did not answer.  `again`
        is asked before each wave: the one before may have taken longer than a credit had.

        Raises RetryableError and RaceError where nothing was written or asked, CommitUnknownError where
        something may have been: the same list again gives the answers.
        """
        self._begun = False
        replies: dict[int, Reply] = {}
        try:
            for wave in waves(requests, self._calendar(now).beside):
                requests = again() if again is not None else requests
                answers = self._wave([requests[place] for place in wave], now)
                replies.update(zip(wave, answers, strict=True))
        except (RetryableError, RaceError) as error:
            if not self._begun:
                raise
            raise CommitUnknownError(f"part of the list was carried out: {error}") from error
        return [replies[place] for place in range(len(requests))]

    def quarantine(self, request: Request, now: Now) -> Reply:
        """Block the key of a request that fails even alone; one whose outcome is open is asked for first."""
        wanted = wants([request], self._calendar(now), self._part, quarantine=True)
        for _ in range(RACES_MAX):
            with self._store.transaction() as transaction:
                loaded = transaction.load(wanted)
                journal = self._journal(loaded.kept, Planner(request), now)
                if not loaded.claims:
                    reply = journal.quarantine(request)
                    changes = journal.changes()
                    claims = Claims(settled=[row.key for row in changes.inserts])
                    if transaction.save(changes, claims, self._part, now.wall_us):
                        transaction.commit()
                        return reply
            if self._settle(loaded.claims):
                raise RetryableError("the core does not say what became of the key")
        raise RaceError(f"{RACES_MAX} times others claimed the key to be blocked")

    def lookup(self, keys: Sequence[Key]) -> dict[Key, Reply]:
        """Return what a repeat of each key would be told now; a key without a result is missing."""
        known = [key for key in keys if key_refusal(key) is None]
        return {row.key: repeat_of(row) for row in self._store.rows(known)}

    def promise_overdue(self, before_us: int, claims_max: int) -> int:
        """Promise what the oldest claims made before an instant are about, that a death left open and no
        entry delivers; return how many there were.
        """
        claims = self._store.overdue(before_us, claims_max)
        if claims:
            with self._store.transaction() as transaction:
                self._commit(transaction, self._promise(transaction, claims))
        return len(claims)

    def look(self, keys: Sequence[Key]) -> tuple[list[Claim], dict[Key, Row]]:
        """Return what is open about keys, and what the journal has under them."""
        with self._store.transaction() as transaction:
            rows = {row.key: row for row in transaction.load_rows(keys)}
            return transaction.open_claims(keys), rows

    def ask_once(self, claim: Claim, now: Now) -> bool:
        """Ask what became of a claim that a person has seen to, and close it whatever the core says: where
        the original stands, without a word to the journal.  Say whether the core said anything.
        """
        (outcome,) = self._core.ask([Call(What.QUERY, claim.request)])
        if not isinstance(outcome, Answered):
            return False
        if claim.request.kind is not Kind.REVERSAL or outcome.result is not Result.APPROVED:
            self._finish(results_of(claim, outcome))
            return True
        with self._store.transaction() as transaction:
            transaction.save(JournalChanges(), Claims(closed=[claim.key]), self._part, now.wall_us)
            transaction.commit()
        return True

    def keep_after(self, date: int) -> None:
        """Refuse keys of this date and before it as too old."""
        self._terms = self._terms._replace(kept_after=date)

    def take_alarms(self) -> list[Alarm]:
        """Return the alarms raised since the last call."""
        alarms, self._alarms = self._alarms + self._core.take_alarms(), []
        return alarms

    def close(self) -> None:
        """Let the database go."""
        self._store.close()

    def _wave(self, requests: Sequence[Request], now: Now, *, again: bool = True) -> list[Reply]:
        """Carry out requests that do not touch each other."""
        unknown: set[Key] = set()
        plan = None
        for _ in range(RACES_MAX):
            plan = self._plan(requests, now, unknown)
            if plan is not None and not plan.unsettled:
                break
            unknown |= self._settle(plan.unsettled) if plan is not None else set()
        if plan is None or plan.unsettled:
            raise RaceError(f"{RACES_MAX} times others claimed keys of this wave")
        replies = plan.replies
        self._compare_totals(requests, replies, now)
        if not plan.calls:
            return [replies[place] for place in range(len(requests))]
        crashpoint("remote.before_calls")
        outcomes = self._core.ask(list(plan.calls.values()))
        crashpoint("remote.after_calls")
        results = [
            Ended(call, outcome, now) for call, outcome in zip(plan.calls.values(), outcomes, strict=True)
        ]
        # What broke off at once is asked for at once; who waited in vain has no time left.
        broken = {place for place, one in zip(plan.calls, results, strict=True) if again and _broke_off(one)}
        asked_at_once = {plan.calls[place].request.key for place in broken}
        replies |= zip(plan.calls, self._finish(results, asked_at_once), strict=True)
        if broken:
            claims = [Claim(plan.calls[place].request, self._part, now.wall_us) for place in sorted(broken)]
            still = self._settle(claims)
            known = [place for place in sorted(broken) if plan.calls[place].request.key not in still]
            if known:
                settled = self._wave([requests[place] for place in known], now, again=False)
                replies |= zip(known, settled, strict=True)
        return [replies[place] for place in range(len(requests))]

    def _plan(self, requests: Sequence[Request], now: Now, unknown: set[Key]) -> _Plan | None:
        """Settle in one transaction what needs no call, and claim what does; None when somebody else was
        first.  Nothing is written while a claim has to be asked for.
        """
        calendar = self._calendar(now)
        named = [_settled_first(request, calendar) for request in requests]
        asked_about = {key for keys in named for key in keys} - unknown
        forward = self._core.ready
        plan = _Plan([], {}, {}, [])
        here: list[int] = []
        with self._store.transaction() as transaction:
            kept, open_claims = transaction.load(wants(requests, calendar, self._part))
            plan.unsettled.extend(claim for claim in open_claims if claim.key in asked_about)
            if plan.unsettled:
                return plan
            rows = {row.key: row for row in kept.rows}
            asked = [one if forward else not_forwarded(one) for one in requests]
            for place, request in enumerate(asked):
                mine = [rows[key] for key in named[place] if key in rows]
                call = self._call(request, kept._replace(rows=mine), now)
                if unknown.intersection(named[place]):
                    plan.replies[place] = Reply(Result.UNKNOWN)
                elif call is None:
                    here.append(place)
                elif forward:
                    plan.calls[place] = call
                elif call.what is What.OWED:
                    plan.replies[place] = Reply(Result.UNAVAILABLE)
                else:  # a reversal, as a credit is blocked instead
                    plan.promised.append(call)
                    plan.replies[place] = Reply(Result.UNKNOWN)
            journal = self._journal(kept, Planner(asked[0]), now)
            plan.replies.update(zip(here, journal.decide([asked[place] for place in here]), strict=True))
            intended = [*plan.calls.values(), *plan.promised]
            journal.note_refunds([one.request.key for one in intended if one.what is What.REVERSAL])
            changes = journal.changes()
            claims = claims_for(changes, intended)
            if not transaction.save(changes, claims, self._part, now.wall_us):
                return None
            self._begun = self._begun or any(changes) or any(claims)
            self._alarms += journal.alarms
            stored = [Claim(one.request, self._part, now.wall_us) for one in plan.promised]
            self._commit(transaction, self._promise(transaction, stored))
        return plan

    def _promise(self, transaction: ClaimTransaction, claims: Iterable[Claim]) -> list[Entry]:
        entries = [self._promising.entry(claim) for claim in claims]
        return transaction.promise(entries, self._promising.bridge)

    def _commit(self, transaction: ClaimTransaction, promised: list[Entry]) -> None:
        """Commit, and say what was promised; also where that is not known: whoever delivers it finds out."""
        try:
            transaction.commit()
        finally:
            if promised:
                self._promised(promised)

    def _call(self, request: Request, kept: Kept, now: Now) -> Call | None:
        """Return the call that a request needs, None when the journal can answer it."""
        planner = Planner(request)
        self._journal(kept, planner, now).decide([request])
        call = planner.call
        if call is not None and call.what is What.REVERSAL:
            row = next(row for row in kept.rows if row.key == call.request.key)
            request = msgspec.structs.replace(call.request, amount_fen=row.amount_fen, phone=row.phone)
            return Call(call.what, request)
        return call

    def _settle(self, claims: Sequence[Claim]) -> set[Key]:
        """Ask the core what became of claims and write it down; return the keys that stay unknown."""
        return self.settle(claims)[0] if claims else set()

    def settle(self, claims: Sequence[Claim]) -> tuple[set[Key], dict[Key, Result]]:
        """Ask the core what became of claims and write it down; a reversal that it has not carried out is
        asked again.  Return the keys that stay unknown, and what was said of each.
        """
        if not self._core.ready:
            return {claim.key for claim in claims}, {}
        self._begun = True  # asking settles, so something may have come of it
        outcomes = self._core.ask([Call(What.QUERY, claim.request) for claim in claims])
        results: list[Ended] = []
        again: list[Claim] = []
        for claim, outcome in zip(claims, outcomes, strict=True):
            reversal = claim.request.kind is Kind.REVERSAL
            if reversal and isinstance(outcome, Answered) and outcome.result is Result.APPROVED:
                again.append(claim)  # it was promised, and its original's key makes it safe to ask twice
            else:
                results += results_of(claim, outcome)
        for claim, outcome in zip(again, self._ask_again(again), strict=True):
            results.append(Ended(Call(What.REVERSAL, claim.request), never_certain(outcome), time_of(claim)))
        replies = self._finish(results)
        said = {one.call.request.key: reply.result for one, reply in zip(results, replies, strict=True)}
        return {one.call.request.key for one in results if stays_open(one)}, said

    def _ask_again(self, claims: Sequence[Claim]) -> list[Outcome]:
        calls = [Call(What.REVERSAL, msgspec.structs.replace(claim.request, repeat=True)) for claim in claims]
        return self._core.ask(calls) if calls else []

    def _finish(self, results: Sequence[Ended], asked_at_once: Collection[Key] = ()) -> list[Reply]:
        """Write down what calls came to and close their claims; return what their requests are told.  What
        stays open is promised, but for keys that are asked about at once.
        """
        keys = [one.call.request.key for one in results if one.call.what is not What.OWED]
        still = [
            Claim(one.call.request, self._part, one.at.wall_us)
            for one in results
            if stays_open(one) and one.call.request.key not in asked_at_once
        ]
        for _ in range(RACES_MAX):
            with self._store.transaction() as transaction:
                telling = Telling(transaction.load_rows(keys), self._telling)
                replies = [telling.tell(one) for one in results]
                self._alarms += telling.alarms
                promised = self._promise(transaction, still)
                if not (telling.closed or promised):
                    return replies
                now_us = max(one.at.wall_us for one in results)
                claims = Claims(closed=sorted(set(telling.closed)))
                if transaction.save(telling.changes(), claims, self._part, now_us):
                    self._commit(transaction, promised)
                    return replies
        raise CommitUnknownError(f"{RACES_MAX} times others wrote keys that are claimed here")

    def _compare_totals(self, requests: Sequence[Request], replies: dict[int, Reply], now: Now) -> None:
        """Hold the journal's totals of a day that is over against the core's, where a bank asks for them.

        The bank hears the journal's either way; an alarm says that they differ.
        """
        told = [(requests[place], reply) for place, reply in replies.items()]
        compared = to_compare(told, self._calendar(now).today)
        if compared and self._core.ready:
            outcomes = self._core.ask([call for call, _ in compared])
            self._alarms += differing(compared, outcomes)

    def _journal(self, kept: Kept, desk: Planner | Teller, now: Now) -> Journal:
        """Return the journal's working copy of what was loaded, as at a time."""
        return Journal(kept, desk, self._calendar(now), self._terms, now, self._part)

    def _telling(self, rows: Iterable[Row], desk: Planner | Teller, now: Now) -> Journal:
        """Return the journal that takes an outcome.

        Without fences: a date was open when the call was intended, and none is closed while it is.
        """
        return self._journal(Kept(rows), desk, now)

    def _calendar(self, now: Now) -> Calendar:
        return Calendar(now, self._zone)


def _settled_first(request: Request, calendar: Calendar) -> list[Key]:
    """Return the keys whose open outcomes have to be learnt before a request is decided; what the house
    notes of a key waits for none.
    """
    return [] if request.kind in HOUSE_KINDS else named_keys(request, calendar.beside)


def _broke_off(one: Ended) -> bool:
    """Say whether a call that moves money ended without an answer while there is time to ask what became of
    it.
    """
    if one.call.what is What.OWED or isinstance(one.outcome, Answered):
        return False
    return one.outcome.sent and one.outcome.reason != TIMEOUT
