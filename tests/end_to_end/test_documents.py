"""Clients written from the interface documents alone, against the running system.

Nobody who wrote them had seen anything of the platform but `qianzhi docs nb_ccb` and `qianzhi docs bocom`.
"""

import datetime
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from qianzhi.runtime import clock

EXAMPLES = Path(__file__).parents[2] / "examples"
FORMATS = {"nb_ccb": "%m%d", "bocom": "%Y%m%d"}
NOT_FOUND = {"nb_ccb": "25", "bocom": "1104"}
REVERSED = {"nb_ccb": "22", "bocom": "1102"}
DUPLICATE = {"nb_ccb": "94", "bocom": "1101"}


class Client:
    """One example's program, at the port of the running system."""

    def __init__(self, system: Any, bank: str) -> None:
        self.bank = bank
        self.program = EXAMPLES / f"{bank}_client.py"
        place = system.site()["banks"][bank]
        port = place["listen"].rpartition(":")[2]
        self.ports = ["--port", port]
        if "control" in place:
            self.ports += ["--control-port", place["control"].rpartition(":")[2]]
        zone = datetime.timezone(datetime.timedelta(hours=8))
        now = datetime.datetime.fromtimestamp(clock.now().wall_us / 1e6, zone)
        self.today = now.strftime(FORMATS[bank])

    def run(self, action: str, *words: str) -> tuple[int, str, str]:
        """Return its exit status, the serial and all that it printed."""
        command = [sys.executable, str(self.program), *self.ports, "--action", action, *words]
        done = subprocess.run(command, capture_output=True, text=True, timeout=90, check=False)
        found = re.findall(r"\b(\d{6,20})\b(?= date|:)", done.stdout)
        return done.returncode, found[-1] if found else "", done.stdout + done.stderr


@pytest.mark.parametrize("bank", sorted(FORMATS))
def test_a_client_written_from_the_document_does_business(system: Any, bank: str) -> None:
    client = Client(system, bank)
    phone, amount = ("--phone", "13800000011"), ("--amount", "50.00")
    status, serial, said = client.run("recharge", *phone, *amount)
    assert status == 0, said
    about = ("--serial", serial, "--date", client.today)
    assert client.run("recharge", *phone, *amount, *about)[0] == 0, "a repeat hears the stored answer"
    status, _, said = client.run("recharge", *phone, "--amount", "51.00", *about)
    assert (status, DUPLICATE[bank] in said) == (1, True), said
    assert client.run("status", *about)[0] == 0
    assert client.run("reverse", *amount, *about)[0] == 0
    assert client.run("reverse", *amount, *about)[0] == 0, "a repeated reversal hears the same"
    status, _, said = client.run("status", *about)
    assert (status, REVERSED[bank] in said) == (1, True), said
    status, _, said = client.run("status", "--serial", "999999", "--date", client.today)
    assert (status, NOT_FOUND[bank] in said) == (1, True), said


@pytest.mark.parametrize("bank", sorted(FORMATS))
def test_it_asks_what_is_owed_and_pays_the_oldest_bill(system: Any, bank: str) -> None:
    client = Client(system, bank)
    first = 13_800_000_020 if bank == "nb_ccb" else 13_800_000_120
    for number in range(first, first + 25):
        phone = ("--phone", str(number))
        if client.run("owed", *phone)[0] == 0:
            status, _, said = client.run("pay", *phone)
            assert status == 0, said
            return
    pytest.fail("nobody owes anything")


def test_totals_are_equal_and_unequal(system: Any) -> None:
    client = Client(system, "nb_ccb")
    status, _, said = client.run("totals", "--date", client.today, "--totals", "123456.00,1,0,0")
    assert (status, "95" in said) == (1, True), said
    paid, count, back, back_count = re.findall(
        r"48: '\d{4}(\d{12})(\d{10})(\d{12})(\d{10})'", said.replace('"', "'")
    )[0]
    told = f"{int(paid) / 100:.2f},{int(count)},{int(back) / 100:.2f},{int(back_count)}"
    status, _, said = client.run("totals", "--date", client.today, "--totals", told)
    assert status == 0, said
