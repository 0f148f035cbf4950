"""What a front refuses itself, before anything of it is forwarded (money rule 8).  Pure.

Reversals and status queries always pass.  Where the refusal lets the bank send the same serial again, a
request is *shed*: no flight is opened for it, one short row stands for what came and what was told, and no
copy of the messages is kept.  Under a flood most of what comes ends so; it must cost far less than serving.
"""

from typing import TYPE_CHECKING

from frontends.flights import Flights
from frontends.processor_gate import Gate
from qianzhi.domain.requests import MONEY_KINDS, PRIORITY_KINDS, Request
from qianzhi.domain.results import Result
from qianzhi.runtime.now import Now

if TYPE_CHECKING:
    from frontends.profile import Profile  # it reads files; its shape alone is used here


class Edge:
    """Judges what comes from one bank."""

    def __init__(self, profile: "Profile", flights: Flights) -> None:
        self.gate = Gate(profile)
        self.draining = False
        self._flights = flights
        self._queued = profile.transport.redelivers
        self._results = profile.results

    def refusal(self, request: Request, now: Now) -> Result | None:
        """Count a new request; return why it may not pass now."""
        if not self._flights.has_room(request):
            return Result.BUSY
        if request.kind in PRIORITY_KINDS:
            return None
        if self.draining and not self._queued:
            return Result.UNAVAILABLE
        return self.gate.refusal(now)

    def sheds(self, request: Request, refusal: Result) -> bool:
        """Tell whether this refusal may be told at once, without a trace in the flights.

        Money whose bank would take it for good needs its key blocked first; a queue's message comes again.
        """
        if self._queued or request.kind in PRIORITY_KINDS:
            return False
        return request.kind not in MONEY_KINDS or self._results.may_repeat(refusal)
