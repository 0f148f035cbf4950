"""What a site needs for so many recharges a day: the tables of docs/CAPACITY.md, from the inputs there.

    python benchmarks/capacity.py            prints the tables
    python benchmarks/capacity.py --write    puts them into docs/CAPACITY.md

Only the table of inputs is written by hand.  What is rounded is rounded up.
"""

import argparse
import math
import re
from pathlib import Path

PAGE = Path(__file__).parent.parent / "docs/CAPACITY.md"
DAYS = (5, 10, 50, 500)  # millions of recharges a day
BEGIN, END = "<!-- worked out -->", "<!-- end -->"


def inputs(page: str) -> dict[str, float]:
    """Read the table of inputs: the name in its first column, the figure in its second."""
    rows = re.findall(r"^\| `(\w+)` \| ([\d.,]+) \|", page, re.MULTILINE)
    return {name: float(figure.replace(",", "")) for name, figure in rows}


def row(*cells: object) -> str:
    """One row of a table."""
    return "| " + " | ".join(map(str, cells)) + " |"


def cores(a_second: float, micros: float, given: dict[str, float]) -> float:
    """Return how many cores do it, none of them busier than `busy_max` when one of a pair is gone."""
    return a_second * micros / 1e6 / given["busy_max"]


def tables(given: dict[str, float]) -> str:
    """Return the tables for all sizes."""
    return "\n\n".join((cpu_table(given), processes_table(given), disk_table(given)))


def cpu_table(given: dict[str, float]) -> str:
    """Cores of each kind of machine at the peak, with one machine of each pair gone."""
    head = (
        "a day",
        "peak a second",
        "fronts",
        "nodes",
        "bridges",
        "PostgreSQL",
        "standby",
        "RabbitMQ, all three",
    )
    lines = [row(*head), row("---", *["---:"] * (len(head) - 1))]
    for millions in DAYS:
        peak = millions * 1e6 / 86_400 * given["peak_factor"]
        parts = [peak * given["queue_share"] * given["rabbitmq_us"] * given["quorum_factor"]]
        parts = [
            peak * given[f"{name}_us"] for name in ("front", "node", "bridge", "postgres", "standby")
        ] + parts
        shown = (f"{part / 1e6 / given['busy_max']:.1f}" for part in parts)
        lines.append(row(f"{millions} million", f"{peak:,.0f}", *shown))
    return "\n".join(lines)


def processes_table(given: dict[str, float]) -> str:
    """Processes and machines: a pair of each, each of which carries the whole peak alone."""
    head = (
        "a day",
        "front machines",
        "interface machines",
        "core machines",
        "shards",
        "fronts, at least",
        "bridges × writers",
    )
    lines = [row(*head), row("---", *["---:"] * (len(head) - 1))]
    for millions in DAYS:
        peak = millions * 1e6 / 86_400 * given["peak_factor"]
        shards = math.ceil(millions / given["shard_millions"])
        room = given["cores_of_machine"]
        front = math.ceil(cores(peak, given["front_us"], given) / room) + 1
        node = max(4, math.ceil(cores(peak, given["node_us"], given) / room) * 4)
        core = math.ceil(cores(peak / shards, given["bridge_us"] + given["postgres_us"], given) / room)
        processes = math.ceil(cores(peak, given["front_us"], given))
        bridges = max(2, math.ceil(cores(peak / shards, given["bridge_us"], given)) + 1)
        lines.append(
            row(
                f"{millions} million",
                max(2, front),
                node,
                f"{shards} × {max(1, core) * 2}",
                shards,
                max(2, processes),
                f"{shards} × {bridges} × 2",
            )
        )
    return "\n".join(lines)


def disk_table(given: dict[str, float]) -> str:
    """Bytes: of a day, of all days kept, of the log that is archived for a week, at the peak."""
    head = (
        "a day",
        "rows and indexes a day",
        "kept, with room",
        "log a day",
        "log archived 7 days",
        "log at the peak",
    )
    lines = [row(*head), row("---", *["---:"] * (len(head) - 1))]
    for millions in DAYS:
        day = millions * 1e6 * given["disk_bytes"]
        log = millions * 1e6 * given["wal_bytes"]
        peak = log / 86_400 * given["peak_factor"]
        kept = day * (given["keep_days"] + 2) * given["disk_room"]
        sizes = (
            f"{day / 1e9:,.1f} GB",
            f"{kept / 1e12:,.2f} TB",
            f"{log / 1e9:,.1f} GB",
            f"{log * 7 / 1e9:,.0f} GB",
        )
        lines.append(row(f"{millions} million", *sizes, f"{peak / 1e6:,.1f} MB/s"))
    return "\n".join(lines)


def page_with_tables(page: str) -> str:
    """Return the page with its tables worked out anew."""
    before, rest = page.split(BEGIN)
    after = rest.split(END)[1]
    return f"{before}{BEGIN}\n\n{tables(inputs(page))}\n\n{END}{after}"


def main() -> None:
    """Print the tables, or write them."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--write", action="store_true", help="into docs/CAPACITY.md")
    page = PAGE.read_text(encoding="utf-8")
    if parser.parse_args().write:
        PAGE.write_text(page_with_tables(page), encoding="utf-8")
    else:
        print(tables(inputs(page)))


if __name__ == "__main__":
    main()
