"""A site whose links and banks' sockets are protected, as processes: recharged through, renewed while it
runs, and never started on certificates that are of no use.
"""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

from qianzhi.runtime.admin import ask
from simulators.free_ports import free_ports

ROOT = Path(__file__).parents[2]
DAEMONS = ["bridge1", "node1", "front-wenzhou-1", "front-psbc-1"]
TABLES = """
[tls.link]
certificate = "tls/link.pem"
key = "tls/link.key"
ca = "tls/ca.pem"

[tls.banks]
certificate = "tls/front.pem"
key = "tls/front.key"
ca = "tls/ca.pem"
names = ["bank.example"]

[tls.banks_bank]
certificate = "tls/bank.pem"
key = "tls/bank.key"
ca = "tls/ca.pem"
"""


class Site:
    """Four daemons with their certificates: a bridge, a node, a bank on a long line and one on short ones."""

    def __init__(self, folder: Path, make: Any) -> None:
        self.folder = folder
        self.config = folder / "config"
        shutil.copytree(ROOT / "config", self.config)
        (self.config / "tls").mkdir()
        self.ca = make(self.config / "tls", "ca")
        for name, identity in (("link", "127.0.0.1"), ("front", "127.0.0.1"), ("bank", "bank.example")):
            self.ca.issue(name, identity)
        self.file = self.config / "site.toml"
        self.file.write_text(self._text(), encoding="utf-8")
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def _text(self) -> str:
        text = self.file.read_text(encoding="utf-8")
        kept = [
            part
            for part in re.split(r"(?m)^(?=\[)", text)
            if not part.startswith(("[banks.", "[nodes.node2]"))
            or part.startswith(("[banks.wenzhou]", "[banks.psbc]"))
        ]
        text = "".join(kept).replace('nodes = ["node1", "node2"]', 'nodes = ["node1"]')
        text = text.replace("[link]\n", '[link]\ntls = "link"\n', 1).replace(
            'group = "one"', 'group = "one"\ntls = "banks"'
        )
        ports = sorted(set(re.findall(r"\b17\d{3}\b", text)))
        for port, free in zip(ports, free_ports(len(ports)), strict=True):
            text = text.replace(port, str(free))
        return text + TABLES

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "qianzhi.cli.main", "--config", str(self.config), *words]
        return subprocess.run(
            command, cwd=self.folder, capture_output=True, text=True, timeout=60, check=False
        )

    def start(self, name: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "qianzhi.cli.main", "--config", str(self.config), "daemon", name]
        with (self.folder / f"{name}.log").open("ab") as log:
            return subprocess.Popen(command, cwd=self.folder, stderr=log)

    def wait_ready(self) -> None:
        """Wait until all run and the node has its bridge, which both fronts hear from it."""
        for _ in range(60):
            found = json.loads(self.run("status", "--json").stdout)
            if all(one["state"] == "running" for one in found.values()) and all(
                found[name]["nodes"]["node1"] not in ("draining", "away") for name in DAEMONS[2:]
            ):
                return
        raise AssertionError(found)

    def tables(self, name: str) -> dict[str, Any]:
        """What a daemon says of its certificates."""
        return dict(ask(self.folder / f"var/run/{name}.sock", "status")["tls"])

    def recharge(self, bank: str, phone: str) -> str:
        words = ("send", bank, "recharge", "--phone", phone, "--amount", "10.00", "--json")
        sent = self.run(*words)
        assert sent.stdout, sent.stderr
        return str(json.loads(sent.stdout)["result"])

    def metric(self, port: int, name: str) -> float:
        with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
            lines = answer.read().decode("utf-8").splitlines()
        return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(name))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, authority_in: Any) -> Iterator[Site]:
    made = Site(tmp_path_factory.mktemp("protected"), authority_in)
    seeded = made.run("seed")
    assert seeded.returncode == 0, seeded.stderr
    try:
        made.processes = {name: made.start(name) for name in DAEMONS}
        made.wait_ready()
        yield made
    finally:
        for process in made.processes.values():
            process.kill()
            process.wait()


def test_banks_recharge_over_protected_lines(site: Site) -> None:
    assert site.recharge("wenzhou", "13800000101") == "approved"
    assert site.recharge("psbc", "13800000102") == "approved"
    text = site.file.read_text(encoding="utf-8")
    ports = {int(port) for port in re.findall(r"metrics_port = (\d+)", text)}
    assert all(site.metric(port, "qianzhi_tls_handshakes_total{") >= 1 for port in ports)
    found = {name: site.tables(name) for name in DAEMONS}
    assert all("own" in table["ends"] for tables in found.values() for table in tables.values())
    assert {name: set(tables) for name, tables in found.items()} == {
        "bridge1": {"link"},
        "node1": {"link"},
        "front-wenzhou-1": {"banks", "link"},
        "front-psbc-1": {"banks", "link"},
    }


def test_certificates_are_renewed_while_it_runs_and_bad_ones_are_not_used(site: Site) -> None:
    before = site.tables("front-psbc-1")["banks"]["ends"]["own"]
    site.ca.issue("front", "127.0.0.1", days=60)
    asked = site.run("reload", "front-psbc-1")
    assert (asked.returncode, asked.stdout) == (0, "front-psbc-1: banks, link\n")
    renewed = site.tables("front-psbc-1")["banks"]["ends"]["own"]
    assert renewed != before
    assert site.recharge("psbc", "13800000103") == "approved"

    key = site.config / "tls/front.key"
    good = key.read_bytes()
    key.write_bytes((site.config / "tls/bank.key").read_bytes())
    asked = site.run("reload")
    assert asked.returncode == 1
    assert "tls.banks.key: found the key of another certificate" in asked.stdout
    assert "tls.banks.key: found the key of another" in site.tables("front-psbc-1")["banks"]["trouble"]
    assert "certificates of banks" in site.run("status").stdout.replace("\n", " ")
    checked = site.run("check", "--json")
    assert checked.returncode == 2
    (problem,) = json.loads(checked.stdout)
    assert (problem["key"], problem["found"]) == ("tls.banks.key", "the key of another certificate")
    assert site.recharge("psbc", "13800000104") == "approved", "the old files stay in force"
    key.write_bytes(good)
    assert site.run("reload").returncode == 0


def test_a_bank_with_a_certificate_of_no_use_is_refused_and_says_so(site: Site) -> None:
    good = (site.config / "tls/bank.pem").read_bytes(), (site.config / "tls/bank.key").read_bytes()
    site.ca.issue("bank", "another.example")
    sent = site.run("send", "psbc", "recharge", "--phone", "13800000105", "--amount", "10.00")
    assert sent.returncode != 0
    (site.config / "tls/bank.pem").write_bytes(good[0])
    (site.config / "tls/bank.key").write_bytes(good[1])
    port = re.search(
        r"metrics_port = (\d+)", site.file.read_text(encoding="utf-8").partition("[banks.psbc]")[2]
    )
    assert port is not None
    assert site.metric(int(port[1]), 'qianzhi_tls_refused_total{reason="wrong_name",tls="banks"}') >= 1
    assert site.recharge("psbc", "13800000105") == "approved"


def test_no_daemon_starts_on_files_that_it_cannot_use_but_others_are_not_its_business(site: Site) -> None:
    site.ca.issue("front", "127.0.0.1", days=-1)
    (site.config / "tls/bank.key").chmod(0o644)
    refused = site.run("daemon", "front-psbc-1")
    assert refused.returncode == 2
    assert "tls.banks.certificate" in refused.stdout
    assert "tls.banks_bank.key" not in refused.stdout
    assert site.run("check").returncode == 2
