"""A private PostgreSQL: one server, or a primary with a standby that every commit waits for.

PostgreSQL refuses to run as root; then its processes are those of the Debian package's user `postgres`.
"""

import contextlib
import itertools
import json
import os
import secrets
import shutil
import signal
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

from simulators.free_ports import free_port
from simulators.servers.packages import postgres_programs, require
from simulators.servers.processes import Process, give, private_folder, wait_until

READY_SECONDS = 60.0
STOP_SECONDS = 60.0
ADMIN = "postgres"
STATE = "postgres.json"
STANDBY = "standby"

CONFIG = """\
listen_addresses = '{host}'
port = {port}
unix_socket_directories = '{folder}'
shared_buffers = 64MB
max_connections = 100
max_wal_senders = 5
wal_keep_size = 64MB
wal_sender_timeout = 10s
wal_receiver_timeout = 10s
wal_retrieve_retry_interval = 1s
wal_level = replica
hot_standby = on
password_encryption = scram-sha-256
log_line_prefix = '%m [%p] %u@%d '
"""

ACCESS = """\
local all all trust
host all all {network} scram-sha-256
host replication all {network} scram-sha-256
"""


class Listening(NamedTuple):
    """Where a server listens (port 0: a free one), and the network from which it lets clients in."""

    host: str = "127.0.0.1"
    port: int = 0
    network: str = "127.0.0.1/32"


HERE = Listening()


class Postgres:
    """One server; `start` and `stop` may follow each other."""

    def __init__(self, folder: Path, state: dict[str, Any], *, lasting: bool = False) -> None:
        self.folder = folder
        self.host: str = state["host"]
        self.port: int = state["port"]
        self.admin_user = ADMIN
        self.admin_password: str = state["password"]
        self._state = state
        self._user = run_as()
        self._names = itertools.count(1)
        self._process = Process(folder / "server.log", lasting=lasting, pid=state.get("pid", 0))

    @classmethod
    def create(
        cls,
        folder: Path | None = None,
        *,
        settings: Sequence[str] = (),
        at: Listening = HERE,
        password: str = "",
        lasting: bool = False,
    ) -> "Postgres":
        """Make a server that is not started yet; `settings` are further lines of its postgresql.conf.

        A given folder must be one that the user of the processes can enter.  Raises PackagesMissing.
        """
        server = cls._empty(folder, at, password, lasting)
        secret = server.folder / "password"
        secret.write_text(server.admin_password, encoding="ascii")
        give(secret, server._user)
        command = ["initdb", "-D", str(server.data), "-U", ADMIN, "-E", "UTF8", "--no-locale", "-N"]
        server._run(*command, "--auth-local=trust", "--auth-host=scram-sha-256", f"--pwfile={secret}")
        secret.unlink()
        server.configure(settings)
        return server

    @classmethod
    def copied(cls, primary: "Postgres", folder: Path | None = None, at: Listening = HERE) -> "Postgres":
        """Make a standby of a running server, not started yet."""
        server = cls._empty(folder, at, primary.admin_password, lasting=False)
        login = f"user={ADMIN} password={primary.admin_password} application_name={STANDBY}"
        source = f"host={primary.host} port={primary.port} {login}"
        server._run("pg_basebackup", "-D", str(server.data), "-d", source, "-R", "-X", "stream", "-c", "fast")
        server.configure(())
        return server

    @classmethod
    def _empty(cls, folder: Path | None, at: Listening, password: str, lasting: bool) -> "Postgres":
        require("postgresql")
        folder = folder or private_folder("postgres", run_as())
        folder.mkdir(parents=True, exist_ok=True)
        give(folder, run_as())
        state: dict[str, Any] = at._asdict()
        state.update(port=at.port or free_port(), password=password or secrets.token_hex(12))
        return cls(folder, state, lasting=lasting)

    @classmethod
    def attach(cls, folder: Path) -> "Postgres":
        """Return the lasting server of a folder."""
        return cls(folder, json.loads((folder / STATE).read_text(encoding="utf-8")), lasting=True)

    @property
    def data(self) -> Path:
        """The server's own data folder."""
        return self.folder / "data"

    def configure(self, settings: Sequence[str]) -> None:
        """Write the configuration with these further lines; it counts from the next start or `reload`."""
        text = CONFIG.format(host=self.host, port=self.port, folder=self.folder)
        access = ACCESS.format(network=self._state["network"])
        for name, content in (
            ("postgresql.conf", "\n".join([text, *settings, ""])),
            ("pg_hba.conf", access),
        ):
            path = self.data / name
            path.write_text(content, encoding="utf-8")
            give(path, self._user)

    def start(self) -> None:
        """Start the server and wait until it takes connections; raises ServerFailed."""
        self._process.start(
            [str(postgres_programs() / "postgres"), "-D", str(self.data)],
            environment={"PATH": os.environ.get("PATH", ""), "LANG": "C.UTF-8"},
            user=self._user,
            ended_by=signal.SIGINT,
        )
        self._state["pid"] = self._process.pid
        state = self.folder / STATE
        state.write_text(json.dumps(self._state), encoding="utf-8")
        state.chmod(0o600)
        self._process.wait_ready(self._serves, READY_SECONDS)

    def stop(self) -> None:
        """Stop the server in order; clients are cut off."""
        self._process.stop(signal.SIGINT, STOP_SECONDS)

    def kill(self) -> None:
        """End the server as a crash does: its clients find nobody, its next start recovers."""
        self._process.stop(signal.SIGQUIT, STOP_SECONDS)

    def suspend(self) -> None:
        """Let all of the server's processes stand still, connections open, until `resume`."""
        self._signal_all(signal.SIGSTOP)

    def resume(self) -> None:
        """Let them go on."""
        self._signal_all(signal.SIGCONT)

    def reload(self) -> None:
        """Let a running server read its configuration again."""
        self._process.send(signal.SIGHUP)

    def promote(self) -> None:
        """Make a running standby the primary, and wait until it is."""
        self._run("pg_ctl", "promote", "-w", "-D", str(self.data))

    def close(self) -> None:
        """End the server and remove its folder."""
        self._process.stop(signal.SIGQUIT)
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def alive(self) -> bool:
        """Whether the server's process runs."""
        return self._process.alive

    @property
    def pid(self) -> int:
        """The process id of the server's first process."""
        return self._process.pid

    def new_database(self) -> str:
        """Make an empty database; return the superuser's URL of it, with the password in it."""
        name = f"t{os.getpid()}_{next(self._names)}"
        self.psql(f'CREATE DATABASE "{name}"')
        return self.url(ADMIN, name, self.admin_password)

    def url(self, user: str, database: str, password: str = "") -> str:
        """Return the URL (postgresql://…) under which a user reaches a database."""
        login = f"{quote(user, safe='')}:{quote(password, safe='')}" if password else quote(user, safe="")
        return f"postgresql://{login}@{self.host}:{self.port}/{database}"

    def psql(self, statement: str, database: str = "postgres") -> str:
        """Run a statement as the superuser over the local socket; return the rows, `|` between columns."""
        return self._run(
            "psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-h", str(self.folder), "-p", str(self.port),
            "-U", ADMIN, "-d", database, "-c", statement,
        ).strip()  # fmt: skip

    def _serves(self) -> bool:
        arguments = ["-q", "-h", str(self.folder), "-p", str(self.port)]
        return (
            subprocess.run(  # noqa: S603  PostgreSQL's own tool
                [str(postgres_programs() / "pg_isready"), *arguments], check=False, stdout=subprocess.DEVNULL
            ).returncode
            == 0
        )

    def _run(self, tool: str, *arguments: str) -> str:
        """Run one of PostgreSQL's tools as the server's user; raises RuntimeError with what it says."""
        command = [str(postgres_programs() / tool), *arguments]
        done = subprocess.run(  # noqa: S603  PostgreSQL's own tools
            [*as_user(self._user), *command], stdin=subprocess.DEVNULL, capture_output=True, text=True,
            cwd=self.folder, check=False,
        )  # fmt: skip
        if done.returncode:
            raise RuntimeError(f"{tool}: {done.stderr.strip() or done.stdout.strip()}")
        return done.stdout

    def _signal_all(self, number: signal.Signals) -> None:
        for pid in [self.pid, *children(self.pid)]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)


class Cluster:
    """A primary and its synchronous standby: a commit is answered when both have it on disk."""

    def __init__(self, primary: Postgres, standby: Postgres) -> None:
        self.primary = primary
        self.standby = standby

    @classmethod
    def create(cls, *, settings: Sequence[str] = (), at: Sequence[Listening] = (HERE, HERE)) -> "Cluster":
        """Make both and start both; `primary` is the writing one."""
        primary = Postgres.create(settings=settings, at=at[0])
        primary.start()
        standby = Postgres.copied(primary, at=at[1])
        standby.start()
        cluster = cls(primary, standby)
        cluster.join(settings)
        return cluster

    def join(self, settings: Sequence[str] = ()) -> None:
        """Let every commit of the running primary wait for the running standby, from now on."""
        self.primary.configure([*settings, f"synchronous_standby_names = '{STANDBY}'"])
        self.primary.reload()
        wait_until(self.synchronous, READY_SECONDS, "the standby is not synchronous")

    def synchronous(self) -> bool:
        """Whether every commit on the primary waits for the standby now."""
        return self.primary.psql("SELECT sync_state FROM pg_stat_replication") == "sync"

    @property
    def ports(self) -> str:
        """Both addresses as a connection URL names them."""
        return ",".join(f"{server.host}:{server.port}" for server in (self.primary, self.standby))

    def url(self, user: str, database: str, password: str = "") -> str:
        """Return a URL that names both and asks for the one that writes."""
        login = f"{quote(user, safe='')}:{quote(password, safe='')}" if password else quote(user, safe="")
        return f"postgresql://{login}@{self.ports}/{database}?target_session_attrs=read-write"

    def close(self) -> None:
        """End both and remove their folders."""
        self.standby.close()
        self.primary.close()


def run_as() -> str:
    """Return the user whose processes the server's are; empty for our own."""
    return "postgres" if os.geteuid() == 0 else ""


def as_user(user: str) -> list[str]:
    """Return the words that let a command run as a user."""
    return ["setpriv", "--reuid", user, "--regid", user, "--init-groups", "--"] if user else []


def children(pid: int) -> Iterator[int]:
    """Yield the processes that a process has started."""
    for path in Path("/proc").glob(f"{pid}/task/*/children"):
        yield from (int(child) for child in path.read_text(encoding="ascii").split())
