"""A private RabbitMQ node: its own folder, ports, epmd and cookie; the machine's broker is not touched."""

import base64
import http.client
import itertools
import json
import os
import secrets
import shutil
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from simulators.free_ports import free_ports
from simulators.servers.packages import RABBIT_ROOT, program, require
from simulators.servers.processes import Process, private_folder

READY_SECONDS = 120.0  # a loaded machine of two cores
STOP_SECONDS = 60.0
ADMIN = "admin"
STATE = "broker.json"
ADVANCED = Path(__file__).parents[2] / "config" / "rabbitmq-advanced.config"

CONFIG = """\
listeners.tcp.1 = {host}:{port}
management.tcp.ip = {host}
management.tcp.port = {management_port}
loopback_users = none
default_user = {admin}
default_pass = {password}
disk_free_limit.absolute = 100MB
vm_memory_high_watermark.absolute = 1GB
"""


# The log of a broker in use, on the console.
TO_FILE = "{file, [\n        {level, info},"
TO_CONSOLE = "{file, [{file, false}]},\n    {console, [\n        {enabled, true},\n        {level, warning},"


class Broker:
    """One node; `start` and `stop` may follow each other, and what is durable stays.

    `host`, `port`, `management_port`, `admin_user` and `admin_password` say how to reach it.
    """

    def __init__(self, folder: Path, state: dict[str, Any], *, lasting: bool = False) -> None:
        self.folder = folder
        self.host: str = state["host"]
        self.port: int = state["port"]
        self.management_port: int = state["management_port"]
        self.admin_user = ADMIN
        self.admin_password: str = state["password"]
        self._state = state
        self._names = itertools.count(1)
        self._epmd = Process(folder / "epmd.log", lasting=lasting, pid=state.get("epmd", 0))
        self._node = Process(folder / "node.log", lasting=lasting, pid=state.get("pid", 0))

    @classmethod
    def create(
        cls,
        folder: Path | None = None,
        *,
        settings: Sequence[str] = (),
        host: str = "127.0.0.1",
        port: int = 0,
        password: str = "",
        lasting: bool = False,
    ) -> "Broker":
        """Make a node that is not started yet; `settings` are further lines of its rabbitmq.conf.

        Raises PackagesMissing.
        """
        require("rabbitmq-server")
        folder = folder or private_folder("broker")
        folder.mkdir(parents=True, exist_ok=True)
        own, management, distribution, epmd = free_ports(4)
        state = {
            "host": host,
            "port": port or own,
            "management_port": management,
            "distribution_port": distribution,
            "epmd_port": epmd,
            "password": password or secrets.token_hex(12),
        }
        broker = cls(folder, state, lasting=lasting)
        (folder / "enabled_plugins").write_text("[rabbitmq_management].\n", encoding="ascii")
        broker.configure(settings)
        return broker

    @classmethod
    def attach(cls, folder: Path) -> "Broker":
        """Return the lasting node of a folder."""
        return cls(folder, json.loads((folder / STATE).read_text(encoding="utf-8")), lasting=True)

    def configure(self, settings: Sequence[str]) -> None:
        """Write the configuration with these further lines; it counts from the next start."""
        text = CONFIG.format(
            host=self.host,
            port=self.port,
            management_port=self.management_port,
            admin=ADMIN,
            password=self.admin_password,
        )
        (self.folder / "rabbitmq.conf").write_text("\n".join([text, *settings, ""]), encoding="utf-8")
        advanced = ADVANCED.read_text(encoding="utf-8").replace(TO_FILE, TO_CONSOLE)
        (self.folder / "advanced.config").write_text(advanced, encoding="utf-8")

    @property
    def environment(self) -> dict[str, str]:
        """What the node and its command line tools must have in their environment."""
        return {
            "PATH": os.environ.get("PATH", "") + ":/usr/sbin:/sbin",
            "LANG": "C.UTF-8",
            "HOME": str(self.folder),
            "RUNNING_UNDER_SYSTEMD": "true",  # the script then becomes the node instead of minding it
            "RABBITMQ_NODENAME": f"qianzhi-{self.port}@localhost",
            "RABBITMQ_DIST_PORT": str(self._state["distribution_port"]),
            "ERL_EPMD_PORT": str(self._state["epmd_port"]),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_MNESIA_BASE": str(self.folder / "mnesia"),
            "RABBITMQ_LOG_BASE": str(self.folder / "log"),
            "RABBITMQ_PID_FILE": str(self.folder / "pid"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.folder / "enabled_plugins"),
            "RABBITMQ_CONFIG_FILE": str(self.folder / "rabbitmq"),
            "RABBITMQ_ADVANCED_CONFIG_FILE": str(self.folder / "advanced.config"),
            "RABBITMQ_CONF_ENV_FILE": "/dev/null",
            # Threads that wait for work by spinning would take the two cores from everybody else.
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}"
            " +sbwt none +sbwtdcpu none +sbwtdio none",
        }

    def start(self) -> None:
        """Start the node and wait until it serves; raises ServerFailed."""
        self.launch()
        self.wait_ready()

    def launch(self) -> None:
        """Start the node and do not wait."""
        epmd = [program("epmd"), "-port", str(self._state["epmd_port"]), "-address", "127.0.0.1"]
        if not self._epmd.alive:
            self._epmd.start(epmd, environment=self.environment)
        self._node.start([str(RABBIT_ROOT / "rabbitmq-server")], environment=self.environment)
        self._state.update(pid=self._node.pid, epmd=self._epmd.pid)
        state = self.folder / STATE
        state.write_text(json.dumps(self._state), encoding="utf-8")
        state.chmod(0o600)

    def wait_ready(self) -> None:
        """Wait until the node serves; raises ServerFailed."""
        self._node.wait_ready(self._serves, READY_SECONDS)

    def stop(self) -> None:
        """Stop the node in order; queues and their persistent messages stay in the folder."""
        self._node.stop(seconds=STOP_SECONDS)

    def kill(self) -> None:
        """End the node as a power loss would."""
        self._node.stop(signal.SIGKILL)

    def suspend(self) -> None:
        """Let the node stand still, its connections open (SIGSTOP), until `resume`."""
        self._node.send(signal.SIGSTOP)

    def resume(self) -> None:
        """Let the node go on after `suspend`."""
        self._node.send(signal.SIGCONT)

    def close(self) -> None:
        """End the node and its epmd and remove the folder."""
        self.kill()
        self._epmd.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def alive(self) -> bool:
        """Whether the node's process runs."""
        return self._node.alive

    @property
    def pid(self) -> int:
        """The node's process id."""
        return self._node.pid

    def new_vhost(self) -> str:
        """Make an empty virtual host on which the administrator may do everything; return its name."""
        name = f"v{os.getpid()}-{next(self._names)}"
        self.add_vhost(name)
        return name

    def add_vhost(self, name: str) -> None:
        """Make a virtual host of a name on which the administrator may do everything."""
        self.manage("PUT", f"/vhosts/{quote(name, safe='')}", {})
        self.permit(name, ADMIN, ".*", ".*", ".*")

    def delete_vhost(self, name: str) -> None:
        """Remove a virtual host with all that is in it; its connections are closed."""
        self.manage("DELETE", f"/vhosts/{quote(name, safe='')}")

    def add_user(self, name: str, password: str, tags: str = "") -> None:
        """Make a user, or set its password."""
        self.manage("PUT", f"/users/{quote(name, safe='')}", {"password": password, "tags": tags})

    def permit(self, vhost: str, user: str, configure: str, write: str, read: str) -> None:
        """Set what a user may do on a virtual host, by patterns of names."""
        place = f"/permissions/{quote(vhost, safe='')}/{quote(user, safe='')}"
        self.manage("PUT", place, {"configure": configure, "write": write, "read": read})

    def manage(self, method: str, place: str, content: object = None) -> Any:
        """Call the management interface below /api; return what it answers, None for an empty answer.

        Raises RuntimeError with the answer when it is an error.
        """
        connection = http.client.HTTPConnection(self.host, self.management_port, timeout=30)
        login = base64.b64encode(f"{ADMIN}:{self.admin_password}".encode()).decode()
        headers = {"Authorization": f"Basic {login}", "Content-Type": "application/json"}
        try:
            connection.request(
                method, f"/api{place}", None if content is None else json.dumps(content), headers
            )
            answer = connection.getresponse()
            body = answer.read()
        finally:
            connection.close()
        if answer.status >= 400:
            raise RuntimeError(f"{method} {place}: {answer.status} {body.decode(errors='replace')}")
        return json.loads(body) if body else None

    def rabbitmqctl(self, *arguments: str) -> str:
        """Run the broker's command line tool on the node (some two seconds); return what it prints."""
        return subprocess.run(  # noqa: S603  the broker's own tool
            [str(RABBIT_ROOT / "rabbitmqctl"), "--quiet", *arguments],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=True,
        ).stdout

    def _serves(self) -> bool:
        try:
            return bool(self.manage("GET", f"/health/checks/port-listener/{self.port}")["status"] == "ok")
        except (OSError, http.client.HTTPException, RuntimeError):
            return False
