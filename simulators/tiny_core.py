"""The smallest core that keeps the money rules about keys: one dict, one balance per phone.

Why here: the oracle of the simulated banks' tests, written from the rules and from nothing else of ours.  It
has no ledger, no dates and no limits.
"""

from dataclasses import dataclass, field

from qianzhi.domain.requests import Bill, Key, Kind, Reply, Request
from qianzhi.domain.results import Result


@dataclass(slots=True)
class Row:
    """One key: the content under which it was first seen, its answer, and the money that stands under it."""

    content: tuple[object, ...] | None  # None: a tombstone, the original was never seen
    result: Result
    standing_fen: int = 0
    bank_number: str = ""
    approved_fen: int = 0  # stays when the money has been taken back


@dataclass(slots=True)
class TinyCore:
    """Answers requests at once and for good; `closed` and everything outside `phones` is refused."""

    phones: range
    closed: frozenset[str] = frozenset()
    limit_fen: int = 500_000_00
    rows: dict[Key, Row] = field(default_factory=dict)
    owed_fen: int = 30_00

    def execute(self, request: Request) -> Reply:
        """Answer one request by the rules of keys."""
        if request.kind is Kind.OWED:
            return self._owed(request)
        if request.kind is Kind.STATUS:
            return Reply(self._row(request.key, Result.NOT_FOUND).result)
        if request.kind is Kind.REVERSAL:
            return Reply(self._reverse(request.key))
        if request.kind is Kind.TOTALS:
            return self._totals(request)
        return Reply(self._pay(request), order=f"W{request.serial[-11:]}")

    @property
    def standing_fen(self) -> int:
        """Return all the money that stands."""
        return sum(row.standing_fen for row in self.rows.values())

    def _row(self, key: Key, tombstone: Result) -> Row:
        return self.rows.setdefault(key, Row(None, tombstone))

    def _owed(self, request: Request) -> Reply:
        refusal = self._refusal(request)
        if refusal not in (Result.APPROVED, Result.BAD_AMOUNT):
            return Reply(refusal)
        if int(request.phone) % 2:
            return Reply(Result.NOTHING_OWED)
        return Reply(Result.APPROVED, bills=(Bill(f"B{request.phone}", 202601, self.owed_fen, 0),))

    def _pay(self, request: Request) -> Result:
        content = (request.kind, request.phone, request.amount_fen, request.bank_number, request.bill)
        row = self.rows.get(request.key)
        if row is None:
            result = self._refusal(request)
            standing_fen = request.amount_fen if result is Result.APPROVED else 0
            self.rows[request.key] = Row(content, result, standing_fen, request.bank_number, standing_fen)
            return result
        if row.content is None:
            return Result.BLOCKED
        return row.result if row.content == content else Result.DUPLICATE_SERIAL

    def _totals(self, request: Request) -> Reply:
        rows = [
            row
            for key, row in self.rows.items()
            if key.date == request.date and row.bank_number == request.bank_number and row.approved_fen
        ]
        undone = [row.approved_fen for row in rows if not row.standing_fen]
        ours = (len(rows), sum(row.approved_fen for row in rows), len(undone), sum(undone))
        theirs = (request.count, request.amount_fen, request.reversed_count, request.reversed_fen)
        return Reply(
            Result.APPROVED if ours == theirs else Result.TOTALS_DIFFER,
            count=ours[0],
            amount_fen=ours[1],
            reversed_count=ours[2],
            reversed_fen=ours[3],
        )

    def _refusal(self, request: Request) -> Result:
        if int(request.phone) not in self.phones:
            return Result.NO_SUCH_PHONE
        if request.phone in self.closed:
            return Result.PHONE_CLOSED
        if request.amount_fen <= 0:
            return Result.BAD_AMOUNT
        if request.amount_fen > self.limit_fen:
            return Result.AMOUNT_LIMIT
        if request.kind is Kind.PAY and request.amount_fen != self.owed_fen:
            return Result.BILL_CHANGED
        return Result.APPROVED

    def _reverse(self, key: Key) -> Result:
        row = self.rows.get(key)
        if row is None:
            self.rows[key] = Row(None, Result.BLOCKED)
            return Result.NOT_FOUND
        if row.content is None:
            return Result.NOT_FOUND  # as the first time
        if row.result in (Result.APPROVED, Result.REVERSED):
            row.result, row.standing_fen = Result.REVERSED, 0
            return Result.APPROVED  # a repeated reversal hears what the first one heard
        return Result.ORIGINAL_REFUSED
