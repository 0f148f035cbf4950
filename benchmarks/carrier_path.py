"""End-to-end figures on the carrier's parts: PostgreSQL with its synchronous standby, two bridges, HAProxy or
RabbitMQ before two fronts of the bank.

    python benchmarks/carrier_path.py [--path socket|queue] [--requests 20000] [--window 256] [--json]

`socket` sends hz_citic's recharges over eight connections through HAProxy, `queue` icbc's over RabbitMQ, each
with `window` in flight in all.  The whole carrier site runs on this machine's loopback, the other banks idle.
Every answer's code and MAC is checked and the books are audited afterwards.  CPU seconds are the kernel's own
accounts of each process; the load generator's share is reported apart.
"""

import argparse
import contextlib
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parent))

from first_path import ROOT, Bank, cpu_seconds, drive, lift_rate

from bankmq.kept import Outcome
from bankmq.rabbit_sender import RabbitSender
from bankmq.rabbit_sender_kept import Message, PublishLimits
from qianzhi.cli.checks import require
from qianzhi.cli.chosen import Chosen
from qianzhi.cli.daemons import site_of
from qianzhi.cli.derived import derive
from qianzhi.cli.laying_out import laid_out
from qianzhi.cli.looking import seed_core
from qianzhi.cli.machine import Machine
from qianzhi.cli.servers import Servers, start_all
from qianzhi.runtime.daemon import install_reactor
from simulators.broker_lines import bank_broker

CONNECTIONS = 8
BANKS = {"socket": "hz_citic", "queue": "icbc"}


class Carrier:
    """The carrier's site laid out on loopback with its servers, from `start` to `stop`."""

    def __init__(self, folder: Path) -> None:
        self.config = folder / "config"
        self.data = folder / "var"
        self._stack = contextlib.ExitStack()
        derive(ROOT / "config", "carrier", self.config, self.data, laid_out(True))
        lift_rate(self.config)
        self._servers: Servers | None = None
        self._machine: Machine | None = None

    def start(self, subscribers: int) -> None:
        """Start servers and daemons, and wait until all serve."""
        own = Chosen(self.config)
        self._servers = start_all(own, site_of(own), self._stack)
        checked, site = require(self.config)
        seed_core(checked, site, subscribers)
        self._machine = Machine(own, site)
        self._machine.start()
        self._machine.wait_ready()

    def stop(self) -> None:
        """End everything."""
        if self._machine is not None:
            self._machine.stop()
        self._stack.close()

    def qianzhi(self, *words: str) -> str:
        """Run the command and return what it prints."""
        command = [sys.executable, "-m", "qianzhi.cli.main", "--config", str(self.config), *words]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    def cpu_seconds(self) -> Counter[str]:
        """Return what every daemon and server has used up to now, in seconds of CPU, by what it is."""
        if self._machine is None or self._servers is None:
            raise RuntimeError("not started")
        spent: Counter[str] = Counter()
        for name, status in self._machine.statuses().items():
            spent[name.partition("-")[0].rstrip("0123456789")] += cpu_seconds(status["pid"])
        servers = {
            "rabbitmq": self._servers.broker,
            "postgresql": self._servers.database,
            "standby": self._servers.standby,
        }
        for name, server in servers.items():
            if server is not None:
                spent[name] += cpu_of_tree(server.pid)
        return spent


def cpu_of_tree(pid: int) -> float:
    """Return the CPU seconds of a process, its living children, and those of its children that have ended."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    ended = (int(fields[13]) + int(fields[14])) / os.sysconf("SC_CLK_TCK")
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return cpu_seconds(pid) + ended + sum(cpu_of_tree(int(child)) for child in children)


class QueueDrive:
    """Keeps so many messages in flight on a bank's queue; the reactor runs on this thread until all is
    answered.
    """

    def __init__(self, bank: Bank, config: Path, bodies: list[bytes], window: int) -> None:
        broker = bank_broker(bank.site, bank.profile, config)
        self._reactor = install_reactor()
        limits = PublishLimits()
        self._sender = RabbitSender(
            broker.names, broker.broker, ".bench", limits, self._on_outcomes, self._reactor
        )
        self._waiting = [Message(str(n).encode(), body, False) for n, body in enumerate(bodies)][::-1]
        self._window = window
        self._sent: dict[bytes, int] = {}
        self._open = len(bodies)
        self.latencies: list[int] = []
        self.bodies: list[bytes] = []
        self.seconds = 0.0

    def run(self) -> None:
        """Send everything."""
        self._sender.start()
        self._reactor.callWhenRunning(self._begin)
        self._reactor.run()

    def _begin(self) -> None:
        if self._sender.state.name != "ready":
            self._reactor.callLater(0.05, self._begin)
            return
        self._began = time.perf_counter_ns()
        self._more(self._window)

    def _more(self, count: int) -> None:
        batch = [self._waiting.pop() for _ in range(min(count, len(self._waiting)))]
        at = time.perf_counter_ns()
        self._sent.update((message.message_id, at) for message in batch)
        if batch:
            self._sender.submit(batch)

    def _on_outcomes(self, outcomes: list[Outcome]) -> None:
        now = time.perf_counter_ns()
        for outcome in outcomes:
            if outcome.end != "answered":
                raise SystemExit(f"a message ended as {outcome.end}")
            self.latencies.append((now - self._sent.pop(outcome.message_id)) // 1000)
            self.bodies.append(outcome.body)
        self._open -= len(outcomes)
        self._more(len(outcomes))
        if not self._open:
            self.seconds = (now - self._began) / 1e9
            self._reactor.stop()


def measure(carrier: Carrier, given: argparse.Namespace) -> dict[str, Any]:
    """Run the load once and return every figure."""
    bank = Bank(carrier, BANKS[given.path])
    frames = bank.recharges(given.requests, given.subscribers)
    before, own = carrier.cpu_seconds(), time.process_time()
    if given.path == "socket":
        window = given.window // CONNECTIONS
        seconds, latencies, bodies = drive(bank, frames, CONNECTIONS, window)
    else:
        queue = QueueDrive(bank, carrier.config, frames, given.window)
        queue.run()
        seconds, latencies, bodies = queue.seconds, queue.latencies, queue.bodies
    own = time.process_time() - own
    spent = carrier.cpu_seconds()
    spent.subtract(before)
    latencies.sort()
    return {
        "machine": f"{platform.machine()}, {os.cpu_count()} CPUs, Linux {platform.release()}",
        "python": platform.python_version(),
        "path": given.path,
        "requests": given.requests,
        "window": given.window,
        "seconds": round(seconds, 2),
        "recharges_per_second": round(given.requests / seconds),
        "p50_ms": round(latencies[len(latencies) // 2] / 1000, 2),
        "p99_ms": round(latencies[len(latencies) * 99 // 100] / 1000, 2),
        "cpu_us_per_recharge": {name: round(each / given.requests * 1e6, 1) for name, each in spent.items()},
        "load_generator_us": round(own / given.requests * 1e6, 1),
        "codes": dict(bank.codes(bodies)),
    }


def as_text(report: dict[str, Any]) -> str:
    """Return the report for people."""
    lines = [f"{report['machine']}, Python {report['python']}"]
    lines.append(
        f"{report['path']}: {report['requests']} recharges, {report['window']} in flight: "
        f"{report['recharges_per_second']} a second, p50 {report['p50_ms']} ms, p99 {report['p99_ms']} ms"
    )
    for name, us in report["cpu_us_per_recharge"].items():
        lines.append(f"  {name:24} {us:8.1f} µs of CPU per recharge")
    lines.append(f"  {'load generator, apart':24} {report['load_generator_us']:8.1f}")
    lines.append("codes: " + ", ".join(f"{code} {n}" for code, n in sorted(report["codes"].items())))
    return "\n".join(lines)


def main() -> None:
    """Run it and print a table or JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--path", choices=list(BANKS), default="socket")
    parser.add_argument("--requests", type=int, default=20_000)
    parser.add_argument("--window", type=int, default=256)
    parser.add_argument("--subscribers", type=int, default=20_000)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="qianzhi-bench-") as folder:
        carrier = Carrier(Path(folder))
        try:
            carrier.start(given.subscribers)
            report = measure(carrier, given)
            carrier.qianzhi("audit-books")
        finally:
            carrier.stop()
    print(json.dumps(report, indent=2) if given.json else as_text(report))


if __name__ == "__main__":
    main()
