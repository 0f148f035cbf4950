"""The embedded site for one port under attack: five real daemons, each watched, with a second bank beside.

The bank that is attacked and its twin (`beside`, the same dialect under another name and other numbers) have
front-ends of their own and share both nodes, the bridge and the core.  No supervisor stands behind the
daemons: one that ends stays ended, and is seen.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

from qianzhi.cli.machine import end_with_parent
from qianzhi.runtime import clock
from simulators.free_ports import free_ports

ROOT = Path(__file__).resolve().parents[2]
BESIDE = "beside"
NETWORK_TWIN = "lianlian"  # stands beside a network, which asks for nothing itself
READY_SECONDS = 120
STOP_SECONDS = 30
# Beyond these the front-end answers or closes without reading on.  The fuzzed line's are wide, so that frames
# reach the parsers; the bank beside it has what is shipped.
WIDE = {
    "connections_max": "64",
    "partial_seconds": "2",
    "rate_per_second": "1000000",
    "mac_failures_max": "50",
}
UNDECLARED = re.compile(r"Traceback|[Uu]nhandled|\"level\": \"(?:critical|exception)\"|MemoryError")


class Usage(NamedTuple):
    """What a daemon holds: resident bytes and descriptors."""

    resident: int
    descriptors: int


class Times(NamedTuple):
    """Microseconds since they began: spent waiting for a processor, and by each daemon on one."""

    waited_us: int
    worked_us: dict[str, int]


class PortSite:
    """A site of one bank and its twin in a folder of its own."""

    def __init__(self, folder: Path, bank: str) -> None:
        self.folder, self.bank = folder, bank
        self.config, self.data = folder / "config", folder / "var"
        self.daemons: dict[str, subprocess.Popen[bytes]] = {}
        self._read: dict[str, int] = {}
        self._make()

    def start(self) -> None:
        """Fill the core and start every daemon, one after the other further out."""
        (self.data / "log").mkdir(parents=True, exist_ok=True)
        (self.data / "run").mkdir(exist_ok=True)
        self.run("seed", "--subscribers", "200")
        for name in ("bridge1", "node1", "node2", f"front-{self.bank}-1", f"front-{BESIDE}-1"):
            log = (self.data / "log" / f"{name}.log").open("ab")
            command = [sys.executable, "-m", "qianzhi.cli.main", "--config", str(self.config), "daemon", name]
            self.daemons[name] = subprocess.Popen(
                command,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=end_with_parent,
            )
            log.close()
        self._wait_ready()

    def run(self, *words: str) -> str:
        """Run `qianzhi` and return what it printed; raises RuntimeError."""
        command = [sys.executable, "-m", "qianzhi.cli.main", "--config", str(self.config), *words]
        done = subprocess.run(
            command, cwd=self.folder, capture_output=True, text=True, timeout=300, check=False
        )
        if done.returncode:
            raise RuntimeError(f"qianzhi {' '.join(words)}: {done.stdout}{done.stderr}")
        return done.stdout

    def stop(self) -> list[str]:
        """Let the daemons drain; return what did not end as it should."""
        for process in reversed(self.daemons.values()):
            if process.poll() is None:
                process.terminate()
        wrong = []
        for name, process in self.daemons.items():
            try:
                code = process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                code = -9
            if code:
                wrong.append(f"{name} ended with {code}")
        return wrong

    def dead(self) -> list[str]:
        """Return the daemons that have ended, each with its exit code."""
        codes = {name: process.poll() for name, process in self.daemons.items()}
        return [f"{name} ended with {code}" for name, code in codes.items() if code is not None]

    def undeclared(self) -> list[str]:
        """Return lines of the logs, since the last call, that tell of an exception nobody declared."""
        found = []
        for name in self.daemons:
            path = self.data / "log" / f"{name}.log"
            with path.open("rb") as log:
                log.seek(self._read.get(name, 0))
                said = log.read()
            self._read[name] = self._read.get(name, 0) + len(said)
            lines = said.decode("utf-8", "replace").splitlines()
            found += [f"{name}: {line[:600]}" for line in lines if UNDECLARED.search(line)]
        return found

    def usage(self) -> dict[str, Usage]:
        """Return what every daemon holds now."""
        return {name: usage(process.pid) for name, process in self.daemons.items() if process.poll() is None}

    def times(self) -> "Times":
        """Return how long the processes on the way of a request stood ready without a processor, all told
        (what the machine's other work costs, and no fault of theirs), and what each daemon has worked.
        """
        way = {name: process.pid for name, process in self.daemons.items() if BESIDE not in name}
        return Times(waited_us([*way.values()]), {name: _worked_us(pid) for name, pid in way.items()})

    def pids_beside(self) -> list[int]:
        """Return the processes on the way of the bank beside."""
        attacked = f"front-{self.bank}-1"
        return [process.pid for name, process in self.daemons.items() if name != attacked]

    def counters(self, daemon: str) -> dict[str, float]:
        """Return a daemon's counters by name and labels."""
        from urllib.request import urlopen

        table = self.tables()
        banks = {f"front-{name}-1": place for name, place in table["banks"].items()}
        place = {**table["bridges"], **table["nodes"], **banks}[daemon]
        with urlopen(f"http://127.0.0.1:{place['metrics_port']}/metrics", timeout=10) as answer:
            lines = answer.read().decode("utf-8").splitlines()
        pairs = (line.rpartition(" ") for line in lines if line.startswith("qianzhi_"))
        return {name: float(value) for name, _, value in pairs}

    def tables(self) -> dict[str, Any]:
        """Return the site's file."""
        import tomllib

        return tomllib.loads((self.config / "site.toml").read_text(encoding="utf-8"))

    def _make(self) -> None:
        networks = (ROOT / "config/sites/networks.toml").read_text(encoding="utf-8")
        embedded = (ROOT / "config/site.toml").read_text(encoding="utf-8")
        shared, _, _ = embedded.partition("[banks.")
        outward = f"[banks.{self.bank}]" not in embedded
        twin = NETWORK_TWIN if outward else self.bank
        place = _table(networks if outward else embedded, self.bank)
        beside = _table(embedded, twin).replace(f"[banks.{twin}]", f"[banks.{BESIDE}]")
        beside = re.sub(r"\b17(\d{3})\b", r"18\1", beside)
        text = re.sub(r"(?m)^data = .*$", f'data = "{self.data}"', shared + place + "\n" + beside)
        ports = sorted(set(re.findall(r"\b1[78]\d{3}\b", text)))
        for port, free in zip(ports, free_ports(len(ports)), strict=True):
            text = text.replace(port, str(free))
        for name in ("specs", "schemas"):
            shutil.copytree(ROOT / "config" / name, self.config / name)
        banks = self.config / "banks"
        banks.mkdir()
        (self.config / "site.toml").write_text(text, encoding="utf-8")
        shipped = (ROOT / "config/banks" / f"{self.bank}.toml").read_text(encoding="utf-8")
        (banks / f"{self.bank}.toml").write_text(widened(shipped), encoding="utf-8")
        like = (ROOT / "config/banks" / f"{twin}.toml").read_text(encoding="utf-8")
        (banks / f"{BESIDE}.toml").write_text(renumbered(like), encoding="utf-8")

    def _wait_ready(self) -> None:
        from qianzhi.cli.daemons import status_of
        from qianzhi.link.site import load_site

        site, problems = load_site(self.config)
        if site is None:
            raise RuntimeError(str(problems))
        until = clock.monotonic_seconds() + READY_SECONDS
        for name in self.daemons:
            while status_of(site, name)["state"] != "running":
                if self.dead() or clock.monotonic_seconds() > until:
                    raise RuntimeError(f"{name} does not run: {self.dead()} {self.undeclared()}")
                clock.sleep(0.05)


def _table(text: str, bank: str) -> str:
    found = re.search(rf"(?ms)^\[banks\.{bank}\]\n.*?(?=^\[|\Z)", text)
    if found is None:
        raise LookupError(f"no bank {bank} in the site")
    return found.group(0)


def widened(profile: str) -> str:
    """Return a profile's text with the limits of a fuzzed line."""
    for name, value in WIDE.items():
        profile = re.sub(rf"(?m)^{name} = [\d.]+", f"{name} = {value}", profile)
    return profile


def renumbered(profile: str) -> str:
    """Return a profile's text with bank numbers that nobody else has."""
    line = re.search(r"(?m)^numbers = \[(.*?)\]", profile)
    if line is None:
        raise LookupError("a profile without numbers")
    for number in re.findall(r'"(\w+)"', line.group(1)):
        profile = profile.replace(f'"{number}"', f'"8{number[1:]}"')
    return profile


def usage(pid: int) -> Usage:
    """Return what a process holds."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    found = re.search(r"VmRSS:\s+(\d+) kB", status)
    return Usage(int(found.group(1)) * 1024 if found else 0, len(os.listdir(f"/proc/{pid}/fd")))


def waited_us(pids: list[int]) -> int:
    """Return how long these processes and this one stood ready without a processor since they began."""
    return sum(map(_run_delay_us, [os.getpid(), *pids]))


def _worked_us(pid: int) -> int:
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as file:
            ticks = sum(map(int, file.read().rpartition(")")[2].split()[11:13]))
    except OSError:
        return 0
    return ticks * 1_000_000 // os.sysconf("SC_CLK_TCK")


def _run_delay_us(pid: int) -> int:
    total = 0
    try:
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/schedstat", encoding="ascii") as file:
                total += int(file.read().split()[1])
    except (OSError, IndexError):
        return 0
    return total // 1000
