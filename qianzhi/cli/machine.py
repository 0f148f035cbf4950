"""This machine's daemons under one supervisord that is a child of ours: started, waited for, stopped.

supervisord gets a session of its own, so that Ctrl-C reaches only us and the end is in order; should we be
killed, the kernel ends supervisord, and each daemon ends with its supervisord.
"""

import ctypes
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qianzhi.cli.daemons import layout_of, programs_of, statuses
from qianzhi.cli.output import BROKEN, USAGE, CommandError
from qianzhi.cli.ports import needs, taken
from qianzhi.cli.supervisor import STOP_SECONDS, render, write
from qianzhi.runtime import clock

if TYPE_CHECKING:
    from qianzhi.cli.main import Chosen
    from qianzhi.link.tables import Site

PR_SET_PDEATHSIG = 1
READY_SECONDS = 30.0
LOOK_SECONDS = 0.05


class Machine:
    """One supervisord and its daemons, from `start` to `stop`."""

    def __init__(self, chosen: "Chosen", site: "Site", name: str = "") -> None:
        from qianzhi.link.site import data_folder

        self.site = site
        self.name = name
        self.data = data_folder(site)
        self._chosen = chosen
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start supervisord; raises CommandError naming whoever holds a port that is needed."""
        self.refuse_taken_ports()
        here = self.data / "supervisor.d"
        for folder in ("run", "log"):
            (self.data / folder).mkdir(parents=True, exist_ok=True)
        command = (sys.executable, "-m", "qianzhi.cli.main")
        layout = layout_of(self._chosen, self.site, here, command)
        write(here, render(layout, programs_of(self.site, self.name)))
        with (self.data / "log" / "supervisord.out").open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603  our own interpreter
                [sys.executable, "-m", "supervisor.supervisord", "-n", "-c", str(here / "supervisord.conf")],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=end_with_parent,
            )

    def refuse_taken_ports(self) -> None:
        """Raise CommandError when a port that is needed is taken."""
        found = taken(needs(self.site, self.name))
        if found:
            lines = [f"port {need.port} for {need.daemon} is held by {who}" for need, who in found]
            advice = "stop that process, or give the daemon another port in site.toml"
            raise CommandError(USAGE, "; ".join(lines), advice)

    def wait_ready(self, seconds: float = READY_SECONDS) -> None:
        """Wait until every daemon says that it runs; raises CommandError when one does not in time."""
        until = clock.monotonic_seconds() + seconds
        while waiting := self.not_running():
            if not self.alive:
                raise CommandError(BROKEN, "supervisord has ended", f"see {self.data / 'log'}")
            if clock.monotonic_seconds() > until:
                names = ", ".join(f"{name} ({reason})" for name, reason in waiting.items())
                what = f"not running after {seconds:g} s: {names}"
                raise CommandError(BROKEN, what, f"see {self.data / 'log'}")
            clock.sleep(LOOK_SECONDS)

    def not_running(self) -> dict[str, str]:
        """Return the daemons that do not say that they run, each with what is known."""
        found = dict(statuses(self.site, self.name))
        return {
            name: str(status.get("reason", status["state"]))
            for name, status in found.items()
            if status["state"] != "running"
        }

    def statuses(self) -> dict[str, dict[str, Any]]:
        """Ask every daemon how it is."""
        return dict(statuses(self.site, self.name))

    @property
    def alive(self) -> bool:
        """Whether supervisord runs."""
        return self._process is not None and self._process.poll() is None

    def stop(self) -> None:
        """Stop supervisord, which drains and stops its daemons; wait for the end of all."""
        process, self._process = self._process, None
        if process is None:
            return
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_SECONDS + 10)
        except subprocess.TimeoutExpired:
            process.kill()  # the daemons end with it
            process.wait()


def end_with_parent() -> None:
    """Ask the kernel, in the child and before it becomes supervisord, to end it with its parent."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def log_tail(folder: Path, name: str, lines: int = 5) -> str:
    """Return the last lines of a daemon's log, for a message that says why it does not run."""
    try:
        text = (folder / f"{name}.log").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    return "\n".join(text.splitlines()[-lines:])
