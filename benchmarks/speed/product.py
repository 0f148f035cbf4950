"""The product as it is measured: the site of `site.toml` on free ports, with servers and data of its own.

PostgreSQL with fsync and RabbitMQ are started beside it; nothing of the platform is turned off but the rates
of the banks, which are lifted, and their numbers in flight, which are widened.
"""

import contextlib
import os
import pickle
import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))
sys.path.insert(0, str(Path(__file__).parent))

from load import LENGTH_DIGITS, ROOT, Run, cpu_seconds, frames_in, peak_megabytes, phone_of

from frontends.profile import load_profile, resolve_keys
from qianzhi.cli.checks import require
from qianzhi.cli.chosen import Chosen
from qianzhi.cli.daemons import site_of
from qianzhi.cli.derived import with_data
from qianzhi.cli.looking import seed_core
from qianzhi.cli.machine import Machine
from qianzhi.cli.servers import make_database, make_users, private_broker
from qianzhi.domain.dates import business_date
from qianzhi.domain.requests import Kind, Request
from qianzhi.link.site import parse_address
from qianzhi.runtime import clock
from qianzhi.wire.framing import frame
from qianzhi.wire.mac import make_mac, verify_mac
from qianzhi.wire.mackey import MacKey
from simulators.free_ports import free_ports
from simulators.servers.postgres import Listening, Postgres
from simulators.state_file import StateFile

BANK, QUEUE_BANK = "hz_citic", "icbc"
PARTS = 2  # processes that prepare and check

# What the database is given, whoever asks it: the product, the naive implementation and pgbench alike.
SETTINGS = (
    "shared_buffers = 256MB",
    "max_wal_size = 4GB",
    "checkpoint_timeout = 30min",
    "max_connections = 60",
)


class Product:
    """One system, from `start` to `close`."""

    def __init__(
        self,
        subscribers: int,
        *,
        settings: dict[str, str] | None = None,
        in_flight: int = 4000,
        queue: bool = False,
    ) -> None:
        """`settings` replace values of the site's file, by key; without `queue` the queue's bank is left out,
        and its broker.
        """
        self._queue = queue
        self.subscribers = subscribers
        self._stack = contextlib.ExitStack()
        self.folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="qianzhi-bench-")))
        self.config, self.data = self.folder / "config", self.folder / "var"
        self._write_config(settings or {}, in_flight)
        self.database: Postgres
        self.machine: Machine

    def start(self) -> None:
        """Start servers and daemons and wait until all serve."""
        own = Chosen(self.config)
        site = site_of(own)
        if self._queue:
            server = private_broker(site)
            self._stack.callback(server.close)
            server.launch()
            self.broker = server
        self.database = Postgres.create(settings=SETTINGS, at=Listening(port=self._ports["database"]))
        self._stack.callback(self.database.close)
        self.database.start()
        make_database(own, self.database)
        if self._queue:
            server.wait_ready()
            make_users(own, server)
        checked, site = require(self.config)
        seed_core(checked, site, self.subscribers)
        self.machine = Machine(own, site)
        self._stack.callback(self.machine.stop)
        self.machine.start()
        self.machine.wait_ready()

    def close(self) -> None:
        """End everything that was started."""
        self._stack.close()

    def qianzhi(self, *words: str) -> str:
        """Run the command on this system and return what it prints."""
        command = [sys.executable, "-m", "qianzhi.cli.main", "--config", str(self.config), *words]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    def cpu(self) -> Counter[str]:
        """Return CPU seconds up to now by what a process is."""
        spent: Counter[str] = Counter()
        for name, pid in self.pids().items():
            spent[part_of(name)] += cpu_seconds([pid])
        return spent

    def pids(self) -> dict[str, int]:
        """Return the daemons' and servers' process ids by name."""
        found = {name: status["pid"] for name, status in self.machine.statuses().items()}
        return found | {"postgresql": self.database.pid}

    def memory(self) -> dict[str, float]:
        """Return the most memory that each daemon has had resident, in megabytes."""
        return {name: peak_megabytes(pid) for name, pid in self.pids().items() if name != "postgresql"}

    def _write_config(self, settings: dict[str, str], in_flight: int) -> None:
        self.config.mkdir()
        names = re.findall(r"\{(\w+)\}", Path(__file__).with_name("site.toml").read_text(encoding="utf-8"))
        unique = list(dict.fromkeys(names))
        self._ports = dict(zip(unique, free_ports(len(unique)), strict=True))
        text = Path(__file__).with_name("site.toml").read_text(encoding="utf-8")
        if not self._queue:
            tables = re.split(r"(?m)^(?=\[)", text)
            text = "".join(one for one in tables if not one.startswith(("[broker]", f"[banks.{QUEUE_BANK}]")))
        for name, port in self._ports.items():
            text = text.replace("{" + name + "}", str(port))
        for name, value in settings.items():
            text = re.sub(rf"(?m)^{name} = .*$", f"{name} = {value}", text)
        (self.config / "site.toml").write_text(with_data(text, self.data), encoding="utf-8")
        for entry in ("specs", "schemas"):
            (self.config / entry).symlink_to(ROOT / "config" / entry)
        (self.config / "banks").mkdir()
        for bank in (BANK, QUEUE_BANK) if self._queue else (BANK,):
            rows = (ROOT / "config" / "banks" / f"{bank}.toml").read_text(encoding="utf-8")
            rows = re.sub(r"(?m)^rate_per_second = \d+$", "rate_per_second = 1000000", rows)
            rows = re.sub(r"(?m)^in_flight = \d+", f"in_flight = {in_flight}", rows)
            rows = re.sub(r"(?m)^connections_max = \d+", "connections_max = 20000", rows)
            (self.config / "banks" / f"{bank}.toml").write_text(rows, encoding="utf-8")


def part_of(name: str) -> str:
    """Return what a daemon is: front, node, bridge."""
    return name.partition("-")[0].rstrip("0123456789")


class Bank:
    """The bank's end: its key, frames under it, and the check of what came back."""

    def __init__(self, product: Product, bank: str = BANK) -> None:
        own = site_of(Chosen(product.config))
        profile, problems = load_profile(product.config, bank, own)
        if profile is None or profile.mac is None:
            raise SystemExit("\n".join(map(str, problems)))
        self.profile, self.mac, self.site = profile, profile.mac, own
        self.subscribers = product.subscribers
        self.key = self._key(product)

    def _key(self, product: Product) -> MacKey:
        keys = resolve_keys(self.profile, product.config, production=False)
        if "master" not in keys:
            return MacKey(keys["mac"])
        product.qianzhi("send", self.profile.name, "key-exchange")
        key = StateFile(product.data, self.profile.name).load_key(keys["master"])
        if key is None:
            raise SystemExit("no working key was delivered")
        return MacKey(key)

    @property
    def address(self) -> tuple[str, int]:
        """Where the bank dials."""
        return parse_address(self.site.banks[self.profile.name].listen)

    def frames(self, count: int, target: Path, *, first: int = 1, one_phone: bool = False) -> Path:
        """Write signed recharges with serials from `first` on, over all subscribers; return the file."""
        step = -(-count // PARTS)
        ranges = [(first + at, first + min(at + step, count)) for at in range(0, count, step)]
        parts = in_processes([partial(self._frames, one_phone, serials) for serials in ranges])
        target.write_bytes(b"".join(parts))
        return target

    def _frames(self, one_phone: bool, serials: tuple[int, int]) -> bytes:
        bodies = []
        mapping, codec = self.profile.mapping, self.profile.codec
        now = clock.now()
        today, name = business_date(now.wall_us, mapping.zone), self.profile.name
        bank_number = self.profile.numbers[0]
        for number in range(*serials):
            phone = phone_of(0 if one_phone else number, self.subscribers)
            request = Request(Kind.RECHARGE, name, today, f"{number:06d}", name, bank_number, phone, 100)
            message = mapping.request_message(request, now)
            make_mac(self.mac, message, codec, self.key)
            bodies.append(frame(self.profile.frame, codec.encode(message)))
        return b"".join(bodies)

    def check(self, run: Run, *, keep: bool = False) -> Counter[str]:
        """Read every answer: its MAC must be right, its serial one of its own; return the codes."""
        bodies = frames_in(run.answers)
        if not keep:
            run.answers.unlink()
            run.answers.parent.rmdir()
        step = max(1, -(-len(bodies) // PARTS))
        lists = [bodies[at : at + step] for at in range(0, len(bodies), step)]
        parts = in_processes([partial(self._check, some) for some in lists])
        codes: Counter[str] = Counter()
        serials: set[str] = set()
        for some, of_part in parts:
            codes += some
            serials |= of_part
        if len(serials) != len(bodies) or run.strange:
            raise SystemExit(
                f"{len(bodies)} answers have {len(serials)} serials, {run.strange} to no request"
            )
        return codes

    def _check(self, bodies: list[bytes]) -> tuple[Counter[str], set[str]]:
        codes: Counter[str] = Counter()
        serials: set[str] = set()
        for body in bodies:
            message = self.profile.codec.decode(body)
            if verify_mac(self.mac, message, self.profile.codec, [self.key]) is None:
                raise SystemExit("an answer has no MAC")
            codes[self.profile.mapping.reply_of(message).code] += 1
            serials.add(str(message["stan"]))
        return codes, serials


def in_processes(works: list[Callable[[], Any]]) -> list[Any]:
    """Do each work in a process of its own, a copy of this one; return what they return, in their order."""
    with tempfile.TemporaryDirectory(prefix="qianzhi-parts-") as folder:
        started = []
        for number, work in enumerate(works):
            path = Path(folder, str(number))
            pid = os.fork()
            if pid == 0:
                try:
                    path.write_bytes(pickle.dumps(work()))
                finally:
                    os._exit(0 if path.exists() else 1)
            started.append((pid, path))
        for pid, _ in started:
            if os.waitpid(pid, 0)[1]:
                raise SystemExit("a process that prepares or checks frames failed")
        return [pickle.loads(path.read_bytes()) for _, path in started]  # noqa: S301  written by ourselves


def slice_of(frames: Path, first: int, count: int, target: Path) -> Path:
    """Write a part of a file of frames, from its frame number `first` (0 is the oldest) on; return it."""
    data = frames.read_bytes()
    at = starts = 0
    for number in range(first + count):
        if number == first:
            starts = at
        at += LENGTH_DIGITS + int(data[at : at + LENGTH_DIGITS])
    target.write_bytes(data[starts:at])
    return target
