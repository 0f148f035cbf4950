"""The product as it is measured: the site of `site.toml` on free ports, with servers and data of its own.

PostgreSQL with fsync and, where a queue is measured, RabbitMQ are started beside it; nothing of the platform
is turned off but the rates of the banks, which are lifted, and their numbers in flight, which are widened.
Further socket banks are copies of the first one under numbers of their own.
"""

import contextlib
import io
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))
sys.path.insert(0, str(Path(__file__).parent))

from load import ROOT, anonymous_megabytes, cpu_seconds, peak_megabytes

from qianzhi.cli.checks import require
from qianzhi.cli.chosen import Chosen
from qianzhi.cli.daemons import site_of
from qianzhi.cli.derived import with_data
from qianzhi.cli.looking import seed_core
from qianzhi.cli.machine import Machine
from qianzhi.cli.servers import make_database, make_users, private_broker
from simulators.free_ports import free_ports
from simulators.servers.postgres import Listening, Postgres
from simulators.servers.rabbitmq import Broker

BANK, QUEUE_BANK, NUMBER = "hz_citic", "icbc", "0302"
SITE = Path(__file__).with_name("site.toml")

# What the database is given, whoever asks it: the product, the naive implementation and pgbench alike.
SETTINGS = (
    "shared_buffers = 256MB",
    "max_wal_size = 4GB",
    "checkpoint_timeout = 30min",
    "max_connections = 200",
)

COPY = """
[banks.{name}]
machine = "local"
group = "one"
instances = 1
listen = "127.0.0.1:{port}"
metrics_port = {metrics}
"""


class Product:
    """One system, from `start` to `close`."""

    def __init__(
        self,
        subscribers: int,
        *,
        settings: dict[str, str] | None = None,
        in_flight: int = 4000,
        queue: bool = False,
        banks: int = 1,
    ) -> None:
        """`settings` replace values of the site's file, by key; without `queue` the queue's bank is left out,
        and its broker.  With 0 subscribers the core is left empty, for whoever fills it in another way.
        """
        self._queue = queue
        self.subscribers = subscribers
        self.banks = [BANK, *(f"bank{number:02d}" for number in range(2, banks + 1))]
        self._stack = contextlib.ExitStack()
        self.folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="qianzhi-bench-")))
        self.config, self.data = self.folder / "config", self.folder / "var"
        self._write_config(settings or {}, in_flight)
        self.start_seconds = 0.0
        self.database: Postgres
        self.machine: Machine
        self.broker: Broker | None = None

    def start(self) -> None:
        """Start servers and daemons and wait until all serve."""
        self.start_servers()
        checked, site = require(self.config)
        if self.subscribers:
            seed_core(checked, site, self.subscribers)
        self.start_daemons()

    def start_servers(self) -> None:
        """Start the servers and make what the platform needs in them."""
        with contextlib.redirect_stdout(io.StringIO()):  # what the operator's commands say of each role made
            self._start_servers(Chosen(self.config))

    def _start_servers(self, own: Chosen) -> None:
        if self._queue:
            self.broker = private_broker(site_of(own))
            self._stack.callback(self.broker.close)
            self.broker.launch()
        self.database = Postgres.create(settings=SETTINGS, at=Listening(port=self._ports["database"]))
        self._stack.callback(self.database.close)
        self.database.start()
        make_database(own, self.database)
        if self.broker is not None:
            self.broker.wait_ready()
            make_users(own, self.broker)

    def start_daemons(self) -> None:
        """Start the platform itself; `start_seconds` is then how long that took."""
        _, site = require(self.config)
        self.machine = Machine(Chosen(self.config), site)
        began = time.perf_counter()
        self._stack.callback(self.machine.stop)
        self.machine.start()
        self.machine.wait_ready()
        self.start_seconds = time.perf_counter() - began

    def stop_daemons(self) -> None:
        """Stop the platform and leave its servers alone."""
        self.machine.stop()

    def close(self) -> None:
        """End everything that was started."""
        self._stack.close()

    def qianzhi(self, *words: str) -> str:
        """Run the command on this system and return what it prints; raises SystemExit when it fails."""
        command = [sys.executable, "-m", "qianzhi.cli.main", "--config", str(self.config), *words]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"qianzhi {' '.join(words)}: {done.stdout}{done.stderr}")
        return done.stdout

    def cpu(self) -> Counter[str]:
        """Return CPU seconds up to now of each daemon and server by name."""
        return Counter({name: cpu_seconds([pid]) for name, pid in self.pids().items()})

    def pids(self) -> dict[str, int]:
        """Return the daemons' and servers' process ids by name."""
        return {name: status["pid"] for name, status in self.machine.statuses().items()} | self.servers()

    def servers(self) -> dict[str, int]:
        """Return the servers' process ids by name."""
        found = {"postgresql": self.database.pid}
        return found if self.broker is None else found | {"rabbitmq": self.broker.pid}

    def memory(self) -> dict[str, float]:
        """Return megabytes: the most that each daemon has had resident, and what the servers' processes have
        for themselves now."""
        servers = self.servers()
        found = {name: peak_megabytes(pid) for name, pid in self.pids().items() if name not in servers}
        return found | {name: anonymous_megabytes(pid) for name, pid in servers.items()}

    def sql(self, statement: str) -> str:
        """Run a statement on the core's database as its superuser; return the rows."""
        return self.database.psql(statement, "qianzhi")

    def _write_config(self, settings: dict[str, str], in_flight: int) -> None:
        self.config.mkdir()
        text = SITE.read_text(encoding="utf-8")
        unique = list(dict.fromkeys(re.findall(r"\{(\w+)\}", text)))
        self._ports = dict(zip(unique, free_ports(len(unique)), strict=True))
        if not self._queue:
            tables = re.split(r"(?m)^(?=\[)", text)
            text = "".join(one for one in tables if not one.startswith(("[broker]", f"[banks.{QUEUE_BANK}]")))
        for name, port in self._ports.items():
            text = text.replace("{" + name + "}", str(port))
        text = self._layout(text)
        for name in self.banks[1:]:
            port, metrics = free_ports(2)
            text += COPY.format(name=name, port=port, metrics=metrics)
        for name, value in settings.items():
            text = re.sub(rf"(?m)^{name} = .*$", f"{name} = {value}", text)
        (self.config / "site.toml").write_text(with_data(text, self.data), encoding="utf-8")
        for entry in ("specs", "schemas"):
            (self.config / entry).symlink_to(ROOT / "config" / entry)
        (self.config / "banks").mkdir()
        for at, bank in enumerate([*self.banks, *([QUEUE_BANK] if self._queue else [])]):
            self._write_bank(bank, at, in_flight)

    def _layout(self, text: str) -> str:
        """Return the site's text as another layout has it."""
        return text

    def _write_bank(self, bank: str, at: int, in_flight: int) -> None:
        source = bank if bank in (BANK, QUEUE_BANK) else BANK
        rows = (ROOT / "config" / "banks" / f"{source}.toml").read_text(encoding="utf-8")
        if source != bank:
            rows = rows.replace(NUMBER, f"{5000 + at}")
        rows = re.sub(r"(?m)^rate_per_second = \d+$", "rate_per_second = 1000000", rows)
        rows = re.sub(r"(?m)^in_flight = \d+", f"in_flight = {in_flight}", rows)
        rows = re.sub(r"(?m)^connections_max = \d+", "connections_max = 20000", rows)
        (self.config / "banks" / f"{bank}.toml").write_text(rows, encoding="utf-8")


def part_of(name: str) -> str:
    """Return what a daemon is: front, node, bridge."""
    return name.partition("-")[0].rstrip("0123456789")
