"""Playing a bank by hand: one request on a connection of its own, and its answer."""

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from qianzhi.cli.describing import profile_of
from qianzhi.cli.output import (
    BROKEN,
    UNKNOWN,
    UNREACHABLE,
    USAGE,
    CommandError,
    say,
    show_json,
    show_table,
)

if TYPE_CHECKING:
    from qianzhi.cli.main import Chosen
    from qianzhi.wire.codec import FieldView
    from simulators.send import Order, SendResult

NEEDS = {
    "owed": ("phone",),
    "recharge": ("phone", "amount"),
    "pay": ("phone",),
    "status": ("serial",),
    "reverse": ("serial", "phone", "amount"),
}


class Wanted(NamedTuple):
    """What the user asks for, as typed."""

    what: str
    phone: str = ""
    amount: str = ""
    serial: str = ""
    bill: str = ""
    date: str = ""
    number: str = ""
    repeat: bool = False


def send_command(chosen: "Chosen", bank: str, wanted: Wanted, seconds: float, as_json: bool) -> None:
    """Send one request and show its answer; exit 1 when it is refused, 4 when its outcome is not known."""
    from qianzhi.cli.daemons import site_of
    from qianzhi.link.site import data_folder
    from simulators.send import SendError, send

    order = order_of(wanted)
    site = site_of(chosen)
    profile = profile_of(chosen, bank)
    here = replace(site, data=str(data_folder(site)))
    try:
        result = send(here, chosen.config, profile, order, timeout_seconds=seconds)
    except SendError as error:
        code = UNKNOWN if error.unknown else UNREACHABLE
        raise CommandError(code, str(error), f"key {error.key}" if error.key else "") from error
    if as_json:
        show_json(result.as_dict())
    else:
        show_sent(result)
    finish(result)


def order_of(wanted: Wanted) -> "Order":
    """Check what was typed; raises CommandError saying what is missing or wrong."""
    from qianzhi.domain.money import MoneyError, fen_from_yuan
    from simulators.send import ACTIONS, Order

    if wanted.what not in ACTIONS:
        raise CommandError(USAGE, f"there is no request {wanted.what!r}", f"one of {', '.join(ACTIONS)}")
    missing = [name for name in NEEDS.get(wanted.what, ()) if not getattr(wanted, name)]
    if missing:
        raise CommandError(USAGE, f"{wanted.what} needs {', '.join('--' + name for name in missing)}")
    if wanted.date and not (wanted.date.isascii() and wanted.date.isdigit() and len(wanted.date) == 8):
        raise CommandError(USAGE, f"--date {wanted.date!r} is no date", "write it YYYYMMDD")
    try:
        amount_fen = fen_from_yuan(wanted.amount) if wanted.amount else 0
    except MoneyError as error:
        raise CommandError(USAGE, f"--amount {wanted.amount!r}: {error}") from error
    return Order(
        action=wanted.what,
        phone=wanted.phone,
        amount_fen=amount_fen,
        serial=wanted.serial,
        date=int(wanted.date or 0),
        bill=wanted.bill,
        number=wanted.number,
        repeat=wanted.repeat,
    )


def show_sent(result: "SendResult") -> None:
    """Print both messages, masked, and what the answer means."""
    from qianzhi.domain.money import yuan_from_fen

    show_message(result.request_rows, f"{result.bank} asks: {result.action}")
    show_message(result.reply_rows, "the answer")
    bills = [
        (bill.serial, bill.month, yuan_from_fen(bill.principal_fen), yuan_from_fen(bill.late_fee_fen))
        for bill in result.bills
    ]
    show_table(("bill", "month", "principal>", "late fee>"), bills)
    order = f", work order {result.order}" if result.order else ""
    say(f"{result.meaning} (code {result.code}) after {result.elapsed_us / 1000:.1f} ms{order}")
    if result.key:
        say(f"key {result.key}: see `qianzhi trace {result.key}`")


def show_message(views: "list[FieldView]", title: str) -> None:
    """Print a message's fields."""
    rows = [(view.tag, view.path, view.title, view.value) for view in views]
    show_table(("field", "path", "title", "value"), rows, title=title)


def finish(result: "SendResult") -> None:
    """End with the code that the answer means."""
    from qianzhi.domain.results import Result

    if result.approved or (result.action == "owed" and result.result is Result.NOTHING_OWED):
        return
    if result.result in (None, Result.UNKNOWN, Result.IN_PROCESS):
        raise CommandError(UNKNOWN, f"not settled: {result.meaning}", "ask again with `status`")
    raise CommandError(BROKEN, f"refused: {result.meaning}")
