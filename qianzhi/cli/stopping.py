"""A machine's daemons stopped through supervisord's own socket: all of a kind at once, fronts first.

supervisord itself would stop one group after the other and look about once a second, which with a front for
each bank takes as many seconds as there are banks.  The socket is for this user alone.
"""

import http.client
import socket
import xmlrpc.client
from itertools import groupby
from pathlib import Path
from typing import Any

from qianzhi.cli.supervisor import STOP_SECONDS, Program
from qianzhi.runtime import clock

ANSWER_SECONDS = 5.0
LOOK_SECONDS = 0.05
ENDED = ("STOPPED", "EXITED", "FATAL")


class UnixConnection(http.client.HTTPConnection):
    """HTTP over a UNIX socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=ANSWER_SECONDS)
        self._path = path

    def connect(self) -> None:
        """Connect to the socket instead of the host."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(ANSWER_SECONDS)
        self.sock.connect(str(self._path))


class UnixTransport(xmlrpc.client.Transport):
    """XML-RPC over a UNIX socket."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path

    def make_connection(self, host: Any) -> http.client.HTTPConnection:
        """Return the connection, a new one where there is none; the host is only a name."""
        self._connection = (host, self._connection[1] or UnixConnection(self._path))
        return super().make_connection(host)


def stop_in_order(path: Path, programs: list[Program]) -> bool:
    """Stop the programs behind a supervisord's socket; False where that could not be done or took too long.

    What stops last starts first: within one priority all are told at once and waited for together.
    """
    later_first = sorted(programs, key=lambda program: -program.priority)
    try:
        with xmlrpc.client.ServerProxy("http://localhost", UnixTransport(path)) as proxy:
            return all(
                stop_together(proxy.supervisor, list(same))
                for _, same in groupby(later_first, key=lambda program: program.priority)
            )
    except (OSError, http.client.HTTPException, xmlrpc.client.Error):
        return False


def stop_together(supervisor: Any, programs: list[Program]) -> bool:
    """Tell some programs to stop, and wait until all have ended."""
    for program in programs:
        try:
            supervisor.stopProcess(f"{program.group}:{program.name}", False)
        except xmlrpc.client.Fault:
            continue  # it does not run, or is being stopped already
    names = {program.name for program in programs}
    until = clock.monotonic_seconds() + STOP_SECONDS
    while clock.monotonic_seconds() < until:
        states = [each["statename"] for each in supervisor.getAllProcessInfo() if each["name"] in names]
        if all(state in ENDED for state in states):
            return True
        clock.sleep(LOOK_SECONDS)
    return False
