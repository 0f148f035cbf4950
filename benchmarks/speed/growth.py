"""Does a recharge cost the same when there is more of everything?  Throughput and CPU for one, drawn.

    python growth.py [--quick] [--only connections,banks,accounts,journal,lanes,hot] [--rounds 3]

Against connections (1 to 10,000), banks (1 to 50 front daemons), accounts (10^4 to 10^7), rows of the journal
(10^5 to 10^7), lanes (1 to 4 writers), and one hot account under all the load; with memory for each daemon
and connection, and the time of a start.  Half a thousand requests are under way in all, whatever grows.
Results: build/bench/growth.json, and docs/plots/*.svg (with --quick build/bench/plots/), which are drawn
again from the results by --draw.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))
sys.path.insert(0, str(Path(__file__).parent))

from bank import Bank
from filling import Filling
from load import RESULTS, ROOT, Driving, Run, resident_megabytes
from machine import brief, machine
from plots import Line, Panel, draw
from product import Product, part_of
from series import Series
from system import Bench, tell

UNDER_WAY = 512
CONNECTIONS = 8
SUBSCRIBERS = 100_000
Point = dict[str, Any]

FULL = {
    "connections": [1, 10, 100, 1_000, 10_000],
    "banks": [1, 5, 10, 25, 50],
    "accounts": [10_000, 100_000, 1_000_000, 10_000_000],
    "journal": [100_000, 1_000_000, 10_000_000],
    "lanes": [1, 2, 3, 4],
    "hot": [0, 1],
}
QUICK = {
    "connections": [1, 10, 100],
    "banks": [1, 3],
    "accounts": [10_000, 50_000],
    "journal": [10_000, 50_000],
    "lanes": [1, 2],
    "hot": [0, 1],
}
TITLES = {
    "connections": ("connections of the bank", True),
    "banks": ("banks, each with its daemon", True),
    "accounts": ("accounts", True),
    "journal": ("rows in the journal", True),
    "lanes": ("writers", False),
}


def point(x: int, series: Series, **more: Any) -> Point:
    """Return one point of a sweep."""
    names = sorted({part_of(name) for each in series.processes_us for name in each})
    parts = {name: round(median(series.parts_us(name)), 1) for name in names}
    found = {"x": x, "rate": round(series.rate), "cpu_us": round(series.cpu, 1), "parts_us": parts}
    for name in ("p50_ms", "p99_ms", "p999_ms", "generator_us"):
        found[name] = median(getattr(series, name))
    found |= more
    tell(
        f"  {x:9}: {found['rate']}/s, {found['cpu_us']} us of CPU, p99 {found['p99_ms']:.1f} ms {more or ''}"
    )
    return found


def measured(bench: Bench, connections: int = CONNECTIONS) -> Series:
    """Return the rounds of one point, after one for nobody."""
    bench.ask(connections, -UNDER_WAY, Series())
    series = Series()
    for _ in range(bench.rounds):
        bench.ask(connections, -UNDER_WAY, series)
    return series


def connections(values: list[int], given: argparse.Namespace) -> list[Point]:
    """Let the bank hold ever more connections."""
    product = Product(SUBSCRIBERS)
    try:
        product.start()
        bench = Bench(product, given.rounds, given.seconds)
        front = next(pid for name, pid in product.pids().items() if part_of(name) == "front")
        bench.warm(CONNECTIONS, -UNDER_WAY)
        base, points = resident_megabytes(front), []
        for value in values:
            series = measured(bench, value)
            memory = resident_megabytes(front)
            points.append(
                point(value, series, front_mb=memory, kb_each=round((memory - base) * 1024 / value, 1))
            )
        bench.books()
        return points
    finally:
        product.close()


def banks(values: list[int], given: argparse.Namespace) -> list[Point]:
    """Let there be ever more banks, which share the load."""
    points = []
    for value in values:
        product = Product(SUBSCRIBERS, banks=value)
        try:
            product.start()
            bench = Bench(product, given.rounds, given.seconds)
            all_ = [bench.bank, *(Bank(product, name) for name in product.banks[1:])]
            series, rate = Series(), 500.0
            for number in range(given.rounds + 1):
                rate = together(bench, all_, rate, series if number else Series())
            memory = product.memory()
            fronts = [mb for name, mb in memory.items() if part_of(name) == "front"]
            more = {"start_seconds": round(product.start_seconds, 1), "memory_mb": memory}
            points.append(point(value, series, front_mb=round(sum(fronts) / len(fronts), 1), **more))
            bench.books()
        finally:
            product.close()
    return points


def together(bench: Bench, all_: list[Bank], rate: float, series: Series) -> float:
    """Let all banks ask at once; add the run to the series and return the rate of all together."""
    count = max(50, int(rate * bench.seconds / len(all_)))
    prepared = [(bank, *bank.fresh(count)) for bank in all_]
    before, began = bench.product.cpu(), time.perf_counter()
    window = -max(1, UNDER_WAY // len(all_))
    begun = [
        (bank, Driving(bank.address, frames, connections=2, window=window, first_serial=first))
        for bank, frames, first in prepared
    ]
    runs = [(bank, driving.finish()) for bank, driving in begun]
    seconds = time.perf_counter() - began
    spent = bench.product.cpu()
    spent.subtract(before)
    answered = 0
    for bank, run in runs:
        if run.unanswered or bank.check(run)[bank.approved] != run.answered:
            raise SystemExit(f"{bank.profile.name}: something was refused or left open")
        answered += run.answered
    bench.approved += answered
    latencies = sorted(us for _, run in runs for us in run.latencies)
    own = sum(run.own_cpu_us * run.answered for _, run in runs) / answered
    whole = Run(answered, answered, 0, 0, seconds, max(run.write_late_us for _, run in runs), own, latencies)
    series.take(whole, {name: round(each / answered * 1e6, 1) for name, each in spent.items()})
    return whole.rate


def accounts(values: list[int], given: argparse.Namespace) -> list[Point]:
    """Let there be ever more subscribers."""

    def grow(filling: Filling, value: int) -> dict[str, Any]:
        filling.grow_accounts(value)
        return {"levels": filling.levels("billing_phones_pkey")}

    return filled(values, given, grow)


def journal(values: list[int], given: argparse.Namespace) -> list[Point]:
    """Let there be ever more history."""

    def grow(filling: Filling, value: int) -> dict[str, Any]:
        if not filling.accounts:
            filling.grow_accounts(SUBSCRIBERS)
        filling.grow_journal(value)
        return {"levels": filling.levels("journal_pkey")}

    return filled(values, given, grow)


def filled(
    values: list[int], given: argparse.Namespace, grow: Callable[[Filling, int], dict[str, Any]]
) -> list[Point]:
    """Measure one product whose database is filled further before each point."""
    product = Product(0)
    try:
        product.start()
        bench = Bench(product, given.rounds, given.seconds)
        filling, points = Filling(product, bench.bank.site), []
        for value in values:
            began = time.perf_counter()
            more = grow(filling, value)
            bench.bank.subscribers = product.subscribers
            filled_seconds = round(time.perf_counter() - began, 1)
            points.append(point(value, measured(bench), filled_seconds=filled_seconds, **more))
        bench.books()
        return points
    finally:
        product.close()


def lanes(values: list[int], given: argparse.Namespace) -> list[Point]:
    """Let the bridge have ever more writers."""
    points = []
    for value in values:
        product = Product(SUBSCRIBERS, settings={"writers": str(value)})
        try:
            product.start()
            bench = Bench(product, given.rounds, given.seconds)
            bench.warm(CONNECTIONS, -UNDER_WAY)
            points.append(point(value, measured(bench)))
            bench.books()
        finally:
            product.close()
    return points


def hot(values: list[int], given: argparse.Namespace) -> list[Point]:
    """Let all recharges be of many phones (0), then of one (1): an account with a limit that all of the load
    moves, and whose balance must be exact to the fen.
    """
    product, points = Product(0), []
    try:
        product.start()
        bench = Bench(product, given.rounds, given.seconds)
        filling = Filling(product, bench.bank.site)
        filling.grow_accounts(10_000)
        bench.bank.subscribers = 10_000
        for value in values:
            bench.one_phone = bool(value)
            approved, before = bench.approved, first_balance(product)
            series = measured(bench)
            moved = first_balance(product) - before
            if value and moved != (bench.approved - approved) * 100:
                raise SystemExit(
                    f"the hot account moved {moved} fen in {bench.approved - approved} recharges"
                )
            points.append(point(value, series, exact=True))
        bench.books()
        return points
    finally:
        product.close()


def first_balance(product: Product) -> int:
    """Return what lies in the first phone's book, in fen."""
    question = "SELECT balance_fen FROM ledger_accounts WHERE kind = 'book' AND owner = '13800000000'"
    return int(product.sql(question))


SWEEPS: dict[str, Callable[[list[int], argparse.Namespace], list[Point]]] = {
    "connections": connections,
    "banks": banks,
    "accounts": accounts,
    "journal": journal,
    "lanes": lanes,
    "hot": hot,
}


def plots(found: dict[str, list[Point]], folder: Path) -> None:
    """Draw every sweep: throughput, and CPU for one by part."""
    for name, (title, log) in TITLES.items():
        points = found.get(name)
        if not points:
            continue
        parts = sorted({part for each in points for part in each["parts_us"]})
        lines = [Line("all", [(each["x"], each["cpu_us"]) for each in points])]
        lines += [
            Line(part, [(each["x"], each["parts_us"].get(part, 0)) for each in points]) for part in parts
        ]
        rates = [Line("recharges", [(each["x"], each["rate"]) for each in points])]
        panels = [
            Panel("Throughput", title, "recharges a second", rates, log),
            Panel("CPU for one recharge", title, "µs", lines, log),
        ]
        draw(folder / f"{name}.svg", panels)


def main() -> None:
    """Measure what is asked for, write it down and draw it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="small values, one round: to try it out")
    parser.add_argument("--draw", action="store_true", help="only draw docs/plots/ from growth.json")
    parser.add_argument("--only", default=",".join(SWEEPS))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3)
    given = parser.parse_args()
    target = RESULTS / "growth.json"
    kept: dict[str, Any] = json.loads(target.read_text(encoding="utf-8")) if target.exists() else {}
    folder = RESULTS / "plots" if given.quick else ROOT / "docs" / "plots"
    if given.draw:
        plots(kept, folder)
        return
    about = machine()
    tell(brief(about))
    if given.quick:
        given.rounds, given.seconds, target, kept = 1, 1.0, RESULTS / "growth_quick.json", {}
    for name in given.only.split(","):
        tell(name)
        kept[name] = SWEEPS[name]((QUICK if given.quick else FULL)[name], given)
        kept["machine"] = about
        RESULTS.mkdir(parents=True, exist_ok=True)
        target.write_text(json.dumps(kept, indent=1, ensure_ascii=False), encoding="utf-8")  # after each
        plots(kept, folder)
    tell(f"bench-growth: {', '.join(given.only.split(','))} measured, books balanced; plots in {folder}")


if __name__ == "__main__":
    main()
