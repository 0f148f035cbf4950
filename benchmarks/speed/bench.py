"""The product beside its yardsticks, interleaved in one run, on this machine in these minutes.

    python bench.py [--rounds 5] [--seconds 4] [--only end-to-end,relay,latency,codec]

Every answer's code, MAC and serial is checked, and the books are audited.  What is claimed are ratios; the
absolute figures stand beside the machine that made them.  Results go to build/bench/bench.json.
"""

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))
sys.path.insert(0, str(Path(__file__).parent))

from load import ROOT, Run, cpu_seconds, drive
from product import Bank, Product
from yardsticks import Naive, Pgbench, Relay, closing_all

from qianzhi.wire.kernel import FORM

SUBSCRIBERS = 100_000
RESULTS = ROOT / "build" / "bench"
APPROVED = "00"


@dataclass
class Series:
    """The runs of one thing: operations a second, µs of CPU for each, latencies in ms."""

    rates: list[float] = field(default_factory=list)
    cpu_us: list[float] = field(default_factory=list)
    parts_us: list[dict[str, float]] = field(default_factory=list)
    p50_ms: list[float] = field(default_factory=list)
    p99_ms: list[float] = field(default_factory=list)
    p999_ms: list[float] = field(default_factory=list)
    generator_us: list[float] = field(default_factory=list)

    @property
    def rate(self) -> float:
        """The median rate."""
        return statistics.median(self.rates)

    @property
    def cpu(self) -> float:
        """The median CPU for one, in µs."""
        return statistics.median(self.cpu_us)

    def take(self, run: Run, cpu_us: float) -> None:
        """Add a run of the generator."""
        self.rates.append(run.rate)
        self.cpu_us.append(cpu_us)
        self.generator_us.append(run.own_cpu_us)
        for values, part in ((self.p50_ms, 0.5), (self.p99_ms, 0.99), (self.p999_ms, 0.999)):
            values.append(run.at(part))


class Bench:
    """One run over all scenarios: the product with its servers, and the serials that were used up."""

    def __init__(self, product: Product, rounds: int, seconds: float) -> None:
        self.product, self.rounds, self.seconds = product, rounds, seconds
        self.bank = Bank(product)
        self.next = 1
        self.rates: dict[tuple[int, int], float] = {}  # as seen so far, to size the next run
        self.results: dict[str, Any] = {}

    def frames(self, count: int) -> tuple[Path, int]:
        """Return a file of so many frames that nobody has sent, and the first of their serials."""
        first, self.next = self.next, self.next + count
        if self.next > 1_000_000:
            raise SystemExit("a business date of this dialect has a million serials; fewer rounds or seconds")
        return self.bank.frames(count, self.product.folder / "frames", first=first), first

    def ask(self, connections: int, window: int, series: Series, rate: float = 0.0) -> Run:
        """Drive the product once for about `seconds`."""
        expected = rate or self.rates.get(
            (connections, window), 1_000.0 if connections * window > 1 else 200.0
        )
        count = max(connections * window * 4, int(expected * self.seconds))
        frames, first = self.frames(count)
        before = self.product.cpu()
        run = drive(
            self.bank.address, frames, connections=connections, window=window, rate=rate, first_serial=first
        )
        spent = self.product.cpu()
        spent.subtract(before)
        parts = {name: round(each / run.answered * 1e6, 1) for name, each in spent.items()}
        self.rates[connections, window] = run.rate
        series.take(run, sum(parts.values()))
        series.parts_us.append(parts)
        codes = self.bank.check(run)
        if run.unanswered or codes[APPROVED] != run.answered:
            raise SystemExit(f"{run.unanswered} requests had no answer; codes {dict(codes)}")
        return run

    def warm(self, connections: int, window: int) -> None:
        """Run once for nobody, so that every later run is of its full length."""
        for _ in range(2):
            self.ask(connections, window, Series())


def end_to_end(bench: Bench) -> str:
    """Return the product against the naive implementation, pgbench and the grouped ledger."""
    product, naive, statement, simple, ledger = (Series() for _ in range(5))
    bench.warm(8, 64)
    other = Naive(bench.product.database, bench.bank.key.material, SUBSCRIBERS)
    pgbench = Pgbench(bench.product.database, SUBSCRIBERS)
    with closing_all(other, pgbench):
        for number in range(bench.rounds):
            bench.ask(8, 64, product)
            count = int(max(512, (naive.rate if naive.rates else 600) * bench.seconds))
            frames, first = bench.frames(count)
            run, cpu_us = other.run(frames, 8, 8, first)
            naive.take(run, cpu_us)
            if bench.bank.check(run)[APPROVED] != count:
                raise SystemExit("the naive implementation refused something")
            for series, work in ((statement, pgbench.recharge), (simple, pgbench.simple_update)):
                figure = work(max(2, int(bench.seconds)))
                series.rates.append(figure.rate)
                series.cpu_us.append(figure.cpu_us + figure.client_cpu_us)
            _ledger(bench, number, ledger)
    series = {
        "product": product,
        "naive": naive,
        "pgbench": statement,
        "simple update": simple,
        "ledger": ledger,
    }
    bench.results["end-to-end"] = {name: vars(each) for name, each in series.items()}
    for name, each in series.items():
        _say(name, each)
    ratio, cpu = product.rate / naive.rate, naive.cpu / product.cpu
    _say_ratio("end to end against naive, throughput", ratio, 20)
    _say_ratio("CPU of naive against ours", cpu, 22)
    _say_ratio("against pgbench, one statement", product.rate / statement.rate, 2)
    _say_ratio("against the grouped ledger alone", product.rate / ledger.rate, 0.65)
    return f"end-to-end {ratio:.1f} x naive, {product.rate / statement.rate:.1f} x pgbench"


def _ledger(bench: Bench, number: int, series: Series) -> None:
    words = [bench.product.config, SUBSCRIBERS, bench.seconds, number]
    server = bench.product.database.pid
    before = cpu_seconds([server])
    said = subprocess.run(
        [sys.executable, Path(__file__).with_name("ledger_loop.py"), *map(str, words)],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    done, seconds, own = map(float, said.stdout.split())
    series.rates.append(done / seconds)
    series.cpu_us.append((own + cpu_seconds([server]) - before) / done * 1e6)


def relay(bench: Bench) -> str:
    """Return the product against HAProxy relaying the same bytes, 50 connections with one in flight each."""
    product, relayed = Series(), Series()
    bench.warm(50, 1)
    other = Relay()
    with closing_all(other):
        for _ in range(bench.rounds):
            bench.ask(50, 1, product)
            first = 1
            frames = bench.bank.frames(40_000, bench.product.folder / "relayed")
            run, cpu_us = other.run(frames, 50, 1, first)
            relayed.take(run, cpu_us)
    nodes = statistics.median(parts["node"] for parts in product.parts_us)
    bench.results["relay"] = {"product": vars(product), "haproxy": vars(relayed)}
    _say("product 50x1", product)
    _say("HAProxy 50x1", relayed)
    _say_ratio("against HAProxy 50x1, throughput", product.rate / relayed.rate, 0.25)
    _say_ratio("nodes' CPU against HAProxy's", nodes / relayed.cpu, 1, less=True)
    return ""


def latency(bench: Bench) -> str:
    """Return the latency of one connection with one in flight, and at half of the peak throughput."""
    alone, half = Series(), Series()
    bench.warm(1, 1)
    peak = bench.rates.get((8, 64)) or bench.ask(8, 64, Series()).rate
    for _ in range(bench.rounds):
        bench.ask(1, 1, alone)
        bench.ask(8, 64, half, rate=peak / 2)
    bench.results["latency"] = {"1x1": vars(alone), "half of the peak": vars(half), "peak": peak}
    _say("product 1x1", alone)
    _say(f"product at {peak / 2:.0f} a second", half)
    _say_ratio("1x1, p50 in ms", statistics.median(alone.p50_ms), 1.5, less=True)
    _say_ratio("half of the peak, p99 in ms", statistics.median(half.p99_ms), 15, less=True)
    return ""


SCENARIOS: dict[str, Callable[[Bench], str]] = {"end-to-end": end_to_end, "relay": relay, "latency": latency}


def _say(name: str, series: Series) -> None:
    low, high = min(series.rates), max(series.rates)
    line = f"  {name:28} {series.rate:9.0f}/s ({low:.0f} to {high:.0f}), {series.cpu:8.1f} us of CPU"
    if series.p50_ms:
        p50, p99, p999 = map(statistics.median, (series.p50_ms, series.p99_ms, series.p999_ms))
        line += f", p50 {p50:.1f} p99 {p99:.1f} p99.9 {p999:.1f} ms"
    print(line, flush=True)
    if series.parts_us:
        names = series.parts_us[0]
        medians = {part: statistics.median(each[part] for each in series.parts_us) for part in names}
        parts = ", ".join(f"{part} {us:.1f}" for part, us in medians.items())
        print(f"  {'':28} {parts}, generator apart {statistics.median(series.generator_us):.1f}", flush=True)


def _say_ratio(name: str, value: float, goal: float, *, less: bool = False) -> None:
    met = value <= goal if less else value >= goal
    sign = "at most" if less else "at least"
    print(f"  {name:45} {value:8.2f}  goal {sign} {goal:g}: {'met' if met else 'MISSED'}", flush=True)


def machine() -> dict[str, Any]:
    """Return what stands beside every absolute figure."""
    commit = subprocess.run(
        [shutil.which("git") or "git", "rev-parse", "--short", "HEAD"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    return {
        "processors": os.cpu_count(),
        "machine": f"{platform.machine()}, Linux {platform.release()}",
        "python": platform.python_version(),
        "codec": FORM,
        "commit": commit.stdout.strip(),
        "fsync_us": fsync_us(),
    }


def fsync_us() -> float:
    """Return the median time of an fdatasync of 4 KiB where the database's data lies, in µs."""
    path = ROOT / "build" / "bench" / "fsync"
    path.parent.mkdir(parents=True, exist_ok=True)
    times = []
    with path.open("wb") as file:
        for _ in range(200):
            file.seek(0)
            file.write(bytes(4096))
            file.flush()
            began = time.perf_counter()
            os.fdatasync(file.fileno())
            times.append((time.perf_counter() - began) * 1e6)
    path.unlink()
    return round(statistics.median(times), 1)


def main() -> None:
    """Run the scenarios and print their figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--only", default=",".join(SCENARIOS))
    given = parser.parse_args()
    about = machine()
    print(", ".join(f"{name} {value}" for name, value in about.items()), flush=True)
    product = Product(SUBSCRIBERS)
    said = []
    try:
        product.start()
        bench = Bench(product, given.rounds, given.seconds)
        for name in given.only.split(","):
            print(name, flush=True)
            said.append(SCENARIOS[name](bench))
        bench.results |= {"machine": about, "memory_mb": product.memory()}
        product.qianzhi("audit-books")
    finally:
        product.close()
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / "bench.json").write_text(json.dumps(bench.results, indent=1), encoding="utf-8")
    print("bench: " + ", ".join([*filter(None, said), "books balanced"]))


if __name__ == "__main__":
    main()
