"""The last check of a profile: every message is asked and answered with each result, through its codec.

What no rule can foresee (a text that the character set lacks, a code of the wrong type, a request that does
not come back as it went, a MAC that has no place) is found here and not by a bank.  Pure: the messages go
nowhere, and the key of their MACs is made up.
"""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from frontends.mapping import Sort
from frontends.mapping_rows import split_row, values_of
from frontends.outward_rehearsal import rehearse_outward
from frontends.profile_rehearsal_line import rehearse_line
from frontends.rehearsal_stage import AS_IT_WENT, NOON, Finding, Stage
from qianzhi.domain.dates import business_date
from qianzhi.domain.requests import Bill, Kind, Reply, Request
from qianzhi.domain.results import Result
from qianzhi.runtime.problems import Problem
from qianzhi.wire.codec import Message

if TYPE_CHECKING:
    from frontends.profile import Profile  # it reads files; its shape alone is used here

ORDER = "9" * 12
BILLS_MAX = 500  # what nobody owes; the profile's own limit cuts it
COUNT = 999
LETTERS = {"digits": "9", "zeros_left": "9"}


def rehearse(profile: "Profile") -> list[Problem]:
    """Return what goes wrong when each message is sent and answered; one problem for each place."""
    stage = Stage(profile)
    findings: dict[str, Finding] = {}
    parts = [_rehearse_transactions(profile, stage), rehearse_line(profile, stage)]
    for finding in _each([*parts, rehearse_outward(profile, stage)]):
        findings.setdefault(finding[0], finding)
    return [Problem(profile.file, *finding) for finding in findings.values()]


def _each(parts: Iterable[Iterator[Finding]]) -> Iterator[Finding]:
    for part in parts:
        yield from part


def _rehearse_transactions(profile: "Profile", stage: Stage) -> Iterator[Finding]:
    bank = profile.table
    for title, rows in bank.transactions.items():
        taken = {**bank.request.take, **rows.take}
        for number in rows.numbers or bank.numbers:
            said = number if rows.numbers or "bank_number" in taken else bank.numbers[0]
            request = _sample(Kind[rows.kind.upper()], taken, profile, said)
            yield from _exchange(request, title, profile, stage)


def _sample(kind: Kind, taken: dict[str, str | list[str]], profile: "Profile", number: str) -> Request:
    """Return a request with the longest values that its rows promise to carry."""
    texts = {
        field: "".join(_longest(row) for row in values_of(taken[field])) if field in taken else ""
        for field in ("serial", "own_serial", "phone", "bill")
    }
    return Request(
        kind,
        profile.space,
        business_date(NOON.wall_us, profile.mapping.zone),
        texts["serial"],
        profile.name,
        number,
        phone=texts["phone"],
        amount_fen=profile.limits.amount_fen_max if "amount_fen" in taken else 0,
        bill=texts["bill"],
        repeat="repeat" in taken,
        date_ours="date" not in taken,
        received_us=NOON.wall_us,
        own_serial=texts["own_serial"],
        count=COUNT if "count" in taken else 0,
        reversed_count=COUNT if "reversed_count" in taken else 0,
        reversed_fen=profile.limits.amount_fen_max if "reversed_fen" in taken else 0,
    )


def _longest(row: str) -> str:
    name, _, argument = split_row(row)[1].partition(":")
    return LETTERS.get(name, "Z") * int(argument or 1)


def _exchange(request: Request, title: str, profile: "Profile", stage: Stage) -> Iterator[Finding]:
    at, mapping = f"transactions.{title}", profile.mapping
    asked, finding = stage.carry(lambda: mapping.request_message(request, NOON, name=title), f"{at}.take")
    if asked is None:
        yield finding
        return
    found = mapping.request_of(asked, NOON) if mapping.sort_of(asked) is Sort.REQUEST else None
    if found != request:
        yield f"{at}.take", _difference(found, request), AS_IT_WENT
        return
    for result in Result:
        if result.name.lower() in profile.table.results.codes:  # no code: a silence, or another kind's result
            yield from _answer(asked, request, result, f"{at}.give", profile, stage)


def _answer(
    asked: Message, request: Request, result: Result, at: str, profile: "Profile", stage: Stage
) -> Iterator[Finding]:
    mapping, key = profile.mapping, f"{at}.{result.name.lower()}"
    bills = (Bill("9" * 20, 202610, request.amount_fen, 1),) * BILLS_MAX
    reply = Reply(
        result,
        ORDER,
        request.amount_fen,
        -1,
        bills,
        "张三",
        count=request.count,
        reversed_count=request.reversed_count,
        reversed_fen=request.reversed_fen,
    )
    heard, finding = stage.carry(lambda: mapping.reply_message(asked, request, reply, NOON), key)
    if heard is None:
        yield finding
        return
    yield from stage.judge_answer(asked, heard, key)
    code = mapping.reply_of(heard).code
    if code != mapping.results.code_of(result):
        yield key, f"the code {code!r}", AS_IT_WENT


def _difference(found: object, request: Request) -> str:
    """Say which fields did not come back; both are samples of ours, so nothing here is a secret."""
    if not isinstance(found, Request):
        return f"a message that is read as {found!r}"
    names = [name for name in Request.__struct_fields__ if getattr(found, name) != getattr(request, name)]
    return f"other values in {', '.join(names)}"
