"""Simulated banks of a site until SIGINT comes: a line of approvals by bank for each look, then the proof."""

import json
import sys
from pathlib import Path

from qianzhi.cli.checks import require
from qianzhi.cli.chosen import Chosen
from qianzhi.cli.demo import prove
from qianzhi.cli.feeding import feed
from qianzhi.cli.looking import core_url
from simulators.traffic import Look


def tell(looks: list[Look]) -> None:
    """Say how many approvals each bank has had."""
    write({look.report.bank: look.report.approved for look in looks})


def write(line: dict[str, object]) -> None:
    """Write one line at once."""
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def main() -> None:
    """Use the configuration and the site that the command line names, at that rate."""
    chosen = Chosen(Path(sys.argv[1]), sys.argv[2])
    checked, site = require(chosen.config, chosen.site)
    result = feed(chosen, checked, site, [], int(sys.argv[3]), None, 1, tell, 90)
    proof = prove(core_url(checked, site), result, [])
    write({"good": proof.good, "line": proof.line, "faults": proof.faults})


if __name__ == "__main__":
    main()
