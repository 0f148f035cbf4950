"""Chaos: the carrier's site on machines of its own, under load, while its parts die, freeze, lose each other,
run full and tell wrong times; and the proof that no fen was lost and none doubled.

    make chaos MINUTES=10 SEED=7
    python benchmarks/chaos.py --minutes 10 --seed 7 [--rate 300] [--kinds kill-node,promote] [--banks a,b]

Needs root, for network namespaces and small disks.  All that is drawn is drawn from the seed.  What happened
is written below build/chaos/SEED/ while it happens; where something did not hold, logs and data are kept
there.
"""

import argparse
import contextlib
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any, TextIO

sys.path.insert(0, str(Path(__file__).parents[1]))

from chaos_faults import Fault
from chaos_layout import NETWORK
from chaos_money import DATABASE, House
from chaos_plan import Round, Strike, each_once, endless
from chaos_proof import (
    Canaries,
    Use,
    connections,
    database_faults,
    unbounded,
    use_of,
    written_files,
)
from chaos_report import Done, Outcome, summary, table
from chaos_servers import KINDS
from chaos_site import ChaosSite, CommandFailed
from chaos_watch import GIVEN_UP_SECONDS, Span, Watch

from qianzhi.runtime import clock
from simulators.servers.packages import PackagesMissing
from simulators.servers.processes import ServerFailed, private_folder, put_first

ROOT = Path(__file__).parents[1]
WARM_SECONDS = 8.0  # of load before the first fault
SERVED_SECONDS = 90.0  # a bank that is not served again by then is a failure of its own
HEALED_SECONDS = 180.0  # so is what is not well by then: all start on the same processors
SETTLE_SECONDS = 120  # for the banks, after all is healed
HURRY_SECONDS = 3.0
QUEUE_SECONDS = 60.0
LOOK_SECONDS = 10.0  # between looks at what every process uses
LOCK = threading.Lock()
# What a fault, or an operator's command in the middle of one, may come to: a finding, not our own end.
TROUBLES = (OSError, RuntimeError, subprocess.SubprocessError, ServerFailed, CommandFailed)


class Log:
    """What happened, one line of JSON each, with seconds since the beginning; on the screen in words."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._began = clock.monotonic_seconds()

    def __call__(self, words: str, **facts: Any) -> None:
        """Write a line."""
        at = clock.monotonic_seconds() - self._began
        with LOCK:
            self._file.write(json.dumps({"at": round(at, 2), "what": words, **facts}, default=str) + "\n")
            self._file.flush()
            print(f"{at:7.1f} s  {words}", flush=True)


class Banks:
    """The banks' process, and the thread that follows what it says."""

    def __init__(self, site: ChaosSite, arguments: argparse.Namespace, kept: Path) -> None:
        self.watch = Watch()
        self.result = site.folder / "banks" / "result.json"
        script = str(ROOT / "benchmarks" / "chaos_banks.py")
        words = [
            str(site.config),
            str(arguments.rate),
            str(arguments.seed),
            str(SETTLE_SECONDS),
            str(self.result),
        ]
        self._copy = (kept / "looks.jsonl").open("w", encoding="utf-8")
        self.process = site.piped("banks", sys.executable, script, *words)
        put_first(self.process.pid)  # who asks is not to wait for the processor that answers
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self._thread.start()

    def _follow(self) -> None:
        self.watch.follow(self.process.stdout or (), self._copy)

    def settle(self) -> dict[str, Any]:
        """Let them end what they have begun; return what they proved."""
        self.process.send_signal(signal.SIGINT)
        self.process.wait(SETTLE_SECONDS + 600)
        self._thread.join(10)
        self._copy.close()
        if not self.result.exists():
            return {}
        found: dict[str, Any] = json.loads(self.result.read_text(encoding="utf-8"))
        return found

    def close(self) -> None:
        """End them, if they still run."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        if self.process.stdout is not None:
            self._thread.join(10)
            self.process.stdout.close()


class Uses:
    """What every process uses, looked at now and then by a thread."""

    def __init__(self, site: ChaosSite) -> None:
        self._site = site
        self.first: dict[str, Use] = {}
        self.last: dict[str, Use] = {}
        self.highest: dict[str, Use] = {}
        self.connections = 0

    def look(self, *, first: bool = False) -> None:
        """Look once."""
        now = {name: use for name in self._site.programs if (use := use_of(self._site.pid(name)))}
        for name, use in now.items():
            before = self.highest.get(name, use)
            self.highest[name] = Use(*(max(pair) for pair in zip(use, before, strict=True)))
        self.last = now
        if first:
            self.first = now
        with contextlib.suppress(RuntimeError):
            self.connections = max(self.connections, connections(self._site.primary))


class Campaign:
    """Carries the plan out until its time is over."""

    def __init__(
        self, site: ChaosSite, watch: Watch, house: House, log: Log, uses: Uses, seconds_max: float
    ) -> None:
        self._site = site
        self._house = house
        self._seconds_max = seconds_max  # that a fault lasts, if it works in less
        self._watch = watch
        self._log = log
        self._uses = uses
        self.done: list[Done] = []

    def run(self, plan: Iterator[Round], until: float) -> None:
        """Do one round of faults after the other; every one that has begun is ended."""
        looked = clock.monotonic_seconds()
        for each in plan:
            if clock.monotonic_seconds() >= until:
                break
            clock.sleep(each.quiet)
            first, *others = each.strikes
            threads = [
                threading.Thread(target=self._strike, args=(strike,), daemon=True) for strike in others
            ]
            for thread in threads:
                thread.start()
            self._strike(first)
            for thread in threads:
                thread.join()
            if clock.monotonic_seconds() > looked + LOOK_SECONDS:
                looked = clock.monotonic_seconds()
                self._uses.look()

    def again(self, kinds: set[str]) -> None:
        """Do once more, each alone, what did not strike."""
        for kind in sorted(kinds - {done.kind for done in self.done if done.struck}):
            self._strike(Strike(kind, f"again/{kind}"))

    def _strike(self, strike: Strike) -> None:
        """Do one fault from its beginning until it has healed."""
        fault = KINDS[strike.kind](self._site, Random(strike.seed), strike.kind)
        done = Done(fault.kind, fault.victim, fault.banks, clock.monotonic_seconds())
        with LOCK:
            self.done.append(done)
        self._log(f"{fault.kind}: {fault.victim}", seed=strike.seed, banks=fault.banks)
        try:
            fault.begin()
            clock.sleep(max(fault.seconds_min, min(fault.seconds, self._seconds_max)))
            done.lifted = clock.monotonic_seconds()
            fault.lift()
        except TROUBLES as error:
            done.trouble = f"{type(error).__name__}: {error}"
        done.lifted = done.lifted or clock.monotonic_seconds()
        self._heal(fault, done)
        self._watch.wait_more(1.0)
        done.over = clock.monotonic_seconds()
        done.struck, done.notes = fault.struck, fault.notes
        done.gap = max(
            (self._watch.longest_gap(done.began, done.over, bank) for bank in fault.banks if bank != NETWORK),
            default=0.0,
        )
        served = f"{done.served - done.lifted:.1f} s" if done.served else "NOT SERVED AGAIN"
        healed = f"{done.healed - done.lifted:.1f} s" if done.healed else "NOT HEALED"
        words = "; ".join(filter(None, [*fault.notes[-1:], done.trouble]))
        self._log(f"    {fault.kind}: served after {served}, healed after {healed} {words}", **done.as_dict())

    def _served_again(self, moment: float, banks: tuple[str, ...]) -> float | None:
        """When all of these had an approval again, and the network's cardholders a credit."""
        times = [self._watch.served_again(moment, [bank for bank in banks if bank != NETWORK])]
        times += [self._house.charges.credited_after(moment)] if NETWORK in banks else []
        return max((each for each in times if each is not None), default=None) if all(times) else None

    def _heal(self, fault: Fault, done: Done) -> None:
        """Wait until the banks that it touched are served and what it struck is well again."""
        afterwards = False
        while not (done.served and done.healed):
            waited = clock.monotonic_seconds() - done.lifted
            if waited > HEALED_SECONDS or (waited > SERVED_SECONDS and not done.served):
                break
            if not done.served:
                done.served = self._served_again(done.lifted, fault.banks)
            if not done.healed and fault.healed():
                done.healed = clock.monotonic_seconds()
            self._watch.wait_more(0.2)
            if done.healed and not afterwards:
                afterwards = True
                try:
                    fault.afterwards()
                except TROUBLES as error:
                    done.trouble = f"{type(error).__name__}: {error}"


def run(arguments: argparse.Namespace, kept: Path) -> Outcome:
    """Start the site and the banks, carry the plan out, let all settle, and prove."""
    folder = private_folder("chaos")
    folder.chmod(0o711)
    kept.mkdir(parents=True, exist_ok=True)
    banks = [bank for bank in arguments.banks.split(",") if bank]
    kinds = chosen_kinds(arguments.kinds)
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        log = Log(stack.enter_context((kept / "log.jsonl").open("w", encoding="utf-8")))
        site = ChaosSite(folder, banks, stack)
        good = False
        try:
            site.start(log)
            outcome = under_load(site, arguments, kinds, log, kept)
            good = outcome.good
            return outcome
        finally:
            if not good:
                log(f"data and logs are kept in {kept}")
                keep(folder, kept)


def under_load(
    site: ChaosSite, arguments: argparse.Namespace, kinds: list[str], log: Log, kept: Path
) -> Outcome:
    """Let all banks send while faults are done; prove what came of it."""
    log(f"{len(site.senders)} banks send {arguments.rate} requests a second together")
    banks, house = Banks(site, arguments, kept), House(site, arguments.seed)
    try:
        banks.watch.ready.wait(60)
        site.wait(
            lambda: banks.watch.served_again(0.0, site.senders), 120, lambda: "not all banks are served"
        )
        house.start()
        clock.sleep(WARM_SECONDS)
        uses = Uses(site)
        uses.look(first=True)
        began = clock.monotonic_seconds()
        longest = HURRY_SECONDS if arguments.once else 3_600.0
        campaign = Campaign(site, banks.watch, house, log, uses, longest)
        until = began + (arguments.minutes * 60 if not arguments.once else 86_400)
        plan = each_once if arguments.once else endless
        campaign.run(plan(arguments.seed, kinds), until)
        if arguments.once:
            campaign.again(set(kinds))
        ended = clock.monotonic_seconds()
        log("all is healed; the house and the banks settle what is open")
        house.settle(SETTLE_SECONDS)
        found = banks.settle()
    finally:
        house.stop()
        banks.close()
    uses.look()
    spans = [Span(done.began, done.over + GIVEN_UP_SECONDS, done.banks) for done in campaign.done]
    outcome = Outcome(arguments.seed, arguments.rate, campaign.done, found)
    outcome.untouched = banks.watch.untouched(spans, began, ended)
    outcome.house = house.proved()
    prove(site, uses, outcome, log)
    return outcome


def prove(site: ChaosSite, uses: Uses, outcome: Outcome, log: Log) -> None:
    """Add what the database, the queues, the files and the processes say."""
    outcome.database = database_faults(site.primary, DATABASE)
    with contextlib.suppress(TimeoutError):
        site.wait(lambda: not site.waiting_messages(), QUEUE_SECONDS, lambda: "messages wait")
    outcome.waiting = site.waiting_messages()
    try:
        log(site.qianzhi("core1", "audit", "verify").strip().replace("\n", "; "))
    except CommandFailed as error:
        outcome.chain = str(error)
    outcome.unbounded = unbounded(uses.first, uses.last, uses.highest)
    outcome.connections = uses.connections
    site.stop()
    banks_data = site.folder / "banks" / "var"
    canaries = Canaries(site.config, banks_data, site.senders)
    folders = [site.folder / machine for machine in site.running]
    folders += [
        site.primary.folder,
        site.standby.folder,
        site.balancer.folder,
        site.folder / "broker" / "log",
    ]
    files = [*written_files(folders), site.folder / "broker" / "node.log"]
    outcome.leaks = list(canaries.leaks(files))
    outcome.scanned = len(files), sum(path.stat().st_size for path in files if path.exists()), *canaries.keys
    log(f"{len(files)} files were searched for card numbers and keys")


def keep(folder: Path, kept: Path) -> None:
    """Copy what the site wrote, but for the servers' own data."""
    skip = shutil.ignore_patterns("postgres-*", "mnesia", "*.sock")
    with contextlib.suppress(shutil.Error, OSError):
        shutil.copytree(folder, kept / "site", ignore=skip, dirs_exist_ok=True)
    for server in folder.glob("postgres-*/server.log"):
        with contextlib.suppress(OSError):
            shutil.copy(server, kept / f"{server.parent.name}.log")


def chosen_kinds(only: str) -> list[str]:
    """Return the kinds asked for, all without any; raises SystemExit naming those that there are."""
    wanted = [name for name in only.split(",") if name]
    wrong = [name for name in wanted if name not in KINDS]
    if wrong:
        raise SystemExit(f"no such fault: {', '.join(wrong)}; there are {', '.join(KINDS)}")
    return wanted or list(KINDS)


def main() -> None:
    """Read the arguments, run, print; exit 1 when anything did not hold."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rate", type=int, default=300, help="requests a second of all banks")
    parser.add_argument("--kinds", default="", help="kinds of fault, separated by commas")
    parser.add_argument("--banks", default="", help="only these banks, separated by commas")
    parser.add_argument("--once", action="store_true", help="each kind one time, however long it takes")
    parser.add_argument("--keep", type=Path, default=None, help="where the logs go; build/chaos/SEED")
    arguments = parser.parse_args()
    if os.geteuid() != 0:
        raise SystemExit("chaos: network namespaces and small disks need root")
    kept = (arguments.keep or ROOT / "build" / "chaos" / str(arguments.seed)).absolute()
    shutil.rmtree(kept, ignore_errors=True)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        outcome = run(arguments, kept)
    except PackagesMissing as error:
        raise SystemExit(f"chaos: {error}") from error
    (kept / "report.json").write_text(json.dumps(outcome.as_dict(), indent=1, default=str), encoding="utf-8")
    machine = f"{platform.machine()}, {os.cpu_count()} CPUs, Python {platform.python_version()}"
    print(f"\n{machine}; {arguments.rate}/s, seed {arguments.seed}\n")
    print(table(outcome))
    for line in outcome.faults:
        print(f"fault: {line}")
    print(summary(outcome))
    sys.exit(0 if outcome.good else 1)


if __name__ == "__main__":
    main()
