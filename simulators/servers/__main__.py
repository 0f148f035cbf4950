"""Servers that stay, for test runs that follow each other: `python -m simulators.servers DIR`; Ctrl-C ends.

Test runs with QIANZHI_TEST_SERVERS=DIR in their environment use them instead of starting their own.
"""

import signal
import sys
from pathlib import Path

from simulators.servers.postgres import Postgres
from simulators.servers.processes import give
from simulators.servers.rabbitmq import Broker


def main() -> int:
    """Start a broker and a database in the folder, keep them until a signal comes, stop them."""
    if len(sys.argv) != 2:
        sys.stderr.write(f"{__doc__}")
        return 2
    folder = Path(sys.argv[1]).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    give(folder, "")
    servers: list[Broker | Postgres] = [
        Broker.create(folder / "broker", lasting=True),
        Postgres.create(folder / "postgres", lasting=True),
    ]
    signals = {signal.SIGINT, signal.SIGTERM}
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    try:
        for server in servers:
            server.start()
        sys.stderr.write(f"running; export QIANZHI_TEST_SERVERS={folder}\n")
        signal.sigwait(signals)
    finally:
        for attached in (Broker.attach(folder / "broker"), Postgres.attach(folder / "postgres")):
            attached.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
