"""The product beside its yardsticks, interleaved in one run, on this machine in these minutes.

    python bench.py [--rounds 5] [--seconds 4] [--only end-to-end,relay,queue,latency,codec]
    python bench.py --only embedded       the product on SQLite, for its figures alone

Every answer's code, MAC and serial is checked, the journal is counted and the books are audited.  What is
claimed are ratios; absolute figures stand beside the machine that made them.  build/bench/ has bench.json and
table.md afterwards, of a part of it bench-PART.json and table-PART.md.
"""

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))
sys.path.insert(0, str(Path(__file__).parent))

import codec_bench
from layouts import ALONE
from load import RESULTS
from machine import brief, machine
from product import Product
from scenarios import SCENARIOS
from series import Row, shown
from system import SUBSCRIBERS, Bench, tell
from table import markdown

CODEC = "codec"
LAST_LINE = ("end-to-end", "queue")


def on_the_product(
    names: list[str], given: argparse.Namespace
) -> tuple[list[Row], dict[str, Any], list[str]]:
    """Run scenarios on one system; return their rows, what they measured and what the last line says."""
    product = Product(SUBSCRIBERS, queue="queue" in names)
    rows: list[Row] = []
    try:
        product.start()
        bench = Bench(product, given.rounds, given.seconds)
        for name in names:
            tell(name)
            rows += [shown(row, tell) for row in SCENARIOS[name](bench)]
        bench.books()
        found = bench.results | {"start_seconds": round(product.start_seconds, 1)}
    finally:
        product.close()
    said = [bench.said[name] for name in LAST_LINE if name in bench.said]
    return rows, found, [*said, "books balanced"]


def write(results: dict[str, Any], table: str, names: list[str]) -> None:
    """Write figures and table: bench.json and table.md of a whole run, else under the names of its parts."""
    part = "" if {*SCENARIOS, CODEC} <= set(names) else "-" + "-".join(names)
    RESULTS.mkdir(parents=True, exist_ok=True)
    text = json.dumps(results, indent=1, ensure_ascii=False)
    (RESULTS / f"bench{part}.json").write_text(text, encoding="utf-8")
    (RESULTS / f"table{part}.md").write_text(table, encoding="utf-8")
    tell(f"build/bench/table{part}.md and bench{part}.json have all of it")


def main() -> None:
    """Run the scenarios and print their figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--only", default=",".join([*SCENARIOS, CODEC]))
    given = parser.parse_args()
    names = given.only.split(",")
    known = [*SCENARIOS, CODEC, *ALONE]
    if set(names) - set(known):
        parser.error(f"there are the benchmarks {', '.join(known)}")
    about, began = machine(), time.monotonic()
    tell(brief(about))
    rows: list[Row] = []
    results: dict[str, Any] = {"machine": about, "rounds": given.rounds, "seconds": given.seconds}
    said: list[str] = []
    if CODEC in names:  # first, while nothing else of ours runs
        tell(CODEC)
        rows, results[CODEC] = codec_bench.rows(max(5, given.rounds))
        for row in rows:
            shown(row, tell)
    served = [name for name in names if name in SCENARIOS]
    if served:
        more, found, said = on_the_product(served, given)
        rows, results = more + rows, results | found
    for name in names:
        if name in ALONE:
            tell(name)
            results |= ALONE[name](given.rounds, given.seconds)
    write(results | {"rows": [row.plain() for row in rows]}, markdown(rows, about), names)
    missed = sum(not row.met for row in rows)
    tell(f"{len(rows) - missed} of {len(rows)} goals reached in {time.monotonic() - began:.0f} s")
    tell("bench: " + ", ".join(said or names))


if __name__ == "__main__":
    main()
