"""Charges through real processes: node, front-end, network and core, each policy with each way to go wrong.

What a cardholder paid (the network's books) is what the phone was credited with, or went back.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from qianzhi.domain.requests import Key
from simulators.free_ports import free_ports
from simulators.network import Charge, State
from simulators.network_books import read_books

pytestmark = pytest.mark.usefixtures("processors")
ROOT = Path(__file__).parents[2]
NETWORKS = ("unet", "vnet", "mnet", "lnet")
ANSWER_SECONDS = 2
LATE_SECONDS = 3  # when a late answer comes: after ANSWER_SECONDS
PHONE = "13800000001"
LOOKS = 240
OVER = {"credited", "declined", "reversing", "refunding", "lapsed", "unreversed"}


class Site:
    """The site `networks` on free ports, with its networks, and the command that asks them for money."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.config = folder / "config"
        self.data = folder / "var/networks"
        self.networks: dict[str, subprocess.Popen[str]] = {}

    def command(self, *words: str) -> list[str]:
        """A command line of `qianzhi` for this site."""
        start = [sys.executable, "-m", "qianzhi.cli.main", "--config", str(self.config)]
        return [*start, "--site", "networks", *words]

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run `qianzhi` as a user does."""
        return subprocess.run(
            self.command(*words), cwd=self.folder, capture_output=True, text=True, timeout=120, check=False
        )

    def play(self, name: str) -> None:
        """Start a network."""
        words = ("simulate", "network", name, "--late-seconds", str(LATE_SECONDS))
        process = subprocess.Popen(
            self.command(*words), cwd=self.folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        self.networks[name] = process
        assert process.stdout is not None
        assert "books in" in process.stdout.readline()

    def charge(self, bank: str, yuan: str, order: str, phone: str = PHONE) -> dict[str, Any]:
        """Ask for a charge, or how it stands."""
        found = self.run("simulate", "charge", bank, phone, yuan, "--order", order, "--json")
        assert found.stdout, found.stderr
        return json.loads(found.stdout)

    def books(self, bank: str) -> dict[Key, Charge]:
        """What the network's books say."""
        return read_books(self.data / "simulators" / f"{bank}.network")

    def until(self, bank: str, key: str, state: State) -> None:
        """Wait until a charge stands so in the network's books; each look is a command's time."""
        for _ in range(LOOKS):
            found = self.books(bank).get(Key.parse(key))
            if found is not None and found.state is state:
                return
            self.run("saf", "list", "--json")
        raise AssertionError((bank, key, state, self.books(bank), self.logs()))

    def ended(self, bank: str, yuan: str, order: str) -> dict[str, Any]:
        """Ask how an order stands until it has ended."""
        for _ in range(LOOKS):
            said = self.charge(bank, yuan, order)
            if said["state"] in OVER:
                return said
        raise AssertionError((said, self.logs()))

    def logs(self) -> str:
        """The ends of all logs, for a failure's message."""
        files = sorted((self.data / "log").glob("*"))
        return "\n".join(f"--- {file.name}\n{file.read_text('utf-8', 'replace')[-1500:]}" for file in files)


def make_config(site: Site) -> None:
    """The project's configuration with free ports, and answers that are awaited for a short time."""
    shutil.copytree(ROOT / "config", site.config)
    file = site.config / "sites/networks.toml"
    text = file.read_text(encoding="utf-8")
    ports = sorted(set(re.findall(r"\b17\d{3}\b", text)))
    for port, free in zip(ports, free_ports(len(ports)), strict=True):
        text = text.replace(port, str(free))
    file.write_text(text, encoding="utf-8")
    for name in NETWORKS:
        bank = site.config / f"banks/{name}.toml"
        short = f"\nanswer_seconds = {ANSWER_SECONDS}\nlate"
        text, found = re.subn(r"\nanswer_seconds = \d+\nlate", short, bank.read_text("utf-8"))
        assert found == 1
        bank.write_text(text, encoding="utf-8")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The running site; ended with SIGTERM."""
    found = Site(tmp_path_factory.mktemp("networks"))
    make_config(found)
    assert found.run("seed", "--subscribers", "20").returncode == 0
    process = subprocess.Popen(
        found.command("run"), cwd=found.folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        assert process.stdout is not None
        seen = []
        for line in process.stdout:
            seen.append(line)
            if "daemons run" in line:
                break
        assert process.poll() is None, "".join(seen)
        for name in NETWORKS:
            found.play(name)
        for name in NETWORKS:
            first = f"{name}-first"
            for _ in range(LOOKS):  # until its line is open
                if found.charge(name, "1.00", first)["state"] == "credited":
                    break
                first += "x"
        yield found
    finally:
        for network in found.networks.values():
            network.kill()
            network.communicate()
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=60)
    assert process.returncode == 0, output


@pytest.mark.parametrize("name", NETWORKS)
def test_a_charge_is_credited_and_its_money_taken(site: Site, name: str) -> None:
    said = site.charge(name, "50.00", f"{name}-ok")
    assert (said["state"], said["amount_fen"]) == ("credited", 5_000)
    assert said["work_order"]
    site.until(name, said["key"], State.TAKEN)  # of mnet only after its completion
    assert site.charge(name, "50.00", f"{name}-ok") == said


@pytest.mark.parametrize("name", NETWORKS)
def test_a_declined_charge_ends_without_money(site: Site, name: str) -> None:
    said = site.charge(name, "50.51", f"{name}-declined")
    assert said["state"] == "declined"
    assert site.books(name)[Key.parse(said["key"])].state is State.DECLINED


@pytest.mark.parametrize("name", ["unet", "vnet"])
@pytest.mark.parametrize("fen", ["98", "95", "68"])
def test_without_an_answer_a_charge_is_reversed_at_once_until_that_is_answered(
    site: Site, name: str, fen: str
) -> None:
    said = site.charge(name, f"50.{fen}", f"{name}-{fen}")
    said = site.ended(name, f"50.{fen}", f"{name}-{fen}")
    assert (said["state"], said["reason"]) == ("reversing", "timeout")
    site.until(name, said["key"], State.REVERSED)


def test_only_a_late_approval_is_reversed_where_that_is_the_rule(site: Site) -> None:
    said = site.charge("mnet", "50.68", "mnet-late")
    assert said["state"] in ("waiting", "timed_out", "reversing")
    said = site.ended("mnet", "50.68", "mnet-late")
    assert (said["state"], said["reason"]) == ("reversing", "late")
    site.until("mnet", said["key"], State.REVERSED)


def test_without_any_answer_nothing_is_reversed_where_that_is_the_rule(site: Site) -> None:
    said = site.charge("mnet", "50.98", "mnet-silent")
    assert said["state"] in ("waiting", "timed_out")
    assert site.books("mnet")[Key.parse(said["key"])].state is State.HELD


def test_without_reversals_a_charge_without_an_answer_is_a_break(site: Site) -> None:
    said = site.charge("lnet", "50.98", "lnet-silent")
    said = site.ended("lnet", "50.98", "lnet-silent")
    assert said["state"] == "unreversed"
    assert site.books("lnet")[Key.parse(said["key"])].state is State.TAKEN


@pytest.mark.parametrize("name", NETWORKS)
def test_a_charge_that_cannot_be_credited_goes_back(site: Site, name: str) -> None:
    said = site.charge(name, "50.00", f"{name}-stranger", phone="13999999999")
    assert said["state"] == "refunding"
    site.until(name, said["key"], State.REFUNDED)


@pytest.mark.parametrize("name", ["unet", "vnet"])
def test_reversals_wait_while_the_network_is_signed_off(site: Site, name: str) -> None:
    order = f"{name}-off"
    said = site.charge(name, "51.98", order)
    os.kill(site.networks[name].pid, signal.SIGUSR1)
    said = site.ended(name, "51.98", order)
    assert said["state"] == "reversing"
    refused = site.charge(name, "52.00", f"{order}-2")
    assert refused["state"] in ("refused", "declined")
    os.kill(site.networks[name].pid, signal.SIGUSR2)
    site.until(name, said["key"], State.REVERSED)


def test_a_network_that_dies_and_a_front_that_dies_lose_no_reversal(site: Site) -> None:
    said = site.charge("vnet", "53.98", "vnet-dies")
    site.networks["vnet"].kill()
    site.networks["vnet"].communicate()
    status = json.loads(site.run("status", "--json").stdout)
    os.kill(status["front-vnet-1"]["pid"], signal.SIGKILL)
    site.play("vnet")
    said = site.ended("vnet", "53.98", "vnet-dies")
    assert said["state"] == "reversing"
    site.until("vnet", said["key"], State.REVERSED)
