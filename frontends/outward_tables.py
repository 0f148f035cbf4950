"""The table `[outward]` of a profile: what we ask of a bank or network, and by which rules.  Data only.

A profile with it may do without `[transactions]`: then nothing is asked of us there.  Frame, spec, MAC,
session, `[request]`, `[reply]` and `[match]` are those of the line, read from the other end: `[request]` is
written by us here, `[reply]` by the bank.
"""

from dataclasses import field
from typing import Annotated, Literal, cast

from annotated_types import Ge, Gt, Le, MinLen

from frontends.mapping_tables import KindName, TransactionTable, When
from qianzhi.runtime.table import table

OutwardKind = Literal["charge", "charge_reversal", "charge_refund", "advice"]
# Why we reverse or refund, as `Request.reason` says it; a profile has a code for each that it can say.
REASONS = ("timeout", "late", "bad_mac", "refused", "house")
Policy = Literal["on_timeout", "on_late_approval", "none"]


@table
class OutwardTransactionTable:
    """[outward.transactions.NAME]: one transaction that we ask for; rows as in [transactions.NAME].

    when      what the message says to be this transaction; we write it
    take      field of the domain's request = row; `stamp_us` is the original's time, `reason` why it is sent
    need, set, give, answer   as in [transactions.NAME], with the two ends changed over
    again     path = constant, written when the message is sent again
    answered  what every answer to it says, so that one that nobody waits for is known
    """

    kind: OutwardKind
    when: When
    take: dict[str, str | list[str]]
    need: list[str] = field(default_factory=list)
    give: dict[str, str] = field(default_factory=dict)
    answer: dict[str, str] = field(default_factory=dict)
    set: dict[str, str] = field(default_factory=dict)
    again: dict[str, str] = field(default_factory=dict)
    answered: When


@table
class OutwardTable:
    """[outward]: the rules of the requests that we send (money rules 7 and 12).

    space           the serial space of our serials there; by default the profile's name with -out
    policy          when a charge is reversed that was not answered in time: on_timeout, at once;
                    on_late_approval, only when an approval comes after all; none, never: it is a break
    answer_seconds  how long an answer is awaited
    late_seconds    how long a late answer may still come; after it nothing is reversed for it any more
    in_flight       requests of ours that are under way at once
    set             path = constant, written by us over those of [request].set
    reasons         our reason for a reversal or refund = the dialect's code
    codes           further codes of answers = the results that they mean; [results].codes are known
    """

    space: str = ""
    policy: Policy
    answer_seconds: Annotated[float, Gt(0), Le(300)] = 30
    late_seconds: Annotated[int, Ge(1), Le(604_800)] = 86_400
    in_flight: Annotated[int, Gt(0), Le(100_000)] = 1_000
    set: dict[str, str] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    codes: dict[str, str] = field(default_factory=dict)
    transactions: Annotated[dict[str, OutwardTransactionTable], MinLen(1)]


def as_transaction(rows: OutwardTransactionTable) -> TransactionTable:
    """Return the rows in the form in which a mapping compiles all transactions."""
    return TransactionTable(
        kind=cast(KindName, rows.kind),
        when=rows.when,
        take=rows.take,
        need=rows.need,
        give=rows.give,
        answer=rows.answer,
        set=rows.set,
    )
