"""What a daemon's process is: its reactor, its rights, and its tie to the supervisord that started it.

A daemon that supervisord started dies with it: the kernel sends SIGTERM when the parent ends, because a child
that lived on would keep the ports from the next supervisord.
"""

import ctypes
import os
import signal
import sys
from pathlib import Path
from typing import Any

from qianzhi.runtime import clock

_PR_SET_PDEATHSIG = 1


class DaemonError(Exception):
    """The daemon cannot start here; the text says what to do about it."""


def install_reactor() -> Any:
    """Install the epoll reactor of daemons, or check that it is the one in place, and return it.

    Its timers run on the monotonic clock (Twisted's own choice is the wall clock), so that a clock change
    neither stalls nor hastens them.
    """
    from twisted.internet.epollreactor import EPollReactor
    from twisted.internet.main import installReactor

    from qianzhi.runtime.reactor import WakeReactor

    if "twisted.internet.reactor" not in sys.modules:
        installReactor(WakeReactor())  # type: ignore[no-untyped-call]
    from twisted.internet import reactor as installed

    reactor: Any = installed
    if not isinstance(reactor, EPollReactor):
        raise DaemonError(f"daemons run on the epoll reactor, but {type(reactor).__name__} is installed")
    reactor.seconds = clock.monotonic_seconds
    return reactor


def refuse_root(production: bool) -> None:
    """Raise DaemonError in production for a process with root's rights."""
    if production and os.geteuid() == 0:
        raise DaemonError("in production daemons do not run as root; start them as a user of their own")


def die_with_supervisor() -> None:
    """Under supervisord, ask the kernel for SIGTERM when supervisord ends, and leave if it has ended
    already."""
    if "SUPERVISOR_ENABLED" not in os.environ:
        return
    parent = os.getppid()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM) != 0:
        raise DaemonError(f"prctl(PR_SET_PDEATHSIG) failed with errno {ctypes.get_errno()}")
    if os.getppid() != parent or (parent == 1 and b"supervisord" not in Path("/proc/1/cmdline").read_bytes()):
        raise DaemonError("supervisord has ended before this daemon was up")
