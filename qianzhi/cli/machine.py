"""This machine's daemons under one supervisord that is a child of ours: started, waited for, stopped.

supervisord gets a session of its own, so that Ctrl-C reaches only us and the end is in order; should we be
killed, the kernel ends supervisord, and each daemon ends with its supervisord.
"""

import ctypes
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

from qianzhi.cli.daemons import layout_of, programs_of, status_of, statuses
from qianzhi.cli.output import BROKEN, USAGE, CommandError
from qianzhi.cli.ports import Need, needs, taken
from qianzhi.cli.stopping import stop_in_order
from qianzhi.cli.supervisor import STOP_SECONDS, render, write
from qianzhi.runtime import clock

if TYPE_CHECKING:
    from qianzhi.cli.chosen import Chosen
    from qianzhi.link.tables import Site

PR_SET_PDEATHSIG = 1
# So long may pass without one more daemon ready: all start at once, so that under load none is for minutes.
READY_SECONDS, READY_SECONDS_EACH = 60.0, 3.0
LOOK_SECONDS = 0.1
HOLDERS_MAX = 3


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
            advice = (
                "end that process (Ctrl-C where a `run` goes on), or give the daemons other ports in the site"
            )
            raise CommandError(USAGE, taken_words(found), advice)

    def wait_ready(self) -> None:
        """Wait until every daemon runs and, where all are on this machine, has its peers.

        Raises CommandError when none of those that are waited for has got there for a while.
        """
        names = [program.name for program in programs_of(self.site, self.name)]
        seconds = READY_SECONDS + READY_SECONDS_EACH * len(programs_of(self.site))
        until = clock.monotonic_seconds() + seconds
        while waiting := self.waiting(names):
            if len(waiting) < len(names):
                names = list(waiting)  # who is ready is not asked again: others still need the processor
                until = clock.monotonic_seconds() + seconds
            if not self.alive:
                raise CommandError(BROKEN, "supervisord has ended", f"see {self.data / 'log'}")
            if clock.monotonic_seconds() > until:
                said = "\n         ".join(f"{name}: {why}" for name, why in waiting.items())
                found = f"nothing became ready for {seconds:g} s:\n         {said}"
                raise CommandError(BROKEN, found, f"see {self.data / 'log'}")
            clock.sleep(LOOK_SECONDS)

    def waiting(self, names: list[str]) -> dict[str, str]:
        """Return those of some daemons that are not ready, each with what it lacks."""
        lacks = {name: self.lack(self.status(name)) for name in names}
        return {name: why for name, why in lacks.items() if why}

    def lack(self, status: dict[str, Any]) -> str:
        """Say what a daemon still lacks, empty when it is ready."""
        if status["state"] != "running":
            return str(status.get("reason", status["state"]))
        missing = [] if self.name else missing_peers(status)
        return f"waits for {', '.join(missing)}" if missing else ""

    def statuses(self) -> dict[str, dict[str, Any]]:
        """Ask every daemon how it is."""
        return dict(statuses(self.site, self.name))

    def status(self, daemon: str) -> dict[str, Any]:
        """Ask one daemon how it is."""
        return status_of(self.site, daemon)

    @property
    def alive(self) -> bool:
        """Whether supervisord runs."""
        return self._process is not None and self._process.poll() is None

    def stop(self) -> None:
        """Stop the daemons, which drain, and then supervisord, which stops what is left; wait for the end."""
        process, self._process = self._process, None
        if process is None:
            return
        if process.poll() is None:
            stop_in_order(self.data / "run" / "supervisor.sock", programs_of(self.site, self.name))
            process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_SECONDS + 10)
        except subprocess.TimeoutExpired:
            process.kill()  # the daemons end with it
            process.wait()


def taken_words(found: list[tuple[Need, str]]) -> str:
    """Say which ports are taken, a line for each daemon and holder; of many the first few."""
    held: dict[tuple[str, str], list[str]] = {}
    for need, who in found:
        held.setdefault((need.daemon, who), []).append(str(need.port))
    lines = [
        f"{'ports' if len(ports) > 1 else 'port'} {', '.join(ports)} for {daemon}: held by {who}"
        for (daemon, who), ports in held.items()
    ]
    more = len(lines) - HOLDERS_MAX
    if more > 1:
        lines[HOLDERS_MAX:] = [f"and the ports of {more} more daemons"]
    return "\n         ".join(lines)


def missing_peers(status: dict[str, Any]) -> list[str]:
    """Return the peers towards the core that a daemon is not linked with."""
    if "nodes" in status:  # a front
        return [name for name, state in status["nodes"].items() if state != "up"]
    if "room" in status:  # a node
        peers = status["peers"].items()
        return [name for name, peer in peers if peer["role"] == "bridge" and not peer["up"]]
    return []


def end_with_parent() -> None:
    """Ask the kernel, in the child and before it becomes supervisord, to end it with its parent."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
