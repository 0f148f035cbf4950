"""A private HAProxy with a given configuration, as an unprivileged process in the foreground."""

import shutil
import signal
import subprocess
from pathlib import Path

from simulators.servers.packages import program, require
from simulators.servers.processes import Process, answers, private_folder

READY_SECONDS = 20.0


class Haproxy:
    """One balancer; `entries` are the addresses that its configuration listens on."""

    def __init__(self, folder: Path, entries: list[tuple[str, int]]) -> None:
        self.folder = folder
        self.entries = entries
        self._process = Process(folder / "haproxy.log")

    @classmethod
    def create(cls, config: str, entries: list[tuple[str, int]], folder: Path | None = None) -> "Haproxy":
        """Make a balancer that is not started yet; raises PackagesMissing, ValueError with its words."""
        require("haproxy")
        folder = folder or private_folder("haproxy")
        folder.mkdir(parents=True, exist_ok=True)
        balancer = cls(folder, entries)
        try:
            balancer.configure(config)
        except ValueError:
            balancer.close()
            raise
        return balancer

    @property
    def file(self) -> Path:
        """The configuration's file."""
        return self.folder / "haproxy.cfg"

    def configure(self, config: str) -> None:
        """Write a configuration; raises ValueError with what HAProxy says against it."""
        self.file.write_text(config, encoding="utf-8")
        done = subprocess.run(  # noqa: S603  HAProxy's own check
            [program("haproxy"), "-c", "-f", str(self.file)],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise ValueError(done.stderr.strip() or done.stdout.strip())

    def start(self) -> None:
        """Start it and wait until it listens; raises ServerFailed."""
        self._process.start([program("haproxy"), "-db", "-f", str(self.file)])
        self._process.wait_ready(lambda: all(answers(*entry) for entry in self.entries), READY_SECONDS)

    def stop(self) -> None:
        """End it at once; its connections are cut."""
        self._process.stop(signal.SIGTERM)

    def close(self) -> None:
        """End it and remove its folder."""
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self._process.alive
