"""The last check of a profile: every transaction is asked and answered with each result, through its codec.

What no rule can foresee (a text that the character set lacks, a code of the wrong type, a request that does
not come back as it went) is found here and not by a bank.  Pure: the messages go nowhere.
"""

from frontends.mapping import Mapping, Sort
from frontends.mapping_rows import split_row, values_of
from frontends.profile_tables import BankTable
from qianzhi.domain.dates import business_date
from qianzhi.domain.requests import Bill, Kind, Reply, Request
from qianzhi.domain.results import Result
from qianzhi.runtime.now import Now
from qianzhi.runtime.problems import Problem
from qianzhi.wire.codec import Codec, Message
from qianzhi.wire.errors import EncodeError, RemoteProtocolError

NOON = Now(0, 1_795_320_000_000_000)  # 2026-11-22 04:00 UTC, one instant among others
ORDER = "9" * 12
BILLS_MAX = 500  # what nobody owes; the profile's own limit cuts it
COUNT = 999
LETTERS = {"digits": "9", "zeros_left": "9"}
AS_IT_WENT = "a message that comes back as it went"


def rehearse(bank: BankTable, mapping: Mapping, codec: Codec, file: str, name: str) -> list[Problem]:
    """Return what goes wrong when each kind is asked for and answered; one problem for each place."""
    problems: dict[str, Problem] = {}
    for title, rows in bank.transactions.items():
        for number in rows.numbers or bank.numbers:
            taken = {**bank.request.take, **rows.take}
            said = number if rows.numbers or "bank_number" in taken else bank.numbers[0]
            request = _sample(Kind[rows.kind.upper()], taken, bank, mapping, name, said)
            for problem in _exchange(request, title, bank, mapping, codec, file):
                problems.setdefault(problem.key, problem)
    return list(problems.values())


def _sample(
    kind: Kind, taken: dict[str, str | list[str]], bank: BankTable, mapping: Mapping, name: str, number: str
) -> Request:
    """Return a request with the longest values that its rows promise to carry."""
    texts = {
        field: "".join(_longest(row) for row in values_of(taken[field])) if field in taken else ""
        for field in ("serial", "own_serial", "phone", "bill")
    }
    return Request(
        kind,
        bank.space or name,
        business_date(NOON.wall_us, mapping.zone),
        texts["serial"],
        name,
        number,
        phone=texts["phone"],
        amount_fen=bank.limits.amount_fen_max if "amount_fen" in taken else 0,
        bill=texts["bill"],
        repeat="repeat" in taken,
        date_ours="date" not in taken,
        received_us=NOON.wall_us,
        own_serial=texts["own_serial"],
        count=COUNT if "count" in taken else 0,
        reversed_count=COUNT if "reversed_count" in taken else 0,
        reversed_fen=bank.limits.amount_fen_max if "reversed_fen" in taken else 0,
    )


def _longest(row: str) -> str:
    name, _, argument = split_row(row)[1].partition(":")
    return LETTERS.get(name, "Z") * int(argument or 1)


def _exchange(
    request: Request, title: str, bank: BankTable, mapping: Mapping, codec: Codec, file: str
) -> list[Problem]:
    at = f"transactions.{title}"
    try:
        asked = codec.decode(codec.encode(mapping.request_message(request, NOON, name=title)))
    except (EncodeError, RemoteProtocolError, ValueError) as error:
        return [Problem(file, f"{at}.take", str(error), "a request that the message spec can carry")]
    found = mapping.request_of(asked, NOON) if mapping.sort_of(asked) is Sort.REQUEST else None
    if found != request:
        return [Problem(file, f"{at}.take", _difference(found, request), AS_IT_WENT)]
    problems = []
    for result in Result:
        if result.name.lower() not in bank.results.codes:
            continue  # a silence, or a result that no transaction here has
        problems += _answer(asked, request, result, mapping, codec, file, at)
    return problems


def _answer(
    asked: Message, request: Request, result: Result, mapping: Mapping, codec: Codec, file: str, at: str
) -> list[Problem]:
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
    key = f"{at}.give.{result.name.lower()}"
    try:
        heard = codec.decode(codec.encode(mapping.reply_message(asked, request, reply, NOON)))
    except (EncodeError, RemoteProtocolError, ValueError) as error:
        return [Problem(file, key, str(error), "an answer that the message spec can carry")]
    told = mapping.reply_of(heard)
    if mapping.sort_of(heard) is not Sort.ANSWER:
        return [Problem(file, key, "an answer that match.answer does not know", AS_IT_WENT)]
    if told.match != mapping.match_key(asked):
        return [Problem(file, key, "an answer with other match.keys than its request", AS_IT_WENT)]
    if told.code != mapping.results.code_of(result):
        return [Problem(file, key, f"the code {told.code!r}", AS_IT_WENT)]
    return []


def _difference(found: object, request: Request) -> str:
    """Say which fields did not come back; both are samples of ours, so nothing here is a secret."""
    if not isinstance(found, Request):
        return f"a message that is read as {found!r}"
    names = [name for name in Request.__struct_fields__ if getattr(found, name) != getattr(request, name)]
    return f"other values in {', '.join(names)}"
