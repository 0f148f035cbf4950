"""Delivers what is promised to the remote core: one try for each entry, and what became of it.

Uses a gateway of its own, on a thread of its own.  Which entries are tried, when and how often is decided by
`forwarding`.
"""

from collections.abc import Callable, Sequence

from crm_bridge.gateway_errors import CommitUnknownError, RaceError, RetryableError, StoreError
from crm_bridge.journal_decide import HOUSE_KINDS
from crm_bridge.remote.gateway import RemoteGateway
from crm_bridge.remote.promises import NOT_TAKEN, SILENT, Delivered, mine, standing
from qianzhi.domain.requests import Key, Request
from qianzhi.domain.results import Result
from qianzhi.runtime import clock
from qianzhi.runtime.effects import Alarm


class NotConcludedError(Exception):
    """What became of a key cannot be said now; the text says why."""


class Courier:
    """One bridge's messenger to the core; used by one thread."""

    def __init__(self, gateway: RemoteGateway, alarmed: Callable[[list[Alarm]], None]) -> None:
        self._gateway = gateway
        self._alarmed = alarmed

    def deliver(self, requests: Sequence[Request]) -> list[Delivered]:
        """Try each request once; return what became of each, in the same order.

        What is noted of breaks stays here, in the journal; about all else the core is asked.
        """
        found: dict[int, Delivered] = {}
        ours = [(at, one) for at, one in enumerate(requests) if one.kind not in HOUSE_KINDS]
        for at, request in enumerate(requests):
            if request.kind in HOUSE_KINDS:
                found[at] = self._note(request)
        if ours:
            try:
                delivered = self._deliver([request for _, request in ours])
            except CommitUnknownError:
                delivered = [SILENT] * len(ours)
            except (RetryableError, RaceError, StoreError):
                delivered = [NOT_TAKEN] * len(ours)
            found.update({at: one for (at, _), one in zip(ours, delivered, strict=True)})
        self._alarmed(self._gateway.take_alarms())
        return [found[at] for at in range(len(requests))]

    def conclude(self, request: Request) -> NotConcludedError | None:
        """Let a promise be over that a person has seen to: the core is asked for the last time, and not to
        do anything.  What it says is written down; where the original stands, its claim is closed.  Return
        why nothing can be said now, if so.
        """
        try:
            claims, _ = self._gateway.look([request.key])
            claim = mine(request, claims)
            if claim is not None and not self._gateway.ask_once(claim, clock.now()):
                return NotConcludedError(f"the core does not say what became of {request.key.text}")
        except (RetryableError, RaceError, StoreError) as error:
            return NotConcludedError(f"the journal cannot be written now: {error}")
        return None

    def _note(self, request: Request) -> Delivered:
        try:
            (reply,) = self._gateway.execute([request], clock.now())
        except CommitUnknownError:
            return SILENT
        except (RetryableError, RaceError, StoreError):
            return NOT_TAKEN
        return Delivered(reply.result, True)

    def _deliver(self, requests: Sequence[Request]) -> list[Delivered]:
        keys = sorted({request.key for request in requests})
        claims, _ = self._gateway.look(keys)
        wanted = {request: claim for request in requests if (claim := mine(request, claims)) is not None}
        forwards = self._gateway.forwards
        still: set[Key] = set()
        said: dict[Key, Result] = {}
        if wanted and forwards:
            still, said = self._gateway.settle(list({claim.key: claim for claim in wanted.values()}.values()))
        _, rows = self._gateway.look(keys)
        found = []
        for request in requests:
            if request in wanted and not forwards:
                found.append(NOT_TAKEN)
            elif request in wanted and request.key in still:
                found.append(SILENT)
            else:
                found.append(Delivered(standing(request, rows, said.get(request.key)), True))
        return found
