"""What samples ask and hear: one request of each transaction at one instant, and the core's word on it.

Shared by whatever shows a dialect by examples; nothing here is random and no clock is read.
"""

from typing import TYPE_CHECKING, Any

from frontends.mapping import Content, Mapping
from frontends.mapping_rows import split_row, values_of
from frontends.mapping_tables import MappingTables
from qianzhi.domain.requests import Bill, Kind, Reply, Request
from qianzhi.domain.results import Result
from qianzhi.runtime.now import Now

if TYPE_CHECKING:
    from frontends.profile import Profile

NOW = Now(1_000_000, 1_795_312_800_000_000)  # 2026-11-22 10:00:00 in Shanghai
TODAY = 20261122
PHONE = "13800000001"
ORDER = "202611220001"
AMOUNT_FEN = 5000
BALANCE_FEN = 12345
NAME = "张三"
COUNT = 7
BILLS = (Bill("20260900000000000001", 202609, 3000, 15), Bill("20261000000000000002", 202610, 5000, 0))
ORIGINAL, OWN = 1, 101  # where the serials of originals, and of messages about them, begin


def main_of(profile: "Profile") -> str:
    """Return the name of the transaction that moves money here: a recharge, else the first."""
    kinds = {rows.kind: name for name, rows in reversed(profile.table.transactions.items())}
    return kinds.get("recharge", next(iter(profile.table.transactions)))


def request_of(profile: "Profile", name: str, number: str = "", *, repeat: bool = False) -> Request:
    """Return the request that a vector of this transaction asks for, with what its rows can carry."""
    rows = profile.table.transactions[name]
    taken = {**profile.table.request.take, **rows.take}
    kind = Kind[rows.kind.upper()]
    about = kind in (Kind.STATUS, Kind.REVERSAL, Kind.VOID)
    at = 0 if about else list(profile.table.transactions).index(name)
    values: dict[str, Any] = {
        "phone": PHONE,
        "bill": bill_of(taken),
        "amount_fen": COUNT * AMOUNT_FEN if kind is Kind.TOTALS else AMOUNT_FEN,
        "own_serial": serial_of(
            taken.get("own_serial", ""), OWN + list(profile.table.transactions).index(name)
        ),
        "repeat": repeat,
        "count": COUNT,
        "reversed_count": 1,
        "reversed_fen": AMOUNT_FEN,
    }
    return Request(
        kind,
        profile.space,
        TODAY,
        serial_of(taken["serial"], ORIGINAL + at),
        profile.name,
        number or (rows.numbers or profile.numbers)[0],
        date_ours="date" not in taken,
        received_us=NOW.wall_us,
        **{key: value for key, value in values.items() if key in taken},
    )


def serial_of(rows: str | list[str], number: int) -> str:
    """Return a serial as long as its rows want it; one with room for a date begins with it."""
    width = sum(int(split_row(row)[1].partition(":")[2] or 12) for row in values_of(rows) if row)
    return f"{TODAY}{number:0{width - 8}d}" if width >= 14 else f"{number:0{width}d}"


def bill_of(taken: dict[str, str | list[str]]) -> str:
    """Return the serial of the bill that is paid, as long as its row allows."""
    width = split_row(str(taken.get("bill", "")))[1].partition(":")[2]
    return BILLS[1].serial[-int(width) :] if width.isdigit() else BILLS[1].serial


def message_of(profile: "Profile", name: str, request: Request) -> dict[str, Any]:
    """Return the message with which the bank asks in this very transaction, without its MAC."""
    table = profile.table
    tables = MappingTables(
        request=table.request,
        reply=table.reply,
        match=table.match,
        transactions={name: table.transactions[name]},
        bills=table.bills,
    )
    content = Content(profile.space, profile.name, tuple(profile.numbers), profile.limits.amount_fen_max)
    mapping = Mapping(tables, content, profile.results, profile.mapping.zone)
    return mapping.request_message(request, NOW)


def reply_of(request: Request, result: Result) -> Reply:
    """Return what the core says."""
    if request.kind is Kind.TOTALS:
        short = 0 if result is Result.APPROVED else 1
        return Reply(
            result,
            amount_fen=request.amount_fen - short * AMOUNT_FEN,
            count=request.count - short,
            reversed_count=request.reversed_count,
            reversed_fen=request.reversed_fen,
        )
    if result is not Result.APPROVED:
        return Reply(result)
    if request.kind is Kind.OWED:
        return Reply(result, amount_fen=sum(bill.total_fen for bill in BILLS), bills=BILLS, name=NAME)
    return Reply(result, order=ORDER, amount_fen=AMOUNT_FEN, balance_fen=BALANCE_FEN)
