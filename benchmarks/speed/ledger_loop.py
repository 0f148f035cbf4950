"""The grouped ledger alone: the core's own gateway fed with lists of 64 recharges in a loop, without a wire.

    python ledger_loop.py CONFIG SUBSCRIBERS SECONDS ROUND

Prints: recharges, seconds, CPU seconds of this process.
"""

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))
sys.path.insert(0, str(Path(__file__).parent))

from load import phone_of

from crm_bridge.gateway import Gateway
from qianzhi.cli.checks import require
from qianzhi.cli.looking import settings_of
from qianzhi.domain.dates import business_date
from qianzhi.domain.requests import Kind, Request
from qianzhi.domain.results import Result
from qianzhi.link.site import zone_of
from qianzhi.runtime import clock

LIST = 64


def main() -> None:
    """Feed it for so long."""
    config, subscribers, seconds, number = (
        Path(sys.argv[1]),
        int(sys.argv[2]),
        float(sys.argv[3]),
        sys.argv[4],
    )
    checked, site = require(config)
    settings, zone = settings_of(checked, site), zone_of(site)
    gateway = Gateway(settings.database, settings, zone, "bench", 0)
    today = business_date(clock.now().wall_us, zone)
    done = 0
    began, own_cpu = time.perf_counter(), time.process_time()
    while time.perf_counter() - began < seconds:
        requests = [
            Request(
                Kind.RECHARGE,
                f"ledger{number}",
                today,
                f"{done + at:09d}",
                "bench",
                "0302",
                phone_of(done + at, subscribers),
                100,
            )
            for at in range(LIST)
        ]
        replies = gateway.execute(requests, clock.now())
        if any(reply.result is not Result.APPROVED for reply in replies):
            raise SystemExit("a recharge was refused")
        done += LIST
    print(done, time.perf_counter() - began, time.process_time() - own_cpu)


if __name__ == "__main__":
    main()
