"""The carrier's site as its file stands, for the chaos run: every machine a network namespace, every daemon,
server and bank a process of its own, our fault proxy on every way between the machines' daemons and servers.

What a daemon writes, and each server's data, lies on a small disk of its own (tmpfs), so that it can be full.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import xmlrpc.client
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from chaos_layout import (
    ADDRESSES,
    BALANCER,
    NETWORK,
    OURS,
    ROOT,
    Program,
    derived_config,
    lack,
    load_profiles,
    ports_of,
    programs_of,
)

from qianzhi.cli.balancer import entries, render
from qianzhi.cli.chosen import Chosen
from qianzhi.cli.servers import make_users
from qianzhi.cli.stopping import UnixTransport
from qianzhi.link.site import load_site
from qianzhi.link.tables import Site
from qianzhi.runtime import clock
from qianzhi.runtime.admin import AdminError, ask
from simulators.servers.disks import Disk
from simulators.servers.fault_lines import FaultProxy, lay_wires
from simulators.servers.haproxy import Haproxy
from simulators.servers.namespaces import Machines
from simulators.servers.packages import faketime_library, require
from simulators.servers.postgres import Cluster, Listening, Postgres, run_as
from simulators.servers.processes import ServerFailed
from simulators.servers.rabbitmq import Broker

MACHINE_DISK_MB, SERVER_DISK_MB = 2_000, 8_000  # only what is written is taken from memory
DATABASE_SETTINGS = ["log_checkpoints = off"]
STATUS_SECONDS = 2.0
START_SECONDS = 240.0
FATES = {"declined": 30, "late": 50, "silent": 50, "lost": 30}  # of a thousand messages to the network
LATE_SECONDS = 6  # after the time in which an answer is awaited
DRAIN_SECONDS = 60.0  # supervisord ends it by force before that


class CommandFailed(Exception):  # noqa: N818  it is what the command did
    """A command of the operator's did not do what it should; the text is what it said."""


class ChaosSite:
    """The site on its machines, from `start` until the stack closes."""

    def __init__(self, folder: Path, banks: list[str], stack: ExitStack) -> None:
        require("iproute2", "rabbitmq-server", "postgresql", "haproxy", "libfaketime")
        self.folder = folder
        self._stack = stack
        self.config = derived_config(folder / "config", banks)
        site, problems = load_site(self.config)
        if site is None:
            raise SystemExit(f"{problems}")
        self.site: Site = site
        self.checked = load_profiles(self.config)
        self.running: dict[str, subprocess.Popen[str]] = {}
        self.disks: dict[Path, Disk] = {}
        self.programs = {program.name: program for program in programs_of(site)}
        for machine in ADDRESSES:
            (folder / machine / "armed").mkdir(parents=True)
            self.mount(folder / machine / "var", MACHINE_DISK_MB)
        self.machines = Machines(ADDRESSES)
        stack.callback(self.machines.close)
        self.machines.add_address("core1", BALANCER)
        wires = lay_wires(self.machines, ADDRESSES, ports_of(site))
        self.wired = sorted({(wire.machine, wire.server) for wire in wires})
        self.proxy = FaultProxy(wires)
        stack.callback(self.proxy.close)
        self.primary: Postgres
        self.standby: Postgres
        self.broker: Broker
        self.balancer: Haproxy

    # -- starting

    def start(self, say: Callable[[str], None]) -> None:
        """Start the servers, make users and tables, then every machine's daemons; wait until they run."""
        say("starting RabbitMQ, PostgreSQL with a synchronous standby, HAProxy")
        self.mount(self.folder / "broker", SERVER_DISK_MB)
        self.broker = self.machines.call("core1", self._make_broker)
        self._stack.callback(self.broker.close)
        self.machines.call("core1", self.broker.launch)
        self.primary = self._database("core1")
        self._stack.callback(lambda: self.primary.close())
        self.standby = self._database("core2", self.primary)
        self._stack.callback(lambda: self.standby.close())
        Cluster(self.primary, self.standby).join(DATABASE_SETTINGS)
        self.qianzhi("core1", "database", "init", "--admin", self.admin_url())
        self.qianzhi("core1", "seed")
        self.machines.call("core1", self.broker.wait_ready)
        self.machines.call("core1", lambda: make_users(Chosen(self.config), self.broker))
        text = render(self.site, service=False).replace(
            "    mode tcp\n", f"    mode tcp\n    source {BALANCER}\n"
        )
        self.balancer = self.machines.call("core1", lambda: Haproxy.create(text, entries(self.site)))
        self._stack.callback(self.balancer.close)
        self.machines.call("core1", self.balancer.start)
        say(f"starting {len(self.programs)} daemons on {len(ADDRESSES) - 1} machines")
        for machine in dict.fromkeys(program.machine for program in self.programs.values()):
            self.start_machine(machine)
        self.wait(lambda: not self.not_ready(), START_SECONDS, lambda: f"not ready: {self.not_ready()}")
        fates = [word for name, share in FATES.items() for word in (f"--{name}", str(share))]
        words = ("simulate", "network", NETWORK, *fates, "--late-seconds", str(LATE_SECONDS))
        self.popen("banks", *self.command(*words))

    def start_machine(self, machine: str) -> None:
        """Start a machine's daemons under their supervisord, as an operator does when its power is back."""
        self.running[machine] = self.popen(machine, *self.command("run", "--machine", machine))

    def keep_running(self, machine: str) -> bool:
        """Start a machine's daemons again where that has failed; tell whether they run."""
        if self.running[machine].poll() is None:
            return True
        self.start_machine(machine)
        return False

    def command(self, *words: str) -> list[str]:
        """The command with this configuration."""
        return [sys.executable, "-m", "qianzhi.cli.main", "--config", str(self.config), *words]

    def popen(self, machine: str, *command: str) -> "subprocess.Popen[str]":
        """Start a command on a machine, in that machine's own folder; it ends with us."""
        with (self.folder / machine / "stdout").open("a") as said:
            return self._started(machine, command, said)

    def piped(self, machine: str, *command: str) -> "subprocess.Popen[str]":
        """The same, with what it says for us to read."""
        return self._started(machine, command, subprocess.PIPE)

    def _started(self, machine: str, command: Sequence[str], said: Any) -> "subprocess.Popen[str]":
        folder = self.folder / machine
        hook = str(ROOT / "benchmarks" / "chaos_hook")
        paths = [hook, *filter(None, [os.environ.get("PYTHONPATH")])]
        environment = {**os.environ, "PYTHONPATH": ":".join(paths), "QIANZHI_CHAOS": str(folder / "armed")}
        words = ["setpriv", "--pdeathsig", "TERM", "--", *command]

        def started() -> "subprocess.Popen[str]":
            with (folder / "stderr").open("a") as errors:
                return subprocess.Popen(
                    words, cwd=folder, env=environment, stdout=said, stderr=errors,
                    stdin=subprocess.DEVNULL, text=True, start_new_session=True,
                )  # fmt: skip

        return self.machines.call(machine, started)

    def qianzhi(self, machine: str, *words: str, seconds: float = 120.0) -> str:
        """Run a command on a machine; return what it says.  Raises CommandFailed."""

        def done() -> "subprocess.CompletedProcess[str]":
            folder = self.folder / machine
            return subprocess.run(
                self.command(*words), cwd=folder, capture_output=True, text=True, timeout=seconds
            )

        found = self.machines.call(machine, done)
        if found.returncode:
            raise CommandFailed(f"{' '.join(words[:2])}: {found.stdout}{found.stderr}")
        return str(found.stdout + found.stderr)

    def add_operators(self, passwords: dict[str, str]) -> None:
        """Make the first operators, who choose their passwords at once; the bridges are ready."""
        first, files = next(iter(passwords)), []
        for name, password in passwords.items():
            file = self.folder / "core1" / f"{name}.password"
            file.touch(0o600)
            file.write_text(password + "\n", encoding="utf-8")
            files += ["--new-password-file", str(file)]
            self.qianzhi("core1", "operator", "add", name, *files)
            files = ["--as", first, "--password-file", str(file)]

    def admin_url(self) -> str:
        """The URL of the primary's superuser."""
        return self.primary.url(self.primary.admin_user, "postgres", self.primary.admin_password)

    def _make_broker(self) -> Broker:
        return Broker.create(self.folder / "broker", host=ADDRESSES["core1"], port=5672)

    def _database(self, machine: str, primary: Postgres | None = None) -> Postgres:
        """Make and start a machine's database: the first one, or a standby of the first one."""
        place = Listening(ADDRESSES[machine], 5432, OURS)
        folder = self.folder / f"postgres-{machine}"
        if not folder.is_mount():
            self.mount(folder, SERVER_DISK_MB, run_as())
        if primary is None:
            server = self.machines.call(machine, lambda: Postgres.create(folder, at=place))
        else:
            server = self.machines.call(machine, lambda: Postgres.copied(primary, folder, at=place))
        self.machines.call(machine, server.start)
        return server

    def new_standby(self) -> None:
        """Make the old primary's place a standby of the present one, and let commits wait for it again."""
        machine = self.machine_of(self.standby)
        for left in reversed(range(3)):
            self.standby.close()
            try:
                self.standby = self._database(machine, self.primary)
                Cluster(self.primary, self.standby).join(DATABASE_SETTINGS)
                return
            except (RuntimeError, ServerFailed):  # another fault is at it: once more
                if not left:
                    raise
                shutil.rmtree(self.folder / f"postgres-{machine}" / "data", ignore_errors=True)

    def machine_of(self, server: Postgres) -> str:
        """Which machine a database is on."""
        return next(machine for machine, address in ADDRESSES.items() if address == server.host)

    # -- disks

    def mount(self, folder: Path, megabytes: int, user: str = "") -> None:
        """Give a folder a disk of its own."""
        disk = self.disks[folder] = Disk(folder, megabytes)
        self._stack.callback(disk.remove)
        if user:
            shutil.chown(folder, user)

    # -- who is where

    @property
    def everybody(self) -> tuple[str, ...]:
        """All banks, and the network."""
        return tuple(self.site.banks)

    @property
    def senders(self) -> tuple[str, ...]:
        """The banks that ask us; the network is asked by us."""
        return tuple(bank for bank in self.site.banks if bank != NETWORK)

    @property
    def brokered(self) -> tuple[str, ...]:
        """The banks on queues of the broker."""
        return tuple(bank for bank, place in self.site.banks.items() if place.engine == "rabbitmq")

    @property
    def asking_nodes(self) -> list[str]:
        """The nodes that ask the network for money."""
        return list(self.site.groups[self.site.banks[NETWORK].group].nodes)

    def on(self, machine: str) -> list[Program]:
        """A machine's daemons."""
        return [program for program in self.programs.values() if program.machine == machine]

    def banks_of(self, machine: str) -> tuple[str, ...]:
        """The banks that need what is on a machine."""
        found = dict.fromkeys(bank for program in self.on(machine) for bank in program.banks)
        return self.everybody if machine.startswith("core") else tuple(found)

    def bridges_ready(self) -> bool:
        """Whether every bridge has its database."""
        return not any(lack(self.status(bridge)) for bridge in self.site.bridges)

    # -- looking

    def status(self, daemon: str) -> dict[str, Any]:
        """Ask a daemon how it is; of one that does not answer the state is down."""
        try:
            return dict(ask(self.socket(daemon), "status", timeout_seconds=STATUS_SECONDS))
        except AdminError as error:
            return {"state": "down", "reason": str(error)}

    def socket(self, daemon: str) -> Path:
        """A daemon's admin socket, which can be reached from every machine."""
        return self.folder / self.programs[daemon].machine / "var" / "run" / f"{daemon}.sock"

    def pid(self, daemon: str) -> int:
        """A daemon's process, 0 while it has none."""
        return int(self.status(daemon).get("pid", 0))

    def waiting_messages(self) -> dict[str, int]:
        """The banks' queues in which something waits, with how much; what was put aside is not counted."""
        queues = self.machines.call("core1", lambda: self.broker.manage("GET", "/queues"))
        return {
            queue["name"]: queue["messages"]
            for queue in queues
            if queue.get("messages") and not queue["name"].endswith((".bo", ".dlq"))
        }

    def not_ready(self) -> dict[str, str]:
        """Which daemons are not as they should be, each with what it lacks."""
        lacks = {name: lack(self.status(name)) for name in self.programs}
        return {name: why for name, why in lacks.items() if why}

    def wait(self, so: Callable[[], Any], seconds: float, otherwise: Callable[[], str]) -> None:
        """Wait for something; raises TimeoutError."""
        until = clock.monotonic_seconds() + seconds
        while not so():
            if clock.monotonic_seconds() > until:
                raise TimeoutError(otherwise())
            clock.sleep(0.1)

    # -- doing

    def pause(self, seconds: float) -> None:
        """Let time pass."""
        clock.sleep(seconds)

    def restart(self, program: Program) -> None:
        """Let a daemon drain and stop, and start it again, through its supervisord; raises TimeoutError."""
        name = f"{program.group}:{program.name}"

        def state() -> str:
            found = self.supervisor(program.machine, "getProcessInfo", name)
            return str(found["statename"]) if found else ""

        self.supervisor(program.machine, "stopProcess", name, False)
        self.wait(lambda: state() == "STOPPED", DRAIN_SECONDS, lambda: f"{name} does not stop: {state()}")
        self.supervisor(program.machine, "startProcess", name, False)
        self.wait(lambda: state() in ("RUNNING", "STARTING"), 10, lambda: f"{name} does not start: {state()}")

    def supervisor_pid(self, machine: str) -> int:
        """A machine's supervisord."""
        return int(self.supervisor(machine, "getPID") or 0)

    def faked_clock(self, file: Path) -> dict[str, str]:
        """What lets a daemon's wall clock be what a file says."""
        return {
            "LD_PRELOAD": str(faketime_library()),
            "FAKETIME_TIMESTAMP_FILE": str(file),
            "FAKETIME_CACHE_DURATION": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "DONT_FAKE_MONOTONIC": "1",
        }

    def supervisor(self, machine: str, method: str, *arguments: Any) -> Any:
        """Call a machine's supervisord; None when it cannot be reached or refuses."""
        path = self.folder / machine / "var" / "run" / "supervisor.sock"
        try:
            with xmlrpc.client.ServerProxy("http://localhost", UnixTransport(path)) as proxy:
                return getattr(proxy.supervisor, method)(*arguments)
        except (OSError, xmlrpc.client.Error):
            return None

    def arm(self, daemon: str, given: dict[str, str]) -> None:
        """Lay out an environment for a daemon's next start."""
        path = self.folder / self.programs[daemon].machine / "armed" / daemon
        path.write_text("".join(f"{name}={value}\n" for name, value in given.items()), encoding="utf-8")

    def disarm(self, daemon: str) -> None:
        """Take it back, where nobody took it."""
        (self.folder / self.programs[daemon].machine / "armed" / daemon).unlink(missing_ok=True)

    def taken(self, daemon: str) -> int:
        """Which process took what was laid out last for a daemon, 0 for none; said once."""
        folder = self.folder / self.programs[daemon].machine / "armed"
        for path in folder.glob(f"{daemon}.*"):
            path.unlink()
            return int(path.suffix[1:])
        return 0

    def kill(self, daemon: str) -> int:
        """End a daemon with SIGKILL; return the process that it was."""
        pid = self.pid(daemon)
        if pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return pid

    def stop(self) -> None:
        """Stop every machine's daemons in order."""
        for process in self.running.values():
            process.send_signal(signal.SIGTERM)
        for process in self.running.values():
            process.wait(120)
