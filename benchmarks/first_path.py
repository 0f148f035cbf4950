"""The first end-to-end figure: recharges over hz_citic's socket, with MAC, commit on SQLite and reply.

    python benchmarks/first_path.py [--requests 20000] [--connections 8] [--window 32] [--json]

Starts the whole system (two nodes, the bridge, both front-ends) on free ports with data of its own, seeds
subscribers, lifts the bank's rate limit, takes a working key as a bank does, prepares every frame beforehand,
then keeps `connections` × `window` requests in flight.  Every reply's code and MAC is checked and the books
are audited afterwards.  CPU seconds are the kernel's own accounts of each daemon; the load generator's share
is reported apart.
"""

import argparse
import json
import os
import platform
import re
import selectors
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from itertools import islice
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from frontends.profile import load_profile, resolve_keys
from qianzhi.cli.derived import derive
from qianzhi.domain.dates import business_date
from qianzhi.domain.requests import Kind, Request
from qianzhi.link.site import entry_of, load_site, parse_address
from qianzhi.runtime import clock
from qianzhi.wire.framing import FrameReader, frame
from qianzhi.wire.mac import make_mac, verify_mac
from qianzhi.wire.mackey import MacKey
from simulators.free_ports import free_port
from simulators.state_file import StateFile

ROOT = Path(__file__).parents[1]
BANK = "hz_citic"
TICKS = os.sysconf("SC_CLK_TCK")

# Places in a frame of hz_citic: header 46, MTI 4, bitmaps 16, then fields 3 (6), 4 (12), 7 (10), 11 (6).
PREFIX_BYTES = 4
MTI = slice(46, 50)
STAN = slice(94, 100)


class System:
    """A system of its own: configuration on free ports, data in a temporary folder."""

    def __init__(self, folder: Path, subscribers: int) -> None:
        self.config = folder / "config"
        self.data = folder / "var"
        derive(ROOT / "config", "", self.config, self.data)
        site_file = self.config / "site.toml"
        text = site_file.read_text(encoding="utf-8")
        for port in sorted(set(re.findall(r"\b17\d{3}\b", text))):
            text = text.replace(port, str(free_port()))
        site_file.write_text(text, encoding="utf-8")
        lift_rate(self.config)
        self.qianzhi("seed", "--subscribers", str(subscribers))
        self.process = subprocess.Popen(self._command("run"), stdout=subprocess.PIPE, text=True)
        for line in self.process.stdout or ():
            if "daemons run" in line:
                return
        raise SystemExit("the system did not start")

    def _command(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "qianzhi.cli.main", "--config", str(self.config), *words]

    def qianzhi(self, *words: str) -> str:
        """Run the command and return what it prints."""
        return subprocess.run(self._command(*words), check=True, capture_output=True, text=True).stdout

    def pids(self) -> dict[str, int]:
        """Return the daemons' process ids by name."""
        statuses = json.loads(self.qianzhi("status", "--json"))
        return {name: status["pid"] for name, status in statuses.items()}

    def stop(self) -> None:
        """End the system and wait for it."""
        self.process.terminate()
        self.process.wait(60)


def lift_rate(config: Path) -> None:
    """Give the banks of a configuration a rate that is never reached: the figure is to be the machine's."""
    banks = config / "banks"
    kept = {file.name: file.read_text(encoding="utf-8") for file in banks.iterdir()}
    banks.unlink()  # a link to the project's own folder
    banks.mkdir()
    for name, text in kept.items():
        text = re.sub(r"(?m)^rate_per_second = \d+$", "rate_per_second = 1000000", text)
        (banks / name).write_text(text, encoding="utf-8")


class Bank:
    """The bank's end of the line: its key, one just delivered where keys are exchanged, and frames."""

    def __init__(self, system: Any, bank: str = BANK) -> None:
        """`system` has a configuration, its data folder and the command."""
        site, problems = load_site(system.config)
        if site is None:
            raise SystemExit("\n".join(map(str, problems)))
        profile, problems = load_profile(system.config, bank, site)
        if profile is None or profile.mac is None:
            raise SystemExit("\n".join(map(str, problems)))
        self.site, self.profile, self.mac = site, profile, profile.mac
        self.key = self._key(system)

    def _key(self, system: Any) -> MacKey:
        keys = resolve_keys(self.profile, system.config, production=False)
        if "master" not in keys:
            return MacKey(keys["mac"])
        system.qianzhi("send", self.profile.name, "key-exchange")
        key = StateFile(system.data, self.profile.name).load_key(keys["master"])
        if key is None:
            raise SystemExit("no working key was delivered")
        return MacKey(key)

    @property
    def address(self) -> tuple[str, int]:
        """Where the bank dials."""
        return parse_address(entry_of(self.site.banks[self.profile.name]))

    def connect(self) -> socket.socket:
        """Open one more connection of the line, which is signed on already."""
        found = socket.create_connection(self.address)
        found.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return found

    def recharges(self, count: int, subscribers: int) -> list[bytes]:
        """Return signed recharge frames with serials 1 to count, spread over the population."""
        mapping, codec = self.profile.mapping, self.profile.codec
        now = clock.now()
        today = business_date(now.wall_us, mapping.zone)
        frames, name = [], self.profile.name
        for number in range(1, count + 1):
            phone = str(13800000000 + number * 7919 % subscribers)
            serial, bank_number = f"{number:06d}", self.profile.numbers[0]
            request = Request(Kind.RECHARGE, name, today, serial, name, bank_number, phone, 100)
            message = mapping.request_message(request, now)
            make_mac(self.mac, message, codec, self.key)
            frames.append(frame(self.profile.frame, codec.encode(message)))
        return frames

    def codes(self, bodies: list[bytes]) -> Counter[str]:
        """Decode every reply and check its MAC; return how often each response code stands there."""
        codes: Counter[str] = Counter()
        for body in bodies:
            message = self.profile.codec.decode(body)
            if verify_mac(self.mac, message, self.profile.codec, [self.key]) is None:
                raise SystemExit("a reply has a wrong MAC")
            codes[self.profile.mapping.reply_of(message).code] += 1
        return codes


def drive(
    bank: Bank, frames: list[bytes], connections: int, window: int
) -> tuple[float, list[int], list[bytes]]:
    """Keep connections × window in flight; return seconds, latencies in µs and the bodies of the replies."""
    selector = selectors.DefaultSelector()
    queue = iter(frames)
    sent: dict[bytes, int] = {}
    latencies: list[int] = []
    bodies: list[bytes] = []

    def more(line: socket.socket, count: int) -> None:
        batch = list(islice(queue, count))
        at = time.perf_counter_ns()
        sent.update((data[PREFIX_BYTES:][STAN], at) for data in batch)
        if batch:
            line.sendall(b"".join(batch))

    lines = [bank.connect() for _ in range(connections)]
    started = time.perf_counter_ns()
    for line in lines:
        selector.register(line, selectors.EVENT_READ, FrameReader(bank.profile.frame))
        more(line, window)
    while len(bodies) < len(frames):
        ready = selector.select(10)
        if not ready:
            raise SystemExit(f"no reply for 10 s; {len(frames) - len(bodies)} are missing")
        for key, _ in ready:
            line = key.fileobj
            data = line.recv(262144)
            if not data:
                raise SystemExit("the front-end closed a connection")
            done = [body for body in key.data.receive_data(data) if body[MTI] == b"0210"]
            arrived = time.perf_counter_ns()
            latencies += [(arrived - sent.pop(body[STAN])) // 1000 for body in done]
            bodies += done
            more(line, len(done))
    seconds = (time.perf_counter_ns() - started) / 1e9
    for line in lines:
        line.close()
    return seconds, latencies, bodies


def measure(system: System, given: argparse.Namespace) -> dict[str, Any]:
    """Run the load once and return every figure."""
    bank = Bank(system)
    frames = bank.recharges(given.requests, given.subscribers)
    pids = system.pids()
    before = {name: cpu_seconds(pid) for name, pid in pids.items()}
    own = time.process_time()
    seconds, latencies, bodies = drive(bank, frames, given.connections, given.window)
    own = time.process_time() - own
    cpu = {name: cpu_seconds(pid) - before[name] for name, pid in pids.items()}
    codes = bank.codes(bodies)
    latencies.sort()
    return {
        "machine": f"{platform.machine()}, {os.cpu_count()} CPUs, Linux {platform.release()}",
        "python": platform.python_version(),
        "requests": given.requests,
        "connections": given.connections,
        "window": given.window,
        "seconds": round(seconds, 2),
        "recharges_per_second": round(given.requests / seconds),
        "p50_ms": round(latencies[len(latencies) // 2] / 1000, 2),
        "p99_ms": round(latencies[len(latencies) * 99 // 100] / 1000, 2),
        "cpu_us_per_recharge": {name: round(spent / given.requests * 1e6, 1) for name, spent in cpu.items()},
        "cpu_us_per_recharge_all": round(sum(cpu.values()) / given.requests * 1e6, 1),
        "load_generator_us": round(own / given.requests * 1e6, 1),
        "codes": dict(codes),
    }


def as_text(report: dict[str, Any]) -> str:
    """Return the report for people."""
    lines = [f"{report['machine']}, Python {report['python']}"]
    lines.append(
        f"{report['requests']} recharges, {report['connections']} lines × {report['window']} in flight: "
        f"{report['recharges_per_second']} a second, p50 {report['p50_ms']} ms, p99 {report['p99_ms']} ms"
    )
    for name, us in report["cpu_us_per_recharge"].items():
        lines.append(f"  {name:24} {us:8.1f} µs of CPU per recharge")
    lines.append(f"  {'all daemons':24} {report['cpu_us_per_recharge_all']:8.1f}")
    lines.append(f"  {'load generator, apart':24} {report['load_generator_us']:8.1f}")
    lines.append("codes: " + ", ".join(f"{code} {n}" for code, n in sorted(report["codes"].items())))
    return "\n".join(lines)


def cpu_seconds(pid: int) -> float:
    """User and system seconds of a process, by the kernel's account."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def main() -> None:
    """Run it and print a table or JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--requests", type=int, default=20_000)
    parser.add_argument("--connections", type=int, default=8)
    parser.add_argument("--window", type=int, default=32)
    parser.add_argument("--subscribers", type=int, default=20_000)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="qianzhi-bench-") as folder:
        system = System(Path(folder), given.subscribers)
        try:
            report = measure(system, given)
        finally:
            system.stop()
        system.qianzhi("audit-books")
    print(json.dumps(report, indent=2) if given.json else as_text(report))


if __name__ == "__main__":
    main()
