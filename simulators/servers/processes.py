"""A private server's process: started as whom it must be, ended by its id, and with whoever started it."""

import contextlib
import grp
import os
import pwd
import select
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from qianzhi.runtime import clock

LOOK_SECONDS = 0.05


class ServerFailed(Exception):  # noqa: N818  it is what the server did
    """A server ended, or was not ready in its time; the text holds the end of its log."""


def put_first(pid: int, nice: int = -10) -> None:
    """Let a process run before others: one that stands for the wire, or for machines beyond it.

    Where the kernel shares the processor out among sessions first, its session comes first too.  Without the
    right to it nothing changes.
    """
    with contextlib.suppress(PermissionError, ProcessLookupError):
        os.setpriority(os.PRIO_PROCESS, pid, nice)
    with contextlib.suppress(OSError):
        Path(f"/proc/{pid}/autogroup").write_text(str(nice), encoding="ascii")


class Process:
    """One process of a server, from `start` to `stop`; `pid` is 0 while there is none.

    A `lasting` one outlives the process that started it and is found again by its process id.
    """

    def __init__(self, log: Path, *, lasting: bool = False, pid: int = 0) -> None:
        self.pid = pid
        self._log = log
        self._lasting = lasting
        self._child: subprocess.Popen[bytes] | None = None

    def start(
        self,
        command: list[str],
        *,
        environment: Mapping[str, str] | None = None,
        user: str = "",
        ended_by: signal.Signals = signal.SIGTERM,
    ) -> None:
        """Start the command; the kernel sends it `ended_by` when the thread that called this ends."""
        words = ["setpriv"]
        if not self._lasting:
            words += ["--pdeathsig", ended_by.name.removeprefix("SIG")]
        if user:
            words += ["--reuid", user, "--regid", str(pwd.getpwnam(user).pw_gid), "--init-groups"]
        with self._log.open("ab") as log:
            self._child = subprocess.Popen(  # noqa: S603  the servers' own command lines
                [*words, "--", *command] if len(words) > 1 else command,
                env=None if environment is None else dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                cwd=self._log.parent,
            )
        self.pid = self._child.pid

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        if self._child is not None:
            return self._child.poll() is None
        if not self.pid:
            return False
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, 0)
            return True
        return False

    def send(self, number: signal.Signals) -> None:
        """Send a signal, if the process is still there."""
        if self.alive:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def stop(self, number: signal.Signals = signal.SIGTERM, seconds: float = 30.0) -> None:
        """Send a signal and wait for the end; after `seconds` the process is killed."""
        if self.alive:
            with contextlib.suppress(ProcessLookupError):
                handle = os.pidfd_open(self.pid)
                try:
                    self.send(number)
                    if not select.select([handle], [], [], seconds)[0]:
                        self.send(signal.SIGKILL)
                        select.select([handle], [], [], seconds)
                finally:
                    os.close(handle)
        if self._child is not None:
            self._child.wait(seconds)
        self.pid, self._child = 0, None

    def wait_ready(self, ready: Callable[[], bool], seconds: float) -> None:
        """Wait until `ready()`; raises ServerFailed when the process ends before, or the time does."""
        until = clock.monotonic_seconds() + seconds
        while not ready():
            if not self.alive:
                raise ServerFailed(f"ended at its start:\n{self.said()}")
            if clock.monotonic_seconds() > until:
                raise ServerFailed(f"not ready after {seconds:g} s:\n{self.said()}")
            clock.sleep(LOOK_SECONDS)

    def said(self) -> str:
        """Return the end of the log."""
        lines = (
            self._log.read_text(encoding="utf-8", errors="replace").splitlines() if self._log.exists() else []
        )
        return "\n".join(lines[-20:])


def wait_until(condition: Callable[[], bool], seconds: float, otherwise: str) -> None:
    """Wait for a condition; raises ServerFailed with a text when it does not come in time."""
    until = clock.monotonic_seconds() + seconds
    while not condition():
        if clock.monotonic_seconds() > until:
            raise ServerFailed(f"{otherwise} after {seconds:g} s")
        clock.sleep(LOOK_SECONDS)


def private_folder(name: str, user: str = "") -> Path:
    """Make an empty folder that only we, or a user of less rights than ours, can enter."""
    folder = Path(tempfile.mkdtemp(prefix=f"qianzhi-{name}-"))
    give(folder, user)
    return folder


def give(path: Path, user: str) -> None:
    """Make a user the owner of a path."""
    if user:
        shutil.chown(path, user, grp.getgrgid(pwd.getpwnam(user).pw_gid).gr_name)


def answers(host: str, port: int) -> bool:
    """Tell whether somebody listens on an address."""
    try:
        with socket.create_connection((host, port), 1):
            return True
    except OSError:
        return False
