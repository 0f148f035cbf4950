"""`qianzhi send` says at once what is wrong with a request, before anything is on the wire."""

import socket
from dataclasses import replace
from pathlib import Path

import pytest

from qianzhi.cli.banks import Wanted, date_of, order_of, serial_in_form
from qianzhi.cli.chosen import Chosen
from qianzhi.cli.daemons import site_of
from qianzhi.cli.describing import profile_of
from qianzhi.cli.output import UNREACHABLE, USAGE, CommandError
from qianzhi.cli.ports import refuse_deaf_lines

CHOSEN = Chosen(Path(__file__).parents[2] / "config")


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        (Wanted("recharge", phone="13800000001"), "needs --amount"),
        (Wanted("reverse", serial="1"), "needs --phone, --amount"),
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
        order_of(wanted)
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
