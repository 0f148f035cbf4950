"""The rehearsal of what we ask for: each message is written, read as the network does, and answered.  Pure.

It shows too that an answer alone tells which charge it is to, for one that nobody waits for any more.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import msgspec

from frontends.mapping_rows import split_row, values_of
from frontends.outward_mapping import Late, OutwardMapping
from frontends.outward_tables import OutwardTransactionTable
from frontends.rehearsal_stage import AS_IT_WENT, NOON, Finding, Stage
from qianzhi.domain.dates import business_date
from qianzhi.domain.requests import Kind, Reply, Request
from qianzhi.domain.results import HOUSE_RESULTS, Result
from qianzhi.wire.codec import Message

if TYPE_CHECKING:
    from frontends.profile import Profile  # it reads files; its shape alone is used here

ORDER = "9" * 12
PHONE = "9" * 11
EARLIER_US = 61_000_000  # the original of a reversal was sent so long before it


def rehearse_outward(profile: "Profile", stage: Stage) -> Iterator[Finding]:
    """Yield what goes wrong with each message of ours and its answers."""
    if profile.outward is None or profile.table.outward is None:
        return
    for title, rows in profile.table.outward.transactions.items():
        taken = {**profile.table.request.take, **rows.take}
        for repeat in (False, True) if rows.again or "repeat" in taken else (False,):
            request = sample_of(profile, profile.outward, rows, repeat=repeat)
            yield from _exchange(request, title, profile, profile.outward, stage)


def sample_of(
    profile: "Profile", outward: OutwardMapping, rows: OutwardTransactionTable, *, repeat: bool = False
) -> Request:
    """Return a request with the longest values that its rows can carry, as a node would ask for it."""
    kind, taken = Kind[rows.kind.upper()], {**profile.table.request.take, **rows.take}
    reasons = profile.table.outward.reasons if profile.table.outward is not None else {}
    return Request(
        kind,
        outward.terms.space,
        business_date(NOON.wall_us, profile.mapping.zone),
        _longest(taken["serial"]),
        profile.name,
        profile.numbers[0],
        phone=PHONE if "phone" in taken else "",
        amount_fen=profile.limits.amount_fen_max if "amount_fen" in taken else 0,
        bill=_longest(taken["bill"]) if "bill" in taken else "",
        repeat=repeat,
        received_us=NOON.wall_us,
        own_serial=_longest(taken["own_serial"]) if "own_serial" in taken else "",
        stamp_us=NOON.wall_us - EARLIER_US if "stamp_us" in taken else 0,
        reason=next(iter(reasons), "") if "reason" in taken else "",
    )


def _longest(rows: str | list[str]) -> str:
    return "9" * sum(int(split_row(row)[1].partition(":")[2] or 1) for row in values_of(rows))


def _exchange(
    request: Request, title: str, profile: "Profile", outward: OutwardMapping, stage: Stage
) -> Iterator[Finding]:
    at = f"outward.transactions.{title}"
    asked, finding = stage.carry(lambda: outward.message_of(request), f"{at}.take")
    if asked is None:
        yield finding
        return
    found = outward.mapping.request_of(asked, NOON)
    plain = _as_read(request)
    if not isinstance(found, Request):
        yield f"{at}.take", f"a message that is read as {found!r}", AS_IT_WENT
        return
    heard = _as_read(found)
    if heard != plain:
        names = [name for name in Request.__struct_fields__ if getattr(heard, name) != getattr(plain, name)]
        yield f"{at}.take", f"other values in {', '.join(names)}", AS_IT_WENT
        return
    for result in Result:
        if result not in HOUSE_RESULTS and result.name.lower() in profile.table.results.codes:
            yield from _answer(asked, found, request, result, f"{at}.give", outward, stage)


def _as_read(request: Request) -> Request:
    """Return what a network can read of a request: reasons are codes to it, times without a year."""
    return msgspec.structs.replace(request, stamp_us=0, received_us=0, reason="", repeat=False)


def _answer(
    asked: Message,
    read: Request,
    request: Request,
    result: Result,
    at: str,
    outward: OutwardMapping,
    stage: Stage,
) -> Iterator[Finding]:
    key = f"{at}.{result.name.lower()}"
    reply = Reply(result, ORDER, request.amount_fen)
    heard, finding = stage.carry(lambda: outward.mapping.reply_message(asked, read, reply, NOON), key)
    if heard is None:
        yield finding
        return
    yield from stage.judge_answer(asked, heard, key)
    if outward.mapping.reply_of(heard).code != outward.mapping.results.code_of(result):
        yield key, "another code", AS_IT_WENT
    late = outward.late_of(heard, NOON)
    wanted = Late(request.space, request.date, request.serial, request.phone, request.amount_fen)
    if request.kind is Kind.CHARGE and late != wanted:
        expected = "an answer that repeats serial, date, customer and amount of its charge (reply.echo)"
        yield key, "an answer that does not say whose it is", expected
    elif request.kind is not Kind.CHARGE and late is not None:
        yield key, "an answer that passes for one to a charge", AS_IT_WENT
