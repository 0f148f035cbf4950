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
from qianzhi.cli.wording import counted, meaning

if TYPE_CHECKING:
    from frontends.profile import Profile
    from qianzhi.cli.chosen import Chosen
    from qianzhi.wire.codec import FieldView
    from simulators.send import Order, SendResult

NEEDS = {
    "owed": ("phone",),
    "recharge": ("phone", "amount"),
    "pay": ("phone",),
    "status": ("serial",),
    "reverse": ("serial", "phone", "amount"),
    "void": ("serial", "phone", "amount"),
}
QUOTING = {"reverse": "reversal", "void": "void"}
TAKEN = {
    "phone": "phone",
    "amount": "amount_fen",
}  # what a reversal quotes where the dialect has a place for it
PHONE_DIGITS = 11


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


class Form(NamedTuple):
    """How the answer is shown."""

    messages: bool = False
    as_json: bool = False


def send_command(chosen: "Chosen", bank: str, wanted: Wanted, seconds: float, form: Form) -> None:
    """Send one request and show its answer; exit 1 when it is refused, 4 when its outcome is not known."""
    from qianzhi.cli.daemons import site_of
    from qianzhi.cli.ports import refuse_deaf_lines
    from qianzhi.link.site import data_folder
    from simulators.send import SendError, send

    site = site_of(chosen)
    profile = profile_of(chosen, bank)
    order = order_of(wanted, profile)
    refuse_unknown_to(profile, order)
    order = replace(order, serial=serial_in_form(profile, order.serial))
    refuse_deaf_lines(site, [bank])
    here = replace(site, data=str(data_folder(site)))

    def ask(order: "Order") -> "SendResult":
        try:
            return send(here, chosen.config, profile, order, timeout_seconds=seconds)
        except SendError as error:
            code = UNKNOWN if error.unknown else UNREACHABLE
            raise CommandError(code, str(error), f"its key is {error.key}" if error.key else "") from error

    if order.action == "pay" and not order.bill:
        order = with_oldest_bill(order, ask(replace(order, action="owed", amount_fen=0, serial="")))
    result = ask(order)
    if form.as_json:
        show_json(result.as_dict())
    else:
        show_sent(result, order, form)
    finish(result)


def with_oldest_bill(order: "Order", owed: "SendResult") -> "Order":
    """Return the payment with the first bill that the bank was just told of, and what it comes to."""
    if not owed.bills:
        raise CommandError(BROKEN, f"there is no bill to pay: {meaning(owed.result)}")
    bill = owed.bills[0]
    return replace(order, bill=bill.serial, amount_fen=order.amount_fen or bill.total_fen)


def refuse_unknown_to(profile: "Profile", order: "Order") -> None:
    """Raise CommandError for what this dialect has no message for, or not under this bank number."""
    from simulators.send import LINE_ACTIONS, MONEY_ACTIONS, management_of

    if order.action in LINE_ACTIONS:
        known = management_of(profile, order.action) in profile.table.management
        numbers = []
    else:
        kind = MONEY_ACTIONS[order.action].name.lower()
        rows = [each for each in profile.table.transactions.values() if each.kind == kind]
        known = bool(rows)
        numbers = [number for each in rows for number in each.numbers or profile.numbers]
    if not known:
        raise CommandError(
            USAGE, f"{profile.name} has no {order.action}", "its profile names no such message"
        )
    if order.number and numbers and order.number not in numbers:
        raise CommandError(
            USAGE,
            f"{profile.name} has no {order.action} under the bank number {order.number!r}",
            f"it has it under {', '.join(dict.fromkeys(numbers))}",
        )


def needs_of(profile: "Profile", what: str) -> list[str]:
    """Return the options that a request cannot do without; what is quoted is the dialect's choice."""
    needed = NEEDS.get(what, ())
    if what not in QUOTING:
        return list(needed)
    rows = [each for each in profile.table.transactions.values() if each.kind == QUOTING[what]]
    taken = set(profile.table.request.take).union(*(each.take for each in rows))
    return [name for name in needed if TAKEN.get(name, name) in taken]


def order_of(wanted: Wanted, profile: "Profile") -> "Order":
    """Check what was typed; raises CommandError saying what is missing or wrong."""
    from qianzhi.domain.money import MoneyError, fen_from_yuan
    from simulators.send import ACTIONS, Order

    if wanted.what not in ACTIONS:
        raise CommandError(USAGE, f"there is no request {wanted.what!r}", f"one of {', '.join(ACTIONS)}")
    missing = [name for name in needs_of(profile, wanted.what) if not getattr(wanted, name)]
    if wanted.bill and not wanted.amount:
        missing.append("amount")
    if missing:
        raise CommandError(
            USAGE,
            f"{wanted.what} needs {', '.join('--' + name for name in missing)}",
            "see `qianzhi send -h`",
        )
    try:
        amount_fen = fen_from_yuan(wanted.amount) if wanted.amount else 0
    except MoneyError as error:
        raise CommandError(USAGE, f"--amount {wanted.amount!r}: {error}") from error
    return Order(
        action=wanted.what,
        phone=phone_of(wanted.phone),
        amount_fen=amount_fen,
        serial=wanted.serial,
        date=date_of(wanted.date),
        bill=wanted.bill,
        number=wanted.number,
        repeat=wanted.repeat,
    )


def phone_of(text: str) -> str:
    """Return a phone as typed; raises CommandError for what no message has room for."""
    if text and not (text.isascii() and text.isdigit() and len(text) == PHONE_DIGITS):
        raise CommandError(USAGE, f"--phone {text!r} is no phone", "write its 11 digits, such as 13800000001")
    return text


def date_of(text: str) -> int:
    """Return a date as a number, 0 for none; raises CommandError for what is no day of the calendar."""
    from qianzhi.domain.dates import as_date

    if not text:
        return 0
    try:
        if not (text.isascii() and text.isdigit() and len(text) == len("YYYYMMDD")):
            raise ValueError
        as_date(int(text))
    except ValueError as error:
        raise CommandError(USAGE, f"--date {text!r} is no date", "write it YYYYMMDD") from error
    return int(text)


def serial_in_form(profile: "Profile", serial: str) -> str:
    """Return a serial as the bank's messages carry it, zeros in front; raises CommandError if they cannot."""
    taken = [rows.take.get("serial", "") for rows in profile.table.transactions.values()]
    row = next((row for row in taken if row), "")
    form, _, width = str(row).rpartition("|")[2].partition(":")
    if not serial or form not in ("digits", "word") or not width.isdigit():
        return serial
    digits = form == "digits"
    if not (
        serial.isascii() and (serial.isdigit() if digits else serial.isalnum()) and len(serial) <= int(width)
    ):
        what = f"{width} digits" if digits else f"up to {width} letters and digits"
        raise CommandError(
            USAGE, f"--serial {serial!r} is no serial of {profile.name}", f"its serials are {what}"
        )
    return serial.zfill(int(width)) if digits else serial


def show_sent(result: "SendResult", order: "Order", form: Form) -> None:
    """Print what the answer means, and both messages, masked, where they are wanted."""
    from qianzhi.domain.money import yuan_from_fen

    if form.messages:
        show_message(result.request_rows, f"{result.bank} asks: {result.action}")
        show_message(result.reply_rows, "the answer")
    bills = [
        (
            bill.serial,
            bill.month,
            yuan_from_fen(bill.principal_fen),
            yuan_from_fen(bill.late_fee_fen),
            yuan_from_fen(bill.total_fen),
        )
        for bill in result.bills
    ]
    show_table(("bill", "month", "principal>", "late fee>", "total>"), bills)
    show_totals(result, order)
    work = f", work order {result.order}" if result.order else ""
    if result.bills:
        total = yuan_from_fen(sum(bill.total_fen for bill in result.bills))
        say(f"{counted(len(result.bills), 'open bill')}, {total} yuan together")
    say(
        f"{asked(order)}: {result.meaning} (code {result.code}) after {result.elapsed_us / 1000:.1f} ms{work}"
    )
    if result.key:
        say(f"see `qianzhi trace {result.key}`")


def show_totals(result: "SendResult", order: "Order") -> None:
    """Print both counts of a day side by side."""
    from qianzhi.domain.money import yuan_from_fen

    if result.answered is None:
        return
    rows = [
        (
            who,
            sums.paid_count,
            yuan_from_fen(sums.paid_fen),
            sums.reversed_count,
            yuan_from_fen(sums.reversed_fen),
        )
        for who, sums in (("the bank's", result.counted), ("the journal's", result.answered))
        if sums is not None
    ]
    show_table(("totals", "payments>", "yuan>", "of them reversed>", "yuan>"), rows)
    if result.counted is None:
        say(
            "This bank does not know its own totals of that day (simulated banks still send, or a run was cut"
        )
        say("short, or a serial that it did not send by hand was reversed): it asked with none.")


def asked(order: "Order") -> str:
    """Say in a few words what was asked."""
    from qianzhi.domain.money import yuan_from_fen

    what = order.action + (f" of {yuan_from_fen(order.amount_fen)} yuan" if order.amount_fen else "")
    what += f" on bill {order.bill}" if order.bill else ""
    return what + (f" for {order.phone}" if order.phone else "")


def show_message(views: "list[FieldView]", title: str) -> None:
    """Print a message's fields."""
    rows = [(view.tag, view.path, view.title, view.value) for view in views]
    show_table(("field", "path", "title", "value"), rows, title=title)


def finish(result: "SendResult") -> None:
    """End with the code that the answer means."""
    from qianzhi.domain.results import Result

    if result.approved or (result.action == "owed" and result.result is Result.NOTHING_OWED):
        return
    words = meaning(result.result)
    if result.result in (None, Result.UNKNOWN, Result.IN_PROCESS):
        raise CommandError(UNKNOWN, f"not settled: {words}", "ask again with `status`")
    if result.action == "status":
        raise CommandError(BROKEN, f"settled, no money stands under this key: {words}")
    if result.result is Result.TOTALS_DIFFER:
        raise CommandError(BROKEN, "the totals differ", "the answer says what the journal holds")
    raise CommandError(BROKEN, f"refused: {words}")
