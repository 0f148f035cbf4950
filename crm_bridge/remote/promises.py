"""What a bridge promises to the remote core, as entries of store-and-forward: a reversal that is to be
carried out, a credit whose outcome is to be learnt.  Pure.

An entry stands for one open claim.  A reversal is asked until the core has taken the money back; of a credit
only the outcome is asked for (`BLOCK`: what stands stays, and else the key is blocked), because its time is
over.
"""

from collections.abc import Iterable, Mapping
from datetime import tzinfo
from typing import NamedTuple

import msgspec

from crm_bridge.journal import Row, State
from crm_bridge.remote.claims import Claim
from qianzhi.domain.requests import Key, Kind, Request
from qianzhi.domain.results import Result
from qianzhi.saf.policies import Policy
from qianzhi.saf.rows import Entry

DESTINATION = "remote_core"
TEAM = "bridges"  # that stand in for each other
# What a core may say to a reversal for good, without having reversed.
_REFUSED = frozenset({Result.DATE_CLOSED, Result.TOO_OLD, Result.QUARANTINED})


class Promising(NamedTuple):
    """By whom, and by when, what is promised is to be settled."""

    bridge: str
    policy: Policy
    zone: tzinfo

    def entry(self, claim: Claim) -> Entry:
        """Return the entry that delivers a claim; the same claim always makes the same one."""
        request = msgspec.structs.replace(claim.request, kind=kind_of(claim), repeat=False)
        return Entry(
            id=f"{claim.key.text}/{request.kind.name.lower()}/{claim.since_us}",
            destination=DESTINATION,
            account=request.phone or claim.key.text,
            request=request,
            number=claim.since_us,
            made_us=claim.since_us,
            deadline_us=self.policy.deadline_us(request.date, claim.since_us, self.zone),
        )


class Delivered(NamedTuple):
    """What became of one try, in the words of `qianzhi.saf.lanes.Saf.on_outcome`."""

    result: Result | None
    taken: bool


NOT_TAKEN, SILENT = Delivered(None, False), Delivered(None, True)


def kind_of(claim: Claim) -> Kind:
    """Return what is asked of the core for a claim."""
    return Kind.REVERSAL if claim.request.kind is Kind.REVERSAL else Kind.BLOCK


def mine(request: Request, claims: Iterable[Claim]) -> Claim | None:
    """Return the open claim that an entry's request is about, if there still is one."""
    found = (claim for claim in claims if claim.key == request.key and kind_of(claim) is request.kind)
    return next(found, None)


def standing(request: Request, rows: Mapping[Key, Row], said: Result | None) -> Result:
    """Say how an entry ends whose claim is closed: by what the journal has under its key.

    A reversal that the core refused, or that contradicts the journal, has not ended well; `said` is what the
    core answered to it just now.
    """
    row = rows.get(request.key)
    if row is not None and row.state is State.REVERSED:
        return Result.REVERSED
    if request.kind is Kind.REVERSAL:
        return said if said in _REFUSED else Result.ORIGINAL_REFUSED
    if row is None or said is Result.UNKNOWN:
        return Result.QUARANTINED
    return Result.APPROVED if row.state is State.APPROVED else Result.BLOCKED
