"""The carrier's site as its file stands: eight machines and the banks', each a network namespace of its own.

Servers, daemons and banks talk over cables alone.  Under load one machine's cable is pulled and another
machine loses its power; every bank goes on being served, and everything that it was told is true.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from qianzhi.cli.balancer import entries, render
from qianzhi.cli.chosen import Chosen
from qianzhi.cli.servers import make_users
from qianzhi.link.site import load_site
from qianzhi.link.tables import Site
from simulators.servers.haproxy import Haproxy
from simulators.servers.namespaces import Machines
from simulators.servers.postgres import Cluster, Listening, Postgres
from simulators.servers.processes import private_folder
from simulators.servers.rabbitmq import Broker

pytestmark = pytest.mark.usefixtures("processors")
ROOT = Path(__file__).parents[2]
CONFIG = ROOT / "config"
ADDRESSES = {
    "mq1": "10.77.1.1",
    "mq2": "10.77.1.2",
    "if1": "10.77.2.1",
    "if2": "10.77.2.2",
    "if3": "10.77.3.1",
    "if4": "10.77.3.2",
    "core1": "10.77.4.1",
    "core2": "10.77.4.2",
    "banks": "10.77.9.1",
}
BALANCER = "10.77.4.10"  # held by core1
OURS = "10.77.0.0/16"
RATE = 85
LOOKS_MAX = 240  # two a second
MORE = 3  # approvals of each bank that show that it is served


class Carrier:
    """The site on its machines, from `start` to `close`."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder = folder
        self.running: dict[str, subprocess.Popen[str]] = {}
        self._stack = stack
        site, problems = load_site(CONFIG, "carrier")
        assert site is not None, problems
        self.site: Site = site
        stack.callback(shutil.rmtree, folder)
        stack.callback(self._reap)
        self.machines = Machines(ADDRESSES)
        stack.callback(self.machines.close)
        self.machines.add_address("core1", BALANCER)

    def start(self) -> None:
        """Start the servers, make users and tables, then every machine's daemons; wait until they run."""
        broker = self.machines.call("core1", lambda: Broker.create(host=ADDRESSES["core1"], port=5672))
        self._stack.callback(broker.close)
        self.machines.call("core1", broker.launch)
        primary = self._database("core1")
        standby = self._database("core2", primary)
        Cluster(primary, standby).join()
        admin = primary.url(primary.admin_user, "postgres", primary.admin_password)
        self.qianzhi("core1", "database", "init", "--admin", admin)
        self.qianzhi("core1", "seed")
        self.machines.call("core1", broker.wait_ready)
        self.machines.call("core1", lambda: make_users(Chosen(CONFIG, "carrier"), broker))
        text = render(self.site, service=False)
        balancer = self.machines.call("core1", lambda: Haproxy.create(text, entries(self.site)))
        self._stack.callback(balancer.close)
        self.machines.call("core1", balancer.start)
        for machine in ADDRESSES:
            if machine != "banks":
                self.running[machine] = self.popen(machine, *self.command("run", "--machine", machine))
        for machine in self.running:
            self._wait_running(machine)

    def command(self, *words: str) -> list[str]:
        """The command with this site."""
        start = [sys.executable, "-m", "qianzhi.cli.main", "--config", str(CONFIG), "--site", "carrier"]
        return [*start, *words]

    def popen(self, machine: str, *command: str) -> "subprocess.Popen[str]":
        """Start a command on a machine, in that machine's own folder."""
        folder = self.folder / machine
        folder.mkdir(exist_ok=True)
        with (folder / "stderr").open("a") as errors:
            return self.machines.popen(
                machine, list(command), cwd=folder, stdout=subprocess.PIPE, stderr=errors
            )

    def qianzhi(self, machine: str, *words: str) -> str:
        """Run a command on a machine; return what it says."""
        process = self.popen(machine, *self.command(*words))
        said, _ = process.communicate(timeout=60)
        assert process.returncode == 0, f"{words}: {said}{self.logs()}"
        return said

    def close(self) -> None:
        """Stop the machines that still run, in order."""
        for process in self.running.values():
            process.send_signal(signal.SIGTERM)
        for machine, process in self.running.items():
            said, _ = process.communicate(timeout=120)
            assert process.returncode == 0, f"{machine}: {said}"

    def _reap(self) -> None:
        """Collect what ended with its machine."""
        for process in self.running.values():
            process.communicate()

    def logs(self) -> str:
        """What went wrong anywhere, for a failure's message."""
        files = [*self.folder.glob("*/stderr"), *self.folder.glob("*/var/log/*.log")]
        return "\n".join(f"--- {file}\n{file.read_text(errors='replace')[-1500:]}" for file in sorted(files))

    def _database(self, machine: str, primary: Postgres | None = None) -> Postgres:
        place = Listening(ADDRESSES[machine], 5432, OURS)
        if primary is None:
            server = self.machines.call(machine, lambda: Postgres.create(at=place))
        else:
            server = self.machines.call(machine, lambda: Postgres.copied(primary, at=place))
        self._stack.callback(server.close)
        self.machines.call(machine, server.start)
        return server

    def _wait_running(self, machine: str) -> None:
        process = self.running[machine]
        assert process.stdout is not None
        seen = []
        for line in process.stdout:
            seen.append(line)
            if "daemons run" in line:
                return
        raise AssertionError("".join([machine, *seen, self.logs()]))


class Banks:
    """The simulated banks on their own machine."""

    def __init__(self, carrier: Carrier) -> None:
        script = str(Path(__file__).with_name("carrier_traffic.py"))
        self._carrier = carrier
        self._process = carrier.popen("banks", sys.executable, script, str(CONFIG), "carrier", str(RATE))
        self._approved: dict[str, int] = {}

    def wait_served(self) -> None:
        """Wait until every bank has had some more approvals."""
        before = dict(self._approved)
        for _ in range(LOOKS_MAX):
            self._approved = self._next()
            behind = [bank for bank, n in self._approved.items() if n < before.get(bank, 0) + MORE]
            if not behind:
                return
        raise AssertionError(f"not served any more: {behind}\n{self._carrier.logs()}")

    def proof(self) -> dict[str, Any]:
        """Let them end and settle; return what was proved."""
        self._process.send_signal(signal.SIGINT)
        while "good" not in (found := self._next()):
            pass
        self._process.wait(30)
        return found

    def kill(self) -> None:
        """End them, if they still run."""
        self._process.kill()
        self._process.communicate()

    def _next(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, self._carrier.logs()
        found: dict[str, Any] = json.loads(line)
        return found


@pytest.fixture
def carrier() -> Iterator[Carrier]:
    """The running site."""
    if os.geteuid() != 0:
        pytest.fail("machines of their own networks need root: sudo env PATH=$PATH make test")
    with ExitStack() as stack:
        folder = private_folder("carrier")
        found = Carrier(folder, stack)
        found.start()
        yield found
        found.close()


def test_a_cut_cable_and_a_dead_machine_cost_no_bank_its_service(carrier: Carrier) -> None:
    banks = Banks(carrier)
    try:
        banks.wait_served()
        carrier.machines.cut("if2")
        banks.wait_served()
        carrier.machines.kill("mq1")
        carrier.running.pop("mq1").communicate()
        banks.wait_served()
        carrier.machines.mend("if2")
        banks.wait_served()
        found = banks.proof()
    finally:
        banks.kill()
    assert found["good"], f"{found}\n{carrier.logs()}"
    assert found["line"].endswith("0 lost, books balanced")
    assert "balanced" in carrier.qianzhi("core2", "audit-books")
