"""Stand-ins for billing's desk, so that the journal decides for a remote core as it does for ours.  Pure.

The journal decides twice: first with a `Planner`, which notes what the core would be asked; then, when the
core has answered, with a `Teller`, which says what it said.
"""

import msgspec

from crm_bridge.remote.contract import Answered, Call, What
from qianzhi.billing.desk import Job, Outcome
from qianzhi.domain.requests import Key, Kind, Request
from qianzhi.domain.results import Result


class Planner:
    """Notes the one call that deciding one request leads to."""

    def __init__(self, request: Request) -> None:
        self._request = request
        self.call: Call | None = None

    def owed(self, phone: str) -> Outcome:
        """Note a question; its answer is the core's alone."""
        self.call = Call(What.OWED, self._request)
        return Outcome(Result.UNKNOWN)

    def credit(self, job: Job) -> Outcome:
        """Note a credit that nothing here refuses."""
        self.call = Call(What.CREDIT, msgspec.structs.replace(self._request, date_ours=False))
        return Outcome(Result.UNKNOWN)

    def reverse(self, order: str, key: Key, bank_number: str, kind: Kind = Kind.REVERSAL) -> Outcome:
        """Note the reversal of what stands under `key`, which is the original's whole key.

        A core behind HTTP is not asked whether money is unspent, so it voids nothing.
        """
        if kind is Kind.VOID:
            return Outcome(Result.UNSUPPORTED)
        request = msgspec.structs.replace(
            self._request, date=key.date, bank_number=bank_number, date_ours=False
        )
        self.call = Call(What.REVERSAL, request)
        return Outcome(Result.UNKNOWN)

    def suspend(self, reference: str, bank_number: str, amount_fen: int) -> int:
        """Move nothing: what is in suspense is the remote core's own affair, and here a break is noted."""
        return 0

    def restore(self, reference: str, bank_number: str, amount_fen: int) -> None:
        """Move nothing back."""


class Teller:
    """Says what the core said."""

    def __init__(self, answer: Answered) -> None:
        self._answer = answer

    def owed(self, phone: str) -> Outcome:
        """Return what the phone owes."""
        return self._outcome(self._answer.order)

    def credit(self, job: Job) -> Outcome:
        """Return how the credit ended; a refusal has no work order."""
        approved = self._answer.result is Result.APPROVED
        return self._outcome(self._answer.order if approved else "")

    def reverse(self, order: str, key: Key, bank_number: str, kind: Kind = Kind.REVERSAL) -> Outcome:
        """Return how the reversal ended; a core that does not name its order leaves it the original's."""
        return self._outcome(self._answer.reversal_order or order)

    def suspend(self, reference: str, bank_number: str, amount_fen: int) -> int:
        """Move nothing: what is in suspense is the remote core's own affair, and here a break is noted."""
        return 0

    def restore(self, reference: str, bank_number: str, amount_fen: int) -> None:
        """Move nothing back."""

    def _outcome(self, order: str) -> Outcome:
        answer = self._answer
        return Outcome(
            answer.result,
            order,
            answer.amount_fen,
            answer.balance_fen,
            answer.bills,
            answer.name,
            answer.shortage_fen,
        )
