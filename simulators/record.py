"""What a simulated bank keeps about each serial, and what an answer says about it; nothing is sent here.

The rules are the bank's side of the money rules: no answer is no refusal; an edge refusal is final only when
it answers the only attempt (rule 8); asking settles (rule 4); after a reversal went out, the reversal
decides.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from qianzhi.domain.requests import Bill, Key, Kind, Request
from qianzhi.domain.results import EDGE_RESULTS, Result
from simulators.scenario import Step


class Debit(StrEnum):
    """Where the customer's money is."""

    NONE = "none"
    UNKNOWN = "unknown"  # taken from the customer, and nobody has said yet what became of it
    DEBITED = "debited"
    RETURNED = "returned"


class Outcome(StrEnum):
    """The final state of a serial as the bank has it."""

    APPROVED = "approved"
    REFUSED = "refused"
    REVERSED = "reversed"


class Ask(NamedTuple):
    """One message that the model wants sent.

    `stamp_us` is the wall time that the message carries (a repeat keeps its own), `original_us` that of the
    original which a query or reversal quotes.
    """

    ticket: int
    request: Request
    stamp_us: int
    original_us: int = 0
    card: str = ""


class Heard(NamedTuple):
    """One answer: `result` is None when the code has no meaning in the profile."""

    ticket: int
    code: str
    result: Result | None
    bills: tuple[Bill, ...] = ()
    order: str = ""
    sure: bool = True  # whether it is certainly to this very message, not to an earlier copy of it


@dataclass(slots=True)
class Record:
    """One serial of the bank, from its first step to its final state."""

    key: Key
    kind: Kind
    action: str
    customer: int
    phone: str
    bank_number: str
    amount_fen: int
    bill: str = ""
    stamp_us: int = 0
    debit: Debit = Debit.NONE
    outcome: Outcome | None = None
    code: str = ""
    result: Result | None = None
    order: str = ""
    originals: int = 0  # how often the original was put on the wire
    reversing: bool = False
    queried: bool = False
    stood: bool = False  # whether the core ever said that money stands, or stood, under this serial
    reversal_serial: str = ""
    reversal_us: int = 0
    steps: list[Step] = field(default_factory=list)
    tickets: list[int] = field(default_factory=list)
    tries: int = 0  # messages of the present step so far
    round: int = 0  # grows with every step that is answered

    @property
    def moves_money(self) -> bool:
        """Whether the core may know this key: everything but queries of what is owed."""
        return self.kind is not Kind.OWED

    @property
    def standing_fen(self) -> int:
        """What the bank says it has paid over under this key."""
        return self.amount_fen if self.debit is Debit.DEBITED else 0


class Verdict(StrEnum):
    """What an answer says about the step that it answers."""

    FINAL = "final"  # the step is answered
    AGAIN = "again"  # the same message again, later
    UNSURE = "unsure"  # nothing may be concluded: settle it
    QUERY = "query"  # this step cannot be had: ask what stands


OUTSIDE = frozenset({Result.NOT_SIGNED_ON, Result.BAD_MAC})
OPEN_RESULTS = frozenset({None, Result.UNKNOWN, Result.IN_PROCESS})
GONE = frozenset({Result.REVERSED, Result.BLOCKED, Result.NOT_FOUND, Result.ORIGINAL_REFUSED})


def judge(record: Record, step: Step, result: Result | None) -> tuple[Verdict, Outcome | None]:
    """Return what an answer means, and the outcome that it establishes, None for none."""
    if result in OUTSIDE:
        return Verdict.AGAIN, None
    if result in OPEN_RESULTS:
        return Verdict.UNSURE, None
    if result in EDGE_RESULTS:
        return _judge_edge(record, step)
    if step is Step.OWED:
        return Verdict.FINAL, Outcome.APPROVED if result is Result.APPROVED else Outcome.REFUSED
    if step is Step.OTHER:
        return Verdict.FINAL, None
    if step is Step.REVERSAL:
        return _judge_reversal(record, result)
    if step is Step.STATUS and result is Result.DUPLICATE_SERIAL:
        return Verdict.AGAIN, None  # the query's own serial was spent; the next one has a new serial
    if result is Result.DUPLICATE_SERIAL:
        return Verdict.QUERY, None
    return Verdict.FINAL, _outcome(record, result)


def _judge_edge(record: Record, step: Step) -> tuple[Verdict, Outcome | None]:
    """An edge refusal answers only the only attempt of an original, or a query that moves nothing."""
    if step is Step.OWED:
        return Verdict.FINAL, Outcome.REFUSED
    only = step is Step.ORIGINAL and record.originals == 1 and not record.reversing and not record.queried
    return (Verdict.FINAL, Outcome.REFUSED) if only else (Verdict.UNSURE, None)


def _judge_reversal(record: Record, result: Result | None) -> tuple[Verdict, Outcome | None]:
    if result is Result.APPROVED:
        return Verdict.FINAL, Outcome.REVERSED
    if result in GONE:
        return Verdict.FINAL, _outcome(record, result)
    return Verdict.QUERY, None


def _outcome(record: Record, result: Result | None) -> Outcome:
    """Turn a conclusive result into the serial's state; "gone" after a reversal means undone."""
    if result is Result.APPROVED:
        return Outcome.APPROVED
    if result is Result.ORIGINAL_REFUSED:
        return Outcome.REFUSED  # nothing was undone: there was nothing to undo
    if result not in GONE or not record.originals:
        return Outcome.REFUSED
    undone = record.reversing if record.outcome is None else record.outcome is not Outcome.REFUSED
    return Outcome.REVERSED if undone else Outcome.REFUSED


def contradiction(record: Record, step: Step, outcome: Outcome | None, heard: Heard) -> str:
    """Say how a conclusive answer contradicts what was said before about the same serial; empty if it does
    not.

    A serial that was blocked before the core saw it stands for nothing, just as a refused one: which of the
    two is said is no contradiction as long as nothing ever stood under it.
    """
    if step is Step.OTHER:
        expected = heard.result is Result.DUPLICATE_SERIAL or heard.result in GONE
        return "" if expected else f"other content answered {heard.code}"
    before = record.outcome
    if step is Step.OWED or before is None or before is outcome:
        return ""
    if before is Outcome.APPROVED and outcome is Outcome.REVERSED and record.reversing:
        return ""
    if before is Outcome.REVERSED and outcome is Outcome.REFUSED and not record.stood:
        return ""
    after = outcome.value if outcome else "nothing"
    return f"{before.value} became {after} by {step.value} answered {heard.code}"
