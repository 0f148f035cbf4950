"""What agents ask besides, on the running system: cancellations of what is unspent, notices of cutover."""

import json
from typing import Any

from qianzhi.domain.dates import shift
from tests.end_to_end.conftest import System


def send(system: System, bank: str, *words: str, code: int = 0) -> dict[str, Any]:
    """Send one request as the bank."""
    found: dict[str, Any] = system.ask("send", bank, *words, code=code)
    return found


def serial_of(sent: dict[str, Any]) -> str:
    """The serial of a request that was sent."""
    return str(sent["key"]).rpartition("/")[2]


def owed(system: System, phone: str) -> int:
    """What a phone's bills come to, in fen; 0 where it has none."""
    sent = system.run("send", "zongheng", "owed", "--phone", phone, "--json")
    bills = json.loads(sent.stdout)["bills"] if sent.returncode == 0 else []
    return sum(bill["principal_fen"] + bill["late_fee_fen"] for bill in bills)


def owing(system: System) -> str:
    """A phone that has bills."""
    return next(phone for phone in map(str, range(13800000300, 13800000400)) if owed(system, phone))


def yuan(fen: int) -> str:
    """An amount as it is typed."""
    return f"{fen // 100}.{fen % 100:02d}"


def test_an_agent_cancels_what_is_unspent_and_the_money_is_gone(system: System) -> None:
    content = ("--phone", "13800000401", "--amount", "20.00")
    paid = send(system, "zongheng", "recharge", *content)
    about = ("--serial", serial_of(paid), "--phone", "13800000401", "--amount", "20.00")
    assert send(system, "zongheng", "void", *about)["result"] == "approved"
    assert send(system, "zongheng", "void", *about)["result"] == "approved"
    assert send(system, "zongheng", "status", "--serial", serial_of(paid), code=1)["result"] == "reversed"
    other = ("--serial", "699998", "--phone", "13800000401", "--amount", "20.00")
    assert send(system, "zongheng", "void", *other, code=1)["result"] == "not_found"


def test_what_was_spent_is_not_cancelled_but_a_time_out_reversal_takes_it(system: System) -> None:
    phone = owing(system)
    content = ("--phone", phone, "--amount", "1.00")
    paid = send(system, "zongheng", "recharge", *content)
    about = ("--serial", serial_of(paid), *content)
    balance_fen = next(int(row["value"]) for row in paid["reply"] if row["path"] == "balance")
    rest_fen = owed(system, phone) - balance_fen  # with it the book pays its bills, and is empty
    send(system, "zongheng", "recharge", "--phone", phone, "--amount", yuan(rest_fen))
    refused = send(system, "zongheng", "void", *about, code=1)
    assert (refused["result"], refused["code"]) == ("spent", "B7")
    assert send(system, "zongheng", "status", "--serial", serial_of(paid))["result"] == "approved"
    assert send(system, "zongheng", "reverse", *about)["result"] == "approved"


def test_a_vendor_tells_its_cutover_and_repeats_it(system: System) -> None:
    paid = send(system, "lianlian", "recharge", "--phone", "13800000402", "--amount", "20.00")
    assert send(system, "lianlian", "cutover")["result"] == "approved"
    told = system.ask("status")["front-lianlian-1"]["business_date"]
    assert send(system, "lianlian", "cutover", "--date", str(told))["result"] == "approved"
    for wrong in (-1, 2):
        date = str(shift(told, wrong))
        assert send(system, "lianlian", "cutover", "--date", date, code=1)["result"] == "bad_date"
    assert system.ask("status")["front-lianlian-1"]["business_date"] == told
    serial = serial_of(paid)
    again = ("--phone", "13800000402", "--amount", "20.00", "--serial", serial, "--repeat")
    assert send(system, "lianlian", "recharge", *again)["order"] == paid["order"]
    assert send(system, "lianlian", "status", "--serial", serial)["order"] == paid["order"]
    reverse = ("--serial", serial, "--phone", "13800000402", "--amount", "20.00")
    assert send(system, "lianlian", "reverse", *reverse)["result"] == "approved"
