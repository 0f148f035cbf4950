"""`qianzhi send` says at once what is wrong with a request, before anything is on the wire."""

import socket
from dataclasses import replace
from pathlib import Path

import pytest

from qianzhi.cli.banks import (
    Form,
    Wanted,
    date_of,
    finish,
    order_of,
    refuse_unknown_to,
    serial_in_form,
    show_sent,
)
from qianzhi.cli.chosen import Chosen
from qianzhi.cli.daemons import site_of
from qianzhi.cli.describing import profile_of
from qianzhi.cli.output import BROKEN, UNREACHABLE, USAGE, CommandError
from qianzhi.cli.ports import refuse_deaf_lines
from qianzhi.domain.results import Result
from simulators.orders import SendResult
from simulators.sums import Sums

CHOSEN = Chosen(Path(__file__).parents[2] / "config")


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        (Wanted("recharge", phone="13800000001"), "needs --amount"),
        (Wanted("reverse", serial="1"), "needs --amount"),
        (Wanted("pay", phone="13800000001", bill="1"), "needs --amount"),
        (Wanted("recharge", phone="138", amount="5"), "--phone '138'"),
        (Wanted("recharge", phone="13800000001", amount="5.001"), "two decimals"),
        (Wanted("owed", phone="13800000001", date="20261345"), "--date '20261345'"),
        (Wanted("owed", phone="13800000001", date="2026-1-3"), "--date"),
        (Wanted("give"), "no request 'give'"),
    ],
)
def test_a_wrong_word_is_named(wanted: Wanted, said: str) -> None:
    with pytest.raises(CommandError, match=said) as failure:
        order_of(wanted, profile_of(CHOSEN, "icbc"))
    assert failure.value.code == USAGE


def test_a_serial_takes_the_banks_form_and_another_one_is_refused() -> None:
    hz_citic, icbc = profile_of(CHOSEN, "hz_citic"), profile_of(CHOSEN, "icbc")
    assert serial_in_form(hz_citic, "1002") == "001002"
    assert serial_in_form(icbc, "A7") == "A7"
    assert serial_in_form(hz_citic, "") == ""
    for profile, serial in ((hz_citic, "abc"), (hz_citic, "1234567"), (icbc, "a-b"), (icbc, "1" * 21)):
        with pytest.raises(CommandError, match="no serial of"):
            serial_in_form(profile, serial)


def test_a_date_is_a_day_of_the_calendar() -> None:
    assert date_of("20280229") == 20280229
    with pytest.raises(CommandError):
        date_of("20270229")


@pytest.mark.parametrize("bank", ["hz_citic", "icbc"])
def test_a_bank_that_nobody_serves_is_known_at_once(bank: str) -> None:
    site = site_of(CHOSEN)
    with socket.create_server(("127.0.0.1", 0)) as server:
        listen = f"{'tcp://' if bank == 'icbc' else ''}127.0.0.1:{server.getsockname()[1]}"
        site = replace(site, banks={**site.banks, bank: replace(site.banks[bank], listen=listen)})
        refuse_deaf_lines(site, [bank])
    with pytest.raises(CommandError, match=f"nobody listens for {bank}") as failure:
        refuse_deaf_lines(site, [bank])
    assert failure.value.code == UNREACHABLE


@pytest.mark.parametrize(
    ("bank", "wanted", "said"),
    [
        ("zhenghe", Wanted("totals"), "zhenghe has no totals"),
        ("icbc", Wanted("sign-on"), "icbc has no sign-on"),
        ("boc", Wanted("owed", phone="13800000001", number="9999"), "no owed under the bank number '9999'"),
    ],
)
def test_what_a_dialect_has_no_message_for_is_refused_before_anything_is_sent(
    bank: str, wanted: Wanted, said: str
) -> None:
    profile = profile_of(CHOSEN, bank)
    with pytest.raises(CommandError, match=said) as failure:
        refuse_unknown_to(profile, order_of(wanted, profile))
    assert failure.value.code == USAGE


def test_every_bank_number_of_a_bank_may_be_used() -> None:
    boc = profile_of(CHOSEN, "boc")
    for number in boc.numbers:
        refuse_unknown_to(boc, order_of(Wanted("owed", phone="13800000001", number=number), boc))


def told(result: Result, counted: Sums | None) -> SendResult:
    """What came of asking for totals, of which the journal has two payments."""
    return SendResult(
        bank="psbc", action="totals", key="psbc/20261122/000001", code="95", result=result, meaning="x",
        order="", bills=(), elapsed_us=1, amount_fen=0, request_rows=[], reply_rows=[], counted=counted,
        answered=Sums(2, 5000, 1, 2000),
    )  # fmt: skip


def test_totals_are_shown_side_by_side(capsys: pytest.CaptureFixture[str]) -> None:
    order = order_of(Wanted("totals"), profile_of(CHOSEN, "psbc"))
    result = told(Result.TOTALS_DIFFER, Sums(1, 3000))
    show_sent(result, order, Form())
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["the", "bank's", "1", "30.00", "0", "0.00"] in rows
    assert ["the", "journal's", "2", "50.00", "1", "20.00"] in rows
    assert result.as_dict()["totals"]["journal"]["reversed_fen"] == 2000
    with pytest.raises(CommandError, match="totals differ") as failure:
        finish(result)
    assert failure.value.code == BROKEN


def test_a_bank_that_cannot_know_its_totals_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    show_sent(told(Result.APPROVED, None), order_of(Wanted("totals"), profile_of(CHOSEN, "psbc")), Form())
    said = capsys.readouterr().out
    assert "the journal's" in said
    assert "the bank's" not in said
    assert "does not know its own totals" in said
