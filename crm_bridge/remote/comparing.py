"""A day's totals, the journal's against the remote core's: what is asked, and what an answer shows.  Pure."""

from collections.abc import Iterable, Sequence

from crm_bridge.remote.contract import Answered, Call, Outcome, What
from qianzhi.domain.requests import Kind, Reply, Request
from qianzhi.domain.results import Result
from qianzhi.runtime.effects import Alarm

Figures = tuple[int, int, int, int]


def to_compare(told: Iterable[tuple[Request, Reply]], today: int) -> list[tuple[Call, Figures]]:
    """Return the questions about days that are over, each with the journal's own figures."""
    return [
        (Call(What.TOTALS, request), _figures(reply))
        for request, reply in told
        if reply.result in (Result.APPROVED, Result.TOTALS_DIFFER)
        and request.kind is Kind.TOTALS
        and request.date < today
    ]


def differing(compared: Sequence[tuple[Call, Figures]], outcomes: Sequence[Outcome]) -> list[Alarm]:
    """Return an alarm for each day that the core counts otherwise; a core that does not answer says
    nothing.
    """
    alarms = []
    for (call, ours), outcome in zip(compared, outcomes, strict=True):
        if isinstance(outcome, Answered) and _figures(outcome) != ours:
            fields: dict[str, str | int] = {
                "bank_number": call.request.bank_number,
                "date": call.request.date,
                "journal": str(ours),
                "core": str(_figures(outcome)),
            }
            alarms.append(Alarm("core_totals_differ", fields))
    return alarms


def _figures(one: Answered | Reply) -> Figures:
    count = one.approved_count if isinstance(one, Answered) else one.count
    return count, one.amount_fen, one.reversed_count, one.reversed_fen
