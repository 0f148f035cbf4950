"""`qianzhi promote`: the standby becomes the primary, after the old primary has certainly stopped.

Two servers that both take writes would lose money on one of them, so nothing is promoted on a guess: either
the old primary is stopped here, or the operator says that it is, and it must not answer then.
"""

import os
import shlex
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from qianzhi.cli.noting import note
from qianzhi.cli.output import BROKEN, UNREACHABLE, USAGE, CommandError, say

if TYPE_CHECKING:
    from qianzhi.cli.chosen import Chosen

STOP_SECONDS = 10
LISTEN_SECONDS = 3.0
NOTHING_DONE = "nothing was promoted"


def promote_command(chosen: "Chosen", standby: str, stop: "Stop", admin: str) -> None:
    """Stop the old primary or hold the operator to it, then promote `standby` (HOST:PORT of [core])."""
    from crm_bridge.gateway_errors import StoreError
    from crm_bridge.migrations.server import ServerError, look, promote, stand_alone
    from qianzhi.cli.draining import os_user
    from qianzhi.cli.looking import core_of
    from qianzhi.runtime.urls import hosts_of, is_postgres, with_hosts

    site, core = core_of(chosen, "owner")
    hosts = hosts_of(core.database) if is_postgres(core.database) else []
    if standby not in hosts:
        advice = f"[core] database names {', '.join(hosts)}" if hosts else "only PostgreSQL has a standby"
        raise CommandError(USAGE, f"the core has no server {standby}", advice)
    url = with_hosts(core.database, standby)
    try:
        before = look(url)
    except StoreError as error:
        raise CommandError(UNREACHABLE, f"{standby} does not answer: {error}", NOTHING_DONE) from error
    if not before.standby:
        raise CommandError(BROKEN, f"{standby} is a primary already", NOTHING_DONE)
    say(f"{standby} is a standby of version {before.version}")
    stop.carry_out()
    for other in hosts:
        if other != standby:
            _require_stopped(with_hosts(core.database, other), other)
    try:
        seconds = promote(with_hosts(admin or core.database, standby))
        after = look(url)
        if after.settings["synchronous_standby_names"] and admin:
            stand_alone(with_hosts(admin, standby))
            say("it commits alone until it has a standby of its own: synchronous_standby_names is now empty")
    except (StoreError, ServerError) as error:
        raise CommandError(BROKEN, f"{standby} was not promoted: {error}") from error
    say(f"{standby} is the primary now; that took {seconds:.1f} s; bridges and fronts find it by themselves")
    note(site, os_user(), "promoted", {"server": standby, "old_primary": stop.words})
    if after.settings["synchronous_standby_names"] and not admin:
        say(
            "its commits wait for a standby, by synchronous_standby_names: "
            "attach one, or empty the setting (--admin does that)"
        )
    say("the old primary must not start again as it is: make it a standby of the new one (pg_rewind)")


class Stop:
    """How the old primary is stopped: by PostgreSQL's own tool here, by a command, or by hand already."""

    def __init__(self, data: Path | None, command: str, done: bool) -> None:
        self._data = data
        self._command = command
        self._done = done
        if sum((data is not None, bool(command), done)) != 1:
            raise CommandError(
                USAGE,
                "the old primary has to be stopped before the standby is promoted",
                "give one of --stop-data, --stop-command and --primary-is-stopped",
            )

    @property
    def words(self) -> str:
        """How it was stopped, for the audit chain."""
        if self._done:
            return "stopped already, said the operator"
        return f"stopped by {self._command}" if self._command else f"stopped in {self._data}"

    def carry_out(self) -> None:
        """Stop it and wait until it has; raises CommandError where that fails."""
        if self._data is not None:
            self._stop_here(self._data)
        elif self._command:
            _run(shlex.split(self._command))
            say(f"the old primary was stopped by: {self._command}")
        else:
            say("the old primary is stopped, says the operator")

    def _stop_here(self, data: Path) -> None:
        """Stop the server of a data folder of this machine, by force when it does not stop in time."""
        pid = _postmaster(data)
        if pid is None:
            say(f"the old primary in {data} was not running")
            return
        tool = [_pg_ctl(), "stop", "-w", "-t", str(STOP_SECONDS), "-m", "fast", "-D", str(data)]
        owner = data.stat()
        user, group = (owner.st_uid, owner.st_gid) if os.geteuid() == 0 else (None, None)
        stopped = subprocess.run(  # noqa: S603
            tool, capture_output=True, check=False, cwd=data, user=user, group=group
        )
        if stopped.returncode == 0:
            say(f"the old primary in {data} was stopped")
            return
        for each in (pid, *_children(pid)):  # it stands still, or hangs on its disk
            with suppress(ProcessLookupError):
                os.kill(each, signal.SIGKILL)
        say(f"the old primary in {data} did not stop within {STOP_SECONDS} s and was killed")


def _postmaster(data: Path) -> int | None:
    """Return the process of a data folder's server, None where none runs; raises CommandError."""
    if not (data / "PG_VERSION").exists():
        raise CommandError(USAGE, f"{data} is no data folder of PostgreSQL", NOTHING_DONE)
    try:
        pid = int((data / "postmaster.pid").read_text(encoding="utf-8").split("\n", 1)[0])
        os.kill(pid, 0)
    except (FileNotFoundError, ProcessLookupError):
        return None
    except (OSError, ValueError) as error:
        raise CommandError(UNREACHABLE, f"{data} cannot be looked into: {error}", NOTHING_DONE) from error
    return pid


def _children(pid: int) -> Iterator[int]:
    for path in Path("/proc").glob(f"{pid}/task/*/children"):
        yield from (int(child) for child in path.read_text(encoding="ascii").split())


def _pg_ctl() -> str:
    """Return the newest pg_ctl of this machine; raises CommandError."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_ctl"), key=lambda path: int(path.parts[4]))
    tool = str(found[-1]) if found else shutil.which("pg_ctl")
    if tool is None:
        raise CommandError(UNREACHABLE, "PostgreSQL's pg_ctl is not on this machine", NOTHING_DONE)
    return tool


def _run(command: list[str]) -> None:
    """Run what stops the old primary; raises CommandError with what it says."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    except OSError as error:
        raise CommandError(UNREACHABLE, f"{command[0]}: {error.strerror}", NOTHING_DONE) from error
    if done.returncode:
        said = (done.stderr or done.stdout).strip().rpartition("\n")[2]
        raise CommandError(UNREACHABLE, f"the old primary could not be stopped: {said}", NOTHING_DONE)


def _require_stopped(url: str, host: str) -> None:
    """Raise CommandError when a server answers that should be stopped; one that is a standby may run."""
    from crm_bridge.gateway_errors import RetryableError
    from crm_bridge.migrations.server import look

    try:
        stopped = look(url).standby
    except RetryableError:
        stopped = not _listens(host)  # one that stands still takes connections, and will go on some day
    if not stopped:
        raise CommandError(BROKEN, f"{host} is not stopped: it still listens there", NOTHING_DONE)


def _listens(host: str) -> bool:
    name, _, port = host.rpartition(":")
    try:
        socket.create_connection((name or host, int(port) if name else 5432), LISTEN_SECONDS).close()
    except OSError:
        return False
    return True
