"""`qianzhi bench`: runs a benchmark of the source tree, where the command is installed from one.

The benchmarks measure the platform against other things (pgbench, HAProxy, RabbitMQ, a naive implementation)
and stand in the tree beside it, not in the package: an installation from a wheel has none, and is told so.
"""

import subprocess
import sys
from pathlib import Path

from qianzhi.cli.output import USAGE, CommandError

NAMED = Path("benchmarks", "speed", "named.py")
ADVICE = "clone the source, `make setup` there, and use its .venv/bin/qianzhi, or `make bench`"


def bench_command(words: list[str]) -> int:
    """Run a benchmark by its name with the words that follow it, or show the list; return its exit code.

    Raises CommandError where the source tree is not at hand.
    """
    file = Path(__file__).parents[2] / NAMED
    if not file.is_file():
        raise CommandError(USAGE, f"the benchmarks are not here ({file.parent} is missing)", ADVICE)
    command = [sys.executable, str(file), *words]
    return subprocess.run(command, check=False).returncode  # noqa: S603  our own file
