"""A recharge from a bank's wire to the ledger and back, as a bank, an operator and a bystander see it."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any
from urllib.request import urlopen
from zoneinfo import ZoneInfo

import pytest

from crm_bridge.seed import person
from qianzhi.domain.dates import business_date
from qianzhi.runtime import clock
from qianzhi.runtime.admin import ask

ROOT = Path(__file__).parents[2]
BANKS = ["hz_citic", "icbc"]
CARD = "6222000000000000018"  # what the clients of both banks pay with


@pytest.mark.parametrize(("bank", "phone"), [("hz_citic", "13800000101"), ("icbc", "13800000201")])
def test_a_recharge_is_credited_once_traced_and_reversed(system: Any, bank: str, phone: str) -> None:
    before = system.ask("account", phone)
    words = ("send", bank, "recharge", "--phone", phone)
    sent = system.ask(*words, "--amount", "150.00")
    assert sent["result"] == "approved"
    serial = sent["key"].rpartition("/")[2]

    again = system.ask(*words, "--amount", "150.00", "--serial", serial, "--repeat")
    assert (again["result"], again["order"]) == ("approved", sent["order"])
    (life,) = system.ask("trace", sent["key"])
    daemons = {hop["daemon"].partition("-")[0].rstrip("12") for hop in life["hops"]}
    assert {"front", "node", "bridge"} <= daemons
    assert life["journal"]["state"] == "approved"
    assert sum(entry["amount_fen"] for entry in life["entries"]) >= 15000
    assert phone not in json.dumps(life["hops"])
    assert CARD not in json.dumps([life, sent, again])

    quoted = ("--phone", phone, "--amount", "150.00", "--serial", serial)
    assert system.ask("send", bank, "reverse", *quoted)["result"] == "approved"
    assert system.ask("send", bank, "status", *quoted, code=1)["result"] == "reversed"
    undone = system.ask("account", phone)
    assert [order["serial"] for order in undone["orders"]].count(sent["order"]) == 1
    assert len(undone["orders"]) == 2, "one recharge, however often it was sent, and its reversal"
    assert undone["balance_fen"] == before["balance_fen"]
    assert [bill["serial"] for bill in undone["bills"]] == [bill["serial"] for bill in before["bills"]]


@pytest.mark.parametrize("bank", BANKS)
def test_what_is_owed_is_quoted_and_paid(system: Any, bank: str) -> None:
    today = business_date(clock.now().wall_us, ZoneInfo("Asia/Shanghai"))
    first = 300 if bank == "hz_citic" else 400
    people = [person(index, 1, today) for index in range(first, first + 49)]
    owing = next(one.phone for one in people if len(one.bills) == 1)
    owed = system.ask("send", bank, "owed", "--phone", owing)
    (bill,) = owed["bills"]
    wrong = ("send", bank, "pay", "--phone", owing, "--bill", bill["serial"], "--amount", "0.01")
    assert system.ask(*wrong, code=1)["result"] == "bill_changed"
    assert system.ask("send", bank, "pay", "--phone", owing)["result"] == "approved"
    assert system.ask("send", bank, "owed", "--phone", owing)["result"] == "nothing_owed"


@pytest.mark.parametrize("bank", BANKS)
def test_a_refusal_says_why(system: Any, bank: str) -> None:
    words = ("send", bank, "recharge", "--phone", "13800000049", "--amount", "10.00")
    assert system.ask(*words, code=1)["result"] == "phone_closed"


def test_the_line_s_own_messages(system: Any) -> None:
    for what in ("sign-on", "echo", "key-exchange"):
        assert system.ask("send", "hz_citic", what)["code"] == "00"
    found = system.run("send", "icbc", "echo")
    assert found.returncode == 2
    assert "no echo" in found.stderr


@pytest.mark.parametrize(("bank", "phone"), [("hz_citic", "13800000501"), ("icbc", "13800000502")])
def test_the_examples_recharge_with_codecs_of_their_own(system: Any, bank: str, phone: str) -> None:
    before = len(system.ask("account", phone)["orders"])
    command = [sys.executable, str(ROOT / "examples" / f"{bank}_client.py")]
    address = system.address(bank)
    host, _, port = address.removeprefix("tcp://").rpartition(":")
    words = ["--host", host, "--port", port, "--phone", phone, "--amount", "50.00"]
    found = subprocess.run([*command, *words], capture_output=True, text=True, timeout=60, check=False)
    assert found.returncode == 0, found.stdout + found.stderr
    orders = system.ask("account", phone)["orders"]
    assert len(orders) == before + 1
    assert orders[0]["amount_fen"] == 5000


def test_a_node_killed_under_load_loses_nothing(system: Any) -> None:
    """Half of the traffic's way goes with the node; every serial still gets a final state on both sides."""
    victim = system.ask("status")["node1"]["pid"]
    timer = threading.Timer(3.0, os.kill, (victim, signal.SIGKILL))
    timer.start()
    found = system.ask("traffic", "--rate", "60", "--seconds", "6")
    timer.join()
    assert found["settled"]
    for bank in found["banks"]:
        assert bank["sent"] == bank["answered"] > 10
        assert bank["open"] == 0
        assert bank["surprises"] == {}
    assert system.ask("audit-books")["balanced"]
    assert system.wait_running()["node1"]["pid"] != victim


def test_a_node_that_stands_by_gets_nothing_new(system: Any) -> None:
    assert system.run("drain", "node2").returncode == 0
    try:
        assert system.ask("status")["node2"]["draining"] is True
        for bank in BANKS:
            words = ("--phone", "13800000003", "--amount", "10.00")
            assert system.ask("send", bank, "recharge", *words)["result"] == "approved"
    finally:
        assert system.run("undrain", "node2").returncode == 0
    assert system.ask("status")["node2"]["draining"] is False


def test_one_bank_restarts_without_touching_another(system: Any) -> None:
    before = {name: status["pid"] for name, status in system.wait_running().items()}
    victim = before.pop("front-icbc-1")
    os.kill(victim, signal.SIGTERM)
    assert system.run("send", "hz_citic", "echo").returncode == 0
    for _ in range(60):
        after = {name: status["pid"] for name, status in system.wait_running().items()}
        if after.pop("front-icbc-1") != victim:
            break
    else:
        pytest.fail("the front-end never came back")
    assert after == before
    assert system.run("send", "icbc", "owed", "--phone", "13800000003").returncode in (0, 1)


def test_metrics_are_served_by_every_daemon(system: Any) -> None:
    for port in re.findall(
        r"metrics_port = (\d+)", (system.config / "site.toml").read_text(encoding="utf-8")
    ):
        with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
            assert b"qianzhi_" in answer.read()


def test_a_second_run_names_who_holds_the_ports(system: Any) -> None:
    found = system.run("run")
    assert found.returncode == 2
    assert re.search(r"ports \d+, \d+ for bridge1: held by process \d+", found.stderr)


def test_nothing_that_is_kept_or_shown_holds_a_card_or_a_key(system: Any) -> None:
    """Logs, event files, databases and what the daemons say of themselves; phones only where they belong."""
    keys = ("0123456789ABCDEFFEDCBA9876543210", "FEDCBA98765432100123456789ABCDEF")
    secrets = [CARD.encode(), *(form for key in keys for form in (key.encode(), bytes.fromhex(key)))]
    files = [path for path in system.data.rglob("*") if path.is_file()]
    phoneless = [path for path in files if {"log", "events"} & set(path.parts)]
    assert len(files) > len(phoneless) > 8
    for path in files:
        content = path.read_bytes()
        assert not [secret for secret in secrets if secret in content], path
        assert path not in phoneless or b"13800000101" not in content, path
    sockets = [path for path in (system.data / "run").glob("*.sock") if path.name != "supervisor.sock"]
    assert len(sockets) == 3 + len(system.site()["banks"])
    said = json.dumps([ask(path, "status") for path in sockets])
    assert "signed_on" in said
    assert not [word for word in (CARD, *keys, "13800000101") if word in said]
