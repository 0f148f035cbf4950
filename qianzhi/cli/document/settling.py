"""What each code settles about the money under a serial, by what heard it: the heart of the document.

A verdict is one word for each of five listeners; a cancellation (void) hears what a reversal hears, but for
the refusal of spent money.  `SETTLED` follows the journal (`crm_bridge.journal_decide`) and `_verdicts` the
front-end's edge (`frontends.processor_outcomes`); tests put both to the proof.
"""

from collections.abc import Iterable
from typing import Literal

from frontends.profile import UNPROVED
from qianzhi.cli.document.facts import Facts
from qianzhi.domain.requests import Kind
from qianzhi.domain.results import EDGE_RESULTS, Result

Verdict = Literal["stands", "none", "free", "open", "unheard"]
Listener = Literal["alone", "repeat", "status", "reversal", "void"]
Verdicts = tuple[Verdict, Verdict, Verdict, Verdict]  # of all listeners but the cancellation

LISTENERS: tuple[Listener, ...] = ("alone", "repeat", "status", "reversal", "void")
NEVER: Verdicts = ("unheard", "unheard", "unheard", "unheard")
REFUSED: Verdicts = ("none", "none", "none", "unheard")  # kept by the journal as the original's own result

SETTLED: dict[Result, Verdicts] = {
    Result.APPROVED: ("stands", "stands", "stands", "none"),
    Result.UNKNOWN: ("open", "open", "open", "open"),
    Result.IN_PROCESS: ("unheard", "unheard", "open", "unheard"),
    Result.NOTHING_OWED: NEVER,
    Result.NO_SUCH_PHONE: REFUSED,
    Result.PHONE_CLOSED: REFUSED,
    Result.BAD_AMOUNT: ("none", "none", "none", "open"),  # of a reversal: its own amount cannot be read
    Result.AMOUNT_LIMIT: REFUSED,
    Result.NO_SUCH_BILL: REFUSED,
    Result.BILL_CHANGED: REFUSED,
    Result.BILL_PAID: REFUSED,
    Result.OVER_QUOTA: REFUSED,
    Result.DUPLICATE_SERIAL: ("none", "open", "unheard", "open"),
    Result.REVERSED: REFUSED,
    Result.BLOCKED: REFUSED,
    Result.NOT_FOUND: ("unheard", "unheard", "none", "none"),
    Result.ORIGINAL_REFUSED: ("unheard", "unheard", "unheard", "none"),
    Result.AMOUNT_DIFFERS: ("unheard", "unheard", "unheard", "open"),
    Result.BAD_DATE: REFUSED,
    Result.DATE_CLOSED: ("none", "none", "unheard", "stands"),
    Result.TOO_OLD: ("none", "open", "open", "open"),
    Result.TOTALS_DIFFER: NEVER,
    Result.SPENT: NEVER,
    Result.QUARANTINED: ("none", "none", "none", "open"),
}
VOIDED: dict[Result, Verdict] = {Result.SPENT: "stands"}  # of a cancellation, where a reversal hears other
EARLY = frozenset({Result.BAD_AMOUNT, Result.AMOUNT_LIMIT})  # the edge may refuse with these, the journal too


def verdict(facts: Facts, results: Iterable[Result], listener: Listener) -> Verdict:
    """Return what a code settles for whoever hears it, where it stands for these results.

    Where they differ it is the most careful of them.
    """
    at = LISTENERS.index(listener)
    found = {verdicts(facts, result)[at] for result in results} - {"unheard"}
    if found == {"free", "none"}:
        return "free"
    if len(found) > 1:
        return "open"
    return found.pop() if found else "unheard"


def verdicts(facts: Facts, result: Result) -> tuple[Verdict, ...]:
    """Return what a result settles for each listener on this line."""
    found = _verdicts(facts, result)
    return (*found, VOIDED.get(result, found[LISTENERS.index("reversal")]))


def _verdicts(facts: Facts, result: Result) -> Verdicts:
    if result in EDGE_RESULTS:
        return ("free" if leaves_free(facts, result) else "none", "open", "open", "open")
    if result in EARLY and leaves_free(facts, result):
        return ("free", "open", *SETTLED[result][2:])
    return SETTLED[result]


def leaves_free(facts: Facts, result: Result) -> bool:
    """Tell whether a serial that the edge refused with this can still be approved, as its key is not "
    "blocked."""
    if result in UNPROVED or result is Result.UNSUPPORTED:
        return True
    return not facts.queued and facts.profile.results.may_repeat(result)


def is_general(results: Iterable[Result]) -> bool:
    """Tell whether a code speaks of the message that hears it alone, and is never an original's result."""
    return set(results) <= EDGE_RESULTS


def codes_of(facts: Facts) -> dict[str, list[Result]]:
    """Return the codes that this line can hear, each with the results that it stands for."""
    grouped: dict[str, list[Result]] = {}
    for name, value in facts.profile.table.results.codes.items():
        result = Result[name.upper()]
        if is_heard(facts, result):
            grouped.setdefault(value, []).append(result)
    return grouped


def is_heard(facts: Facts, result: Result) -> bool:
    """Tell whether a result is told on this line at all."""
    if result is Result.UNKNOWN:
        return not facts.profile.results.silent_on_unknown
    if result is Result.TOTALS_DIFFER:
        return bool(facts.names_of(Kind.TOTALS))
    if result is Result.SPENT:
        return bool(facts.names_of(Kind.VOID))
    if result is Result.NOT_SIGNED_ON:
        return facts.profile.session.sign_on
    if result is Result.BAD_MAC:
        return facts.profile.mac is not None
    if result is Result.BUSY and facts.queued:
        return bool(facts.profile.table.management)  # requests wait in their queue instead
    return True


def listeners(facts: Facts) -> list[Listener]:
    """Return the listeners that this line has messages for."""
    kinds = {"status": Kind.STATUS, "reversal": Kind.REVERSAL, "void": Kind.VOID}
    return [one for one in LISTENERS if one not in kinds or facts.names_of(kinds[one])]
