"""The bank beside the one that is attacked, in a process of its own: recharges that must all be approved.

Usage: ports_beside.py CONFIG PID…     "attack" on standard input ends the quiet time, "end" the run

What it waits for each answer is measured here, apart from the attack's own work.  Time in which a daemon (the
PIDs) or this process stood ready without a processor is the machine's and not counted against them.  The last
line of output is what came of it, as JSON.
"""

import json
import select
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
PAUSE_SECONDS = 0.025
EXTRA_US_MAX = 100_000
WRONG_MAX = 5


class Waits:
    """The longest waits of a time, as they were and without the machine's part."""

    def __init__(self) -> None:
        self.asked = self.longest_us = self.own_us = 0

    def add(self, wait_us: int, machine_us: int) -> None:
        """Count one answer."""
        own_us = max(0, wait_us - machine_us) if wait_us > EXTRA_US_MAX else wait_us
        self.asked += 1
        self.longest_us = max(self.longest_us, wait_us)
        self.own_us = max(self.own_us, own_us)


def main() -> None:
    """Ask until told to end."""
    sys.path[:0] = [str(HERE), str(HERE.parents[1])]
    from ports_bank import Customer
    from ports_site import BESIDE, waited_us

    from qianzhi.cli.checks import require
    from qianzhi.domain.results import Result
    from qianzhi.runtime import clock
    from simulators.line import MAIN

    config, pids = Path(sys.argv[1]), [*map(int, sys.argv[2:])]
    checked, site = require(config)
    customer = Customer(checked.profiles[BESIDE], site, config, MAIN)
    quiet, attacked = Waits(), Waits()
    wrong: list[str] = []
    waits, said = quiet, ""
    print("ready", flush=True)
    while said != "end":
        before_us, start_us = waited_us(pids), clock.now().mono_us
        try:
            told = customer.ask()
            if told.result is not Result.APPROVED:
                wrong.append(f"answered {told.code} {told.result!r}")
        except OSError as error:
            wrong.append(repr(error))
        wait_us = clock.now().mono_us - start_us
        waits.add(wait_us, waited_us(pids) - before_us)
        if select.select([sys.stdin], [], [], PAUSE_SECONDS)[0]:
            said = sys.stdin.readline().strip() or "end"
            waits = attacked if said == "attack" else waits
    found = {
        "asked": attacked.asked,
        "wrong": wrong[:WRONG_MAX],
        "wrong_count": len(wrong),
        "quiet_us": quiet.own_us,
        "longest_us": attacked.longest_us,
        "own_us": attacked.own_us,
        "late": attacked.own_us > quiet.own_us + EXTRA_US_MAX,
    }
    print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
