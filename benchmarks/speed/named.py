"""The benchmarks by name: `named.py --list` shows them, `named.py NAME [WORDS]` runs one.

`qianzhi bench` is this.  Nothing of the platform is imported here, so that the list costs nothing.
"""

import os
import sys
from pathlib import Path

BENCH = "bench.py"
NAMED = {
    "all": (BENCH, [], "everything that `make bench` measures"),
    "end-to-end": (
        BENCH,
        ["--only", "end-to-end"],
        "against a naive implementation, pgbench, the ledger alone",
    ),
    "relay": (
        BENCH,
        ["--only", "relay"],
        "against HAProxy as a relay, 50 connections with one in flight each",
    ),
    "queue": (BENCH, ["--only", "queue"], "over RabbitMQ, against RabbitMQ's raw request and reply"),
    "latency": (BENCH, ["--only", "latency"], "one in flight, and at half of the peak throughput"),
    "codec": (BENCH, ["--only", "codec"], "reading and writing card messages, against pyiso8583"),
    "embedded": (BENCH, ["--only", "embedded"], "the product on SQLite, its figures alone"),
    "overload": ("overload.py", [], "twice and five times the capacity; banks that flood or do not read"),
    "growth": (
        "growth.py",
        [],
        "against connections, banks, accounts, journal rows and writers (hours; --quick)",
    ),
    "check-speed": ("check_speed.py", [], "instructions of the hot parts against recorded ones"),
}


def main() -> int:
    """Show the list, or become the benchmark that is named."""
    words = sys.argv[1:]
    if words == ["--list"]:
        for name, (_, _, title) in NAMED.items():
            print(f"{name:12} {title}")
        return 0
    if not words or words[0] not in NAMED:
        print(f"there are the benchmarks {', '.join(NAMED)}", file=sys.stderr)
        return 2
    file, own, _ = NAMED[words[0]]
    command = [sys.executable, str(Path(__file__).with_name(file)), *own, *words[1:]]
    sys.stdout.flush()
    os.execv(sys.executable, command)  # noqa: S606  our own file; it takes this process's place
    return 0


if __name__ == "__main__":
    sys.exit(main())
