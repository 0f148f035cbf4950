"""The books of the simulated remote core: the platform's own embedded core, asked in the contract's words.

It has a database of its own, which `qianzhi audit-books` can prove like any other.
"""

import threading
from collections.abc import Callable, Sequence
from datetime import tzinfo

from crm_bridge.gateway import Gateway
from crm_bridge.lookup import find_keys
from crm_bridge.settings import CoreSettings
from qianzhi.domain.requests import Key as DomainKey
from qianzhi.domain.requests import Kind, Reply, Request
from qianzhi.domain.results import Result
from qianzhi.runtime import clock
from qianzhi.runtime.now import Now
from simulators.core_contract import Answer, Bill, Credit, Key, Owed, Query, Reversal, Totals

Call = Credit | Reversal | Query | Owed | Totals


class Books:
    """One core's books; any thread may ask, one at a time is served."""

    def __init__(
        self, settings: CoreSettings, zone: tzinfo, now: Callable[[], Now] = clock.now, keep_days: int = 0
    ) -> None:
        """`keep_days` is what the core promises; by default what its settings say."""
        self.keep_days = keep_days or settings.keep_days
        self._url = settings.database
        self._gateway = Gateway(settings.database, settings, zone, "remote", 0)
        self._now = now
        self._lock = threading.Lock()
        self.calls = 0

    def answer(self, calls: Sequence[Call]) -> list[Answer]:
        """Carry out calls in one transaction; return their answers."""
        with self._lock:
            self.calls += len(calls)
            replies = self._gateway.execute([_request(call) for call in calls], self._now())
            short = {
                str(alarm.fields["key"]): int(alarm.fields["shortage_fen"])
                for alarm in self._gateway.take_alarms()
                if alarm.name == "reversal_left_arrears"
            }
        answers = [_answer(call, reply) for call, reply in zip(calls, replies, strict=True)]
        return self._with_reversals(answers, short)

    def close(self) -> None:
        """Let the database go."""
        self._gateway.close()

    def _with_reversals(self, answers: list[Answer], short: dict[str, int]) -> list[Answer]:
        """Add to reversed keys what only the journal tells: the reversal's order, and what was missing."""
        keys = [_key(one.key) for one in answers if one.key is not None and one.call != "credit"]
        found = find_keys(self._url, keys) if keys else {}
        for one in answers:
            view = found.get(_key(one.key)) if one.key is not None else None
            if view is not None:
                one.reversal_order = view.reversal_order
                one.shortage_fen = short.get(view.key, 0) if one.call == "reversal" else 0
        return answers


def _request(call: Call) -> Request:
    if isinstance(call, Owed):
        return Request(Kind.OWED, "core", 0, "owed", "", "", call.phone)
    if isinstance(call, Totals):
        return Request(Kind.TOTALS, "core", call.date, "totals", "", call.bank_number)
    about = (call.key.space, call.key.date, call.key.serial)
    if isinstance(call, Query):
        return Request(Kind.STATUS, *about, "", "")
    if isinstance(call, Reversal):
        return Request(Kind.REVERSAL, *about, "", "", call.phone, call.amount_fen)
    return Request(
        Kind[call.kind.upper()],
        *about,
        call.bank,
        call.bank_number,
        call.phone,
        call.amount_fen,
        call.bill,
        received_us=call.received_us,
    )


def _answer(call: Call, reply: Reply) -> Answer:
    totals = isinstance(call, Totals) and reply.result in (Result.APPROVED, Result.TOTALS_DIFFER)
    return Answer.model_validate(
        {
            "call": call.call,
            "result": "approved" if totals else reply.result.name.lower(),
            "key": None if isinstance(call, Owed | Totals) else call.key.model_copy(),
            "order": reply.order,
            "amount_fen": reply.amount_fen,
            "balance_fen": reply.balance_fen,
            "bills": [
                Bill(
                    serial=bill.serial,
                    month=bill.month,
                    principal_fen=bill.principal_fen,
                    late_fee_fen=bill.late_fee_fen,
                )
                for bill in reply.bills
            ],
            "name": reply.name,
            "count": reply.count,
            "reversed_count": reply.reversed_count,
            "reversed_fen": reply.reversed_fen,
        }
    )


def _key(key: Key) -> DomainKey:
    return DomainKey(key.space, key.date, key.serial)
