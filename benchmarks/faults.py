"""Faults in a running site under load, one after the other, and how long its banks heard no approval.

    python benchmarks/faults.py [--site carrier] [--rate 300] [--only kill-node,stop-bridge] [--json]

Starts the site as the demonstration does, on data of its own and on loopback, lets all simulated banks send
together, and then kills (SIGKILL) or freezes (SIGSTOP, for a while) one process at a time: a front of a queue
bank, a front of a socket bank, a node, a bridge and, where the site has them, the broker and the database's
primary, which is followed by `qianzhi promote`.

The *gap* is the longest time without an approved answer over the banks that used the process, from the last
approval before the fault to the next fault; the worst single bank's stands beside it.  In the end every
request must be answered as the money rules say: the banks' records, the journal and the books are compared as
the demonstration does.
"""

import argparse
import contextlib
import itertools
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).parents[1]))

from qianzhi.cli.checks import Checked, require
from qianzhi.cli.chosen import Chosen
from qianzhi.cli.daemons import site_of
from qianzhi.cli.demo import Proof, prove
from qianzhi.cli.derived import derive
from qianzhi.cli.feeding import feed, show_result
from qianzhi.cli.laying_out import is_spread, laid_out
from qianzhi.cli.looking import core_url
from qianzhi.cli.machine import Machine
from qianzhi.cli.output import say
from qianzhi.cli.running import running
from qianzhi.cli.servers import Servers, start_all
from qianzhi.link.site import data_folder, front_name, fronts
from qianzhi.link.tables import Site
from qianzhi.runtime import clock
from simulators.servers.postgres import Cluster, Listening, Postgres
from simulators.traffic import Look

ROOT = Path(__file__).parents[1]
SAMPLE_SECONDS = 0.002
WARM_SECONDS = 6.0  # of load before the first fault
QUIET_SECONDS = 6.0  # between a recovery and the next fault: everybody has his connections back
FROZEN_SECONDS = 8.0  # longer than a dead link is noticed
BROKER_FROZEN_SECONDS = 25.0  # as above: two of its heartbeats
OPERATOR_SECONDS = 2.0  # until somebody gives the command
RECOVER_SECONDS = 60.0
SETTLE_SECONDS = 90
PROMPT = ("kill-socket-front", "kill-queue-front", "kill-node", "kill-bridge")
PROMPT_SECONDS = 1.0  # the longest gap that the death of one of a pair may make


class Fault(NamedTuple):
    """One fault: `kind` is kill or stop, `process` a daemon's name, `broker` or `database`."""

    name: str
    kind: str
    process: str
    banks: tuple[str, ...]


class Gap(NamedTuple):
    """What a fault did, in seconds; `back` is when the process served again, None where it did not."""

    fault: Fault
    together: float
    worst: float
    worst_bank: str
    back: float | None


class Approvals:
    """When each bank's approvals came, by a thread that looks at the growing reports."""

    def __init__(self) -> None:
        self._reports: dict[str, Any] = {}
        self.times: dict[str, list[float]] = {}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def __call__(self, looks: list[Look]) -> None:
        """Take the reports from the first look; they go on changing."""
        if not self._reports and looks:
            self._reports = {look.report.bank: look.report for look in looks}
            self.times = {bank: [] for bank in self._reports}
            self._thread.start()

    def end(self) -> None:
        """Sample no more."""
        self._over.set()

    def gap(self, banks: Sequence[str], begin: float, end: float) -> float:
        """Return the longest time without an approval of any of these banks between two moments."""
        times = sorted(itertools.chain.from_iterable(self.times.get(bank, ()) for bank in banks))
        before = max((each for each in times if each <= begin), default=begin)
        inside = [each for each in times if begin < each < end]
        return max(later - earlier for earlier, later in itertools.pairwise([before, *inside, end]))

    def _sample(self) -> None:
        before = dict.fromkeys(self._reports, 0)
        while not self._over.wait(SAMPLE_SECONDS):
            now = clock.monotonic_seconds()
            for bank, report in self._reports.items():
                if report.approved > before[bank]:
                    before[bank] = report.approved
                    self.times[bank].append(now)


def faults_of(site: Site, checked: Checked) -> list[Fault]:
    """Return what can be done to this site, the database's primary last."""
    kinds = {bank: checked.profiles[bank].transport.kind for bank in site.banks}
    queue = next(bank for bank, kind in kinds.items() if kind == "queue")
    signs_on = (bank for bank in site.banks if checked.profiles[bank].session.sign_on)
    socket = next(bank for bank in signs_on if kinds[bank] == "socket")
    node = next(iter(site.nodes))
    group = next(name for name, each in site.groups.items() if node in each.nodes)
    served = tuple(bank for bank in site.banks if checked.profiles[bank].group == group)
    everybody = tuple(site.banks)
    victims = [
        ("socket-front", front_name(socket), (socket,)),
        ("queue-front", front_name(queue), (queue,)),
        ("node", node, served),
        ("bridge", next(iter(site.bridges)), everybody),
    ]
    if site.broker is not None:
        brokered = tuple(bank for bank in site.banks if checked.profiles[bank].engine == "rabbitmq")
        victims.append(("broker", "broker", brokered))
    if str(site.core.get("database", "")).startswith("postgresql"):
        victims.append(("database", "database", everybody))
    return [
        Fault(f"{kind}-{name}", kind, process, banks)
        for name, process, banks in victims
        for kind in ("stop", "kill")
    ]


class Campaign:
    """Carries faults out one after the other in a thread, while the banks send in this process."""

    def __init__(self, plant: "Plant", faults: Sequence[Fault], approvals: Approvals) -> None:
        self._plant = plant
        self._faults = faults
        self._approvals = approvals
        self._moments: list[tuple[Fault, float, float | None]] = []
        self._ended_at = 0.0
        self.over = threading.Event()

    def run(self, then: Callable[[], None]) -> None:
        """Do all faults, each after the one before has healed; `then` is called whatever happens."""
        try:
            clock.sleep(WARM_SECONDS)
            for fault in self._faults:
                began = clock.monotonic_seconds()
                say(f"{fault.name}: {fault.process}")
                back = self._plant.do(fault, began)
                self._moments.append((fault, began, back))
                say(f"    serves again after {back:.1f} s" if back else "    DID NOT COME BACK")
                clock.sleep(QUIET_SECONDS)
        finally:
            self._ended_at = clock.monotonic_seconds()
            then()
            self.over.wait()  # servers end with the thread that has started them

    @property
    def trouble(self) -> list[str]:
        """What is wrong about the campaign itself."""
        missing = self._faults[len(self._moments) :]
        return [f"{fault.name} was not carried out" for fault in missing]

    def gaps(self) -> list[Gap]:
        """Return what each fault did, from its moment to the next one's."""
        ends = [began for _, began, _ in self._moments[1:]] + [self._ended_at]
        found = []
        for (fault, began, back), end in zip(self._moments, ends, strict=True):
            each = {bank: self._approvals.gap((bank,), began, end) for bank in fault.banks}
            worst = max(each, key=lambda bank: each[bank])
            together = self._approvals.gap(fault.banks, began, end)
            found.append(Gap(fault, together, each[worst], worst, back))
        return found


class Plant:
    """The running site with its servers: what a fault is done to, and how one sees that it has healed."""

    def __init__(
        self, chosen: Chosen, site: Site, system: Machine, servers: Servers, stack: contextlib.ExitStack
    ) -> None:
        self._chosen = chosen
        self._site = site
        self._system = system
        self._servers = servers
        self._primary, self._standby = servers.database, servers.standby
        self._stack = stack
        self._brokered = [
            name
            for name, bank, _, _ in fronts(site)
            if site.banks[bank].engine == "rabbitmq" and name.endswith("-1")
        ]

    def do(self, fault: Fault, began: float) -> float | None:
        """Carry out a fault; return after how many seconds the process served again, None for never."""
        if fault.process == "broker":
            return self._broker(fault.kind, began)
        if fault.process == "database":
            return self._database(fault.kind, began)
        pid = int(self._system.status(fault.process)["pid"])
        if fault.kind == "stop":
            os.kill(pid, signal.SIGSTOP)
            clock.sleep(FROZEN_SECONDS)
            os.kill(pid, signal.SIGCONT)
        else:
            os.kill(pid, signal.SIGKILL)
        return self._after(began, lambda: self._serves(fault.process, pid if fault.kind == "kill" else 0))

    def _serves(self, name: str, not_pid: int) -> bool:
        status = self._system.status(name)
        return status["state"] == "running" and status["pid"] != not_pid

    def _broker(self, kind: str, began: float) -> float | None:
        """The broker is started again by whoever minds it, here at once."""
        broker = self._servers.broker
        if kind == "stop":
            broker.suspend()
            clock.sleep(BROKER_FROZEN_SECONDS)
            broker.resume()
        else:
            os.kill(broker.pid, signal.SIGKILL)
            broker.kill()
            broker.start()
        return self._after(began, lambda: all(map(self._has_broker, self._brokered)))

    def _database(self, kind: str, began: float) -> float | None:
        """The primary is frozen or killed; an operator makes the standby the primary, and a new standby."""
        if kind == "stop":
            self._primary.suspend()
            words = ["--stop-data", str(self._primary.data)]
        else:
            os.kill(self._primary.pid, signal.SIGKILL)
            words = ["--primary-is-stopped"]
        clock.sleep(OPERATOR_SECONDS)
        done = self._promote(words)
        back = self._after(began, lambda: done and all(map(self._has_database, self._site.bridges)))
        old, self._primary = self._primary, self._standby
        old.close()
        self._standby = self._stack.enter_context(
            contextlib.closing(standby_of(self._primary, old.host, old.port))
        )
        return back

    def _promote(self, words: list[str]) -> bool:
        """Do what docs/OPERATIONS.md says about a database that fails over."""
        standby = self._standby
        admin = standby.url(standby.admin_user, "postgres", standby.admin_password)
        given = ["promote", f"{standby.host}:{standby.port}", *words, "--admin", admin]
        command = [sys.executable, "-m", "qianzhi.cli.main", "--config", str(self._chosen.config), *given]
        done = subprocess.run(command, capture_output=True, text=True)
        for line in (done.stdout + done.stderr).strip().splitlines():
            say(f"    {line}")
        standby.configure([])
        standby.reload()
        return done.returncode == 0

    def _has_broker(self, front: str) -> bool:
        return bool(self._system.status(front).get("broker_state") == "ready")

    def _has_database(self, bridge: str) -> bool:
        return bool(self._system.status(bridge).get("ready"))

    def _after(self, began: float, healed: Callable[[], bool]) -> float | None:
        while clock.monotonic_seconds() < began + RECOVER_SECONDS:
            if healed():
                return clock.monotonic_seconds() - began
            clock.sleep(0.05)
        return None


def standby_of(primary: Postgres, host: str, port: int) -> Postgres:
    """Make a standby of a primary that has none, at an address, and let commits wait for it from now on."""
    standby = Postgres.copied(primary, at=Listening(host, port, "127.0.0.0/8"))
    standby.start()
    Cluster(primary, standby).join()
    return standby


def chosen_faults(site: Site, checked: Checked, only: str) -> list[Fault]:
    """Return the faults asked for; raises SystemExit naming those that this site knows."""
    known = faults_of(site, checked)
    wanted = [name for name in only.split(",") if name]
    wrong = [name for name in wanted if name not in [fault.name for fault in known]]
    if wrong:
        names = ", ".join(fault.name for fault in known)
        raise SystemExit(f"no such fault: {', '.join(wrong)}; this site knows {names}")
    return [fault for fault in known if not wanted or fault.name in wanted]


def run(arguments: argparse.Namespace) -> tuple[list[Gap], Proof]:
    """Start the site, do the faults under load, and compare what everybody holds of it."""
    config = ROOT / "config"
    _, given = require(config, arguments.site)
    folder = data_folder(given) / "faults"
    shutil.rmtree(folder, ignore_errors=True)
    change = laid_out(True) if is_spread(given) else str
    derive(config, arguments.site, folder / "config", folder / "var", change)
    own = Chosen(folder / "config")
    with contextlib.ExitStack() as stack:
        servers = start_all(own, site_of(own), stack)
        checked, site = require(own.config)
        faults = chosen_faults(site, checked, arguments.only)
        system = Machine(own, site)
        with running(system, checked):
            return under_load(
                own, checked, site, Plant(own, site, system, servers, stack), faults, arguments.rate
            )


def under_load(
    own: Chosen, checked: Checked, site: Site, plant: Plant, faults: list[Fault], rate: int
) -> tuple[list[Gap], Proof]:
    """Let all banks send while the faults are done; return what each did, and the proof."""
    approvals = Approvals()
    campaign = Campaign(plant, faults, approvals)
    ended = threading.Event()
    thread = threading.Thread(target=campaign.run, args=(ended.set,), daemon=True)

    def on_look(looks: list[Look]) -> None:
        approvals(looks)
        if thread.ident is None:
            thread.start()
        elif ended.is_set():
            ended.clear()
            os.kill(os.getpid(), signal.SIGTERM)  # the traffic settles at this

    result = feed(own, checked, site, [], rate, None, 1, on_look, SETTLE_SECONDS)
    approvals.end()
    show_result(result)
    proof = prove(core_url(checked, site), result, campaign.trouble)
    campaign.over.set()
    return campaign.gaps(), proof


def show(gaps: list[Gap], proof: Proof, rate: int) -> None:
    """Print the table as docs/RELIABILITY.md holds it, and the proof."""
    print(f"\n{platform.machine()}, {os.cpu_count()} CPUs, Python {platform.python_version()}; {rate}/s\n")
    print("| fault | process | gap, s | worst bank, s | serves again after, s |")
    print("|---|---|---:|---:|---:|")
    for gap in gaps:
        back = f"{gap.back:.1f}" if gap.back is not None else "never"
        worst = f"{gap.worst:.2f} ({gap.worst_bank})"
        print(f"| {gap.fault.name} | {gap.fault.process} | {gap.together:.2f} | {worst} | {back} |")
    print()
    for fault in proof.faults:
        print(f"fault: {fault}")
    print(proof.line.replace("demo:", "faults:"))


def main() -> None:
    """Read the arguments, run, print; exit 1 when something was lost or did not come back."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--site", default="carrier")
    parser.add_argument("--rate", type=int, default=300)
    parser.add_argument("--only", default="", help="names of faults, separated by commas")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    gaps, proof = run(arguments)
    if arguments.json:
        found = [{**gap._asdict(), "fault": gap.fault.name} for gap in gaps]
        print(json.dumps({"gaps": found, "proof": proof.line}))
    else:
        show(gaps, proof, arguments.rate)
    slow = [gap for gap in gaps if gap.fault.name in PROMPT and gap.together > PROMPT_SECONDS]
    for gap in slow:
        print(f"fault: {gap.fault.name} took longer than {PROMPT_SECONDS:g} s", file=sys.stderr)
    sys.exit(0 if proof.good and not slow and all(gap.back is not None for gap in gaps) else 1)


if __name__ == "__main__":
    main()
