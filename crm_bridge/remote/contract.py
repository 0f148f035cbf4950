"""The words of docs/REMOTE_CORE.md: calls as JSON, answers read back and held against what was asked.

Pure.  An answer that does not fit its call is worse than none: nothing is concluded from it, so it ends as
`Unanswered` and the key's outcome is asked for again.
"""

from collections.abc import Sequence
from enum import Enum
from typing import Any, NamedTuple

import msgspec

from crm_bridge.gateway_checks import AMOUNT_FEN_CAP
from qianzhi.domain.requests import Bill, Request
from qianzhi.domain.results import Result

ORDER_CHARS_MAX = 40
NAME_CHARS_MAX = 100
BILLS_MAX = 1_000


class What(Enum):
    """The calls; the value is the last part of a call's path, and its name in a batch."""

    CREDIT = "credit"
    REVERSAL = "reversal"
    QUERY = "query"
    OWED = "owed"
    TOTALS = "totals"


class Call(NamedTuple):
    """One call about one request, whose key is exact and, for a reversal, its original's."""

    what: What
    request: Request


class Answered(NamedTuple):
    """What the core said; amounts in fen.  `reversal_order` is the reversal's own work order."""

    result: Result
    order: str = ""
    amount_fen: int = 0
    balance_fen: int = 0
    bills: tuple[Bill, ...] = ()
    name: str = ""
    shortage_fen: int = 0
    reversal_order: str = ""
    approved_count: int = 0
    reversed_count: int = 0
    reversed_fen: int = 0


class Unanswered(NamedTuple):
    """Why nothing is known; `sent` is false only where certainly no byte of the call left."""

    reason: str
    sent: bool = True


Outcome = Answered | Unanswered


class Terms(msgspec.Struct, frozen=True):
    """What a core says of itself: the contract's version, how long it keeps keys, how many calls a batch
    may hold (0: it takes none).
    """

    version: int
    keep_days: int
    batch_max: int = 0


class _Key(msgspec.Struct, frozen=True):
    space: str
    date: int
    serial: str


class _Bill(msgspec.Struct, frozen=True):
    serial: str
    month: int
    principal_fen: int
    late_fee_fen: int = 0


class _Answer(msgspec.Struct, frozen=True):
    call: str
    result: str
    key: _Key | None = None
    order: str = ""
    amount_fen: int = 0
    balance_fen: int = 0
    bills: list[_Bill] = []
    name: str = ""
    shortage_fen: int = 0
    reversal_order: str = ""
    count: int = 0
    reversed_count: int = 0
    reversed_fen: int = 0


class _Batch(msgspec.Struct, frozen=True):
    answers: list[_Answer]


_encode = msgspec.json.Encoder().encode
_answer = msgspec.json.Decoder(_Answer).decode
_batch = msgspec.json.Decoder(_Batch).decode
_terms = msgspec.json.Decoder(Terms).decode
# msgspec's own, another for text that is no UTF-8, and Python's for nesting without end.
_UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)

_REFUSALS = {
    Result.NO_SUCH_PHONE,
    Result.PHONE_CLOSED,
    Result.BAD_AMOUNT,
    Result.AMOUNT_LIMIT,
    Result.NO_SUCH_BILL,
    Result.BILL_CHANGED,
    Result.BILL_PAID,
    Result.OVER_QUOTA,
    Result.NOTHING_OWED,
    Result.DUPLICATE_SERIAL,
    Result.REVERSED,
    Result.BLOCKED,
    Result.BAD_DATE,
    Result.DATE_CLOSED,
    Result.TOO_OLD,
    Result.FORMAT,
    Result.UNSUPPORTED,
    Result.QUARANTINED,
}
# What each call may be answered; whatever else comes says nothing of where the money is.
RESULTS: dict[What, frozenset[Result]] = {
    What.CREDIT: frozenset({Result.APPROVED} | _REFUSALS),
    What.REVERSAL: frozenset(
        {
            Result.APPROVED,
            Result.NOT_FOUND,
            Result.ORIGINAL_REFUSED,
            Result.AMOUNT_DIFFERS,
            Result.DUPLICATE_SERIAL,
            Result.DATE_CLOSED,
            Result.TOO_OLD,
            Result.QUARANTINED,
        }
    ),
    What.QUERY: frozenset({Result.APPROVED, Result.NOT_FOUND} | _REFUSALS),
    What.OWED: frozenset({Result.APPROVED, Result.NOTHING_OWED, Result.NO_SUCH_PHONE}),
    What.TOTALS: frozenset({Result.APPROVED}),
}
_NAMES = {result.name.lower(): result for result in Result}


def single(call: Call) -> bytes:
    """Return the body of a single call."""
    return _encode(_body(call))


def batch(calls: Sequence[Call]) -> bytes:
    """Return the body of a batch call; its answers come in the same order."""
    return _encode({"calls": [_body(call) for call in calls]})


def read_single(body: bytes, call: Call) -> Outcome:
    """Return what the answer to a single call says."""
    try:
        return _judge(_answer(body), call)
    except _UNREADABLE:
        return Unanswered("unreadable_answer")


def read_batch(body: bytes, calls: Sequence[Call]) -> list[Outcome]:
    """Return what the answer to a batch says of each of its calls."""
    try:
        answers = _batch(body).answers
    except _UNREADABLE:
        return [Unanswered("unreadable_answer")] * len(calls)
    if len(answers) != len(calls):
        return [Unanswered("wrong_answer")] * len(calls)
    return [_judge(answer, call) for answer, call in zip(answers, calls, strict=True)]


def read_terms(body: bytes) -> Terms | None:
    """Return what a core says of itself, None when it is not to be read."""
    try:
        return _terms(body)
    except _UNREADABLE:
        return None


def _body(call: Call) -> dict[str, Any]:
    request = call.request
    found: dict[str, Any] = {"call": call.what.value}
    if call.what is What.OWED:
        return found | {"phone": request.phone}
    if call.what is What.TOTALS:
        return found | {"bank_number": request.bank_number, "date": request.date}
    found["key"] = {"space": request.space, "date": request.date, "serial": request.serial}
    if call.what is What.REVERSAL:
        repeat = {"repeat": True} if request.repeat else {}
        return found | {"amount_fen": request.amount_fen, "phone": request.phone} | repeat
    if call.what is What.CREDIT:
        found |= {name: getattr(request, name) for name in _CREDIT}
        found["kind"] = request.kind.name.lower()
    return found


_CREDIT = ("phone", "amount_fen", "bank", "bank_number", "bill", "received_us")


def _judge(answer: _Answer, call: Call) -> Outcome:
    """Take an answer only when it is one to this call: its name, key and amount, a result it may have."""
    result = _NAMES.get(answer.result)
    if answer.call != call.what.value or result not in RESULTS[call.what]:
        return Unanswered("wrong_answer")
    if call.what not in (What.OWED, What.TOTALS):
        key = call.request.key
        if answer.key is None or (answer.key.space, answer.key.date, answer.key.serial) != key:
            return Unanswered("wrong_answer")
    if not _plausible(answer) or not _fits(answer, result, call):
        return Unanswered("wrong_answer")
    bills = tuple(Bill(b.serial, b.month, b.principal_fen, b.late_fee_fen) for b in answer.bills)
    return Answered(
        result,
        answer.order,
        answer.amount_fen,
        answer.balance_fen,
        bills,
        answer.name,
        answer.shortage_fen,
        answer.reversal_order,
        answer.count,
        answer.reversed_count,
        answer.reversed_fen,
    )


def _fits(answer: _Answer, result: Result, call: Call) -> bool:
    """Say whether an answer that speaks of moved money names its order and the amount that was meant."""
    moved = result is Result.APPROVED or (call.what is What.QUERY and result is Result.REVERSED)
    if not moved or call.what in (What.OWED, What.TOTALS):
        return True
    meant = call.request.amount_fen
    return bool(answer.order) and answer.amount_fen > 0 and meant in (0, answer.amount_fen)


def _plausible(answer: _Answer) -> bool:
    """Say whether texts and figures are such as a journal can keep."""
    texts = (answer.order, answer.reversal_order, *(bill.serial for bill in answer.bills))
    figures = (
        *(answer.amount_fen, answer.balance_fen, answer.shortage_fen),
        *(answer.count, answer.reversed_count, answer.reversed_fen),
        *(figure for bill in answer.bills for figure in (bill.month, bill.principal_fen, bill.late_fee_fen)),
    )
    return (
        all(len(text) <= ORDER_CHARS_MAX and text.isprintable() for text in texts)
        and len(answer.name) <= NAME_CHARS_MAX
        and answer.name.isprintable()
        and len(answer.bills) <= BILLS_MAX
        and all(abs(figure) <= AMOUNT_FEN_CAP for figure in figures)
    )
