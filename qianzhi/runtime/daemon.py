"""The life of a daemon: start under the epoll reactor, answer the admin socket, drain on SIGTERM, stop in
time.

What a daemon does is its own; everything that all daemons share on the way up and down stands here.  A daemon
that supervisord started dies with it: the kernel sends SIGTERM when the parent ends, because a child that
lived on would keep the ports from the next supervisord.
"""

import ctypes
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.error import CannotListenError

from qianzhi.runtime import clock, log, metrics
from qianzhi.runtime.admin import AdminError, AdminServer, Answer, Arguments, Command, check_socket_path
from qianzhi.runtime.metrics import MetricsServer
from qianzhi.runtime.table import table

DRAIN_SECONDS = 20.0
EXIT_UNUSABLE = 69  # sysexits.h: a service cannot be provided
_PR_SET_PDEATHSIG = 1


class DaemonError(Exception):
    """The daemon cannot start here; the text says what to do about it."""


class Daemon(Protocol):
    """What a daemon brings; all four are called on the reactor's thread."""

    name: str

    def start(self) -> None:
        """Open everything; raises DaemonError, AdminError or CannotListenError when that is impossible."""

    def drain(self) -> "Deferred[Any] | None":
        """Take nothing new and finish what is there; the Deferred fires when all is finished."""

    def status(self) -> dict[str, Any]:
        """Return what the status command shows beyond name, pid, uptime and state."""

    def commands(self) -> Mapping[str, Command]:
        """Return admin commands of its own (`status` and `drain` are given)."""


@table
class DaemonOptions:
    """Where and how a daemon runs; assembled from the site."""

    data: Path
    metrics_host: str = "127.0.0.1"
    metrics_port: int = 0
    production: bool = False
    drain_seconds: float = DRAIN_SECONDS


def socket_path(data: Path, name: str) -> Path:
    """Return where the admin socket of a daemon lies."""
    return data / "run" / f"{name}.sock"


def install_reactor() -> Any:
    """Install Twisted's epoll reactor, or check that it is the one in place, and return it.

    Its timers run on the monotonic clock (Twisted's own choice is the wall clock), so that a clock change
    neither stalls nor hastens them.
    """
    if "twisted.internet.reactor" not in sys.modules:
        from twisted.internet import epollreactor

        epollreactor.install()  # type: ignore[no-untyped-call]
    from twisted.internet import reactor as installed

    reactor: Any = installed
    if type(reactor).__name__ != "EPollReactor":
        raise DaemonError(f"daemons run on the epoll reactor, but {type(reactor).__name__} is installed")
    reactor.seconds = clock.monotonic_seconds
    return reactor


def run(daemon: Daemon, options: DaemonOptions) -> int:
    """Run a daemon until it has drained; returns the exit status.  Blocks; call on the main thread."""
    log.start(daemon.name)
    try:
        refuse_root(options.production)
        check_socket_path(socket_path(options.data, daemon.name))
        die_with_supervisor()
        return _Life(daemon, options).live()
    except DaemonError as error:
        log.get_logger("daemon").error("cannot start", reason=str(error))
        return EXIT_UNUSABLE
    except AdminError as error:
        log.get_logger("daemon").error("cannot start", reason=str(error))
        return EXIT_UNUSABLE
    finally:
        log.stop()


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


class _Life:
    """One run of one daemon: starting, running, draining, stopped."""

    def __init__(self, daemon: Daemon, options: DaemonOptions) -> None:
        self._daemon = daemon
        self._options = options
        self._reactor = install_reactor()
        self._log = log.get_logger("daemon")
        self._started_us = clock.now().mono_us
        self._state = "starting"
        self._failure = ""
        commands = {**daemon.commands(), "status": self._answer_status, "drain": self._answer_drain}
        self._admin = AdminServer(socket_path(options.data, daemon.name), commands)
        self._metrics = MetricsServer(options.metrics_host, options.metrics_port)

    def live(self) -> int:
        self._reactor.callWhenRunning(self._start)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        self._reactor.run(installSignalHandlers=False)
        if self._failure:
            raise DaemonError(self._failure)
        return 0

    def _start(self) -> None:
        try:
            self._admin.start(self._reactor)
            port = self._metrics.start(self._reactor)
            self._daemon.start()
        except (DaemonError, AdminError) as error:
            self._fail(str(error))
        except CannotListenError as error:
            self._fail(f"cannot listen on {error.interface}:{error.port}: {error.socketError}")
        else:
            self._state = "running"
            self._log.info("started", pid=os.getpid(), metrics_port=port)

    def _fail(self, reason: str) -> None:
        self._failure = reason
        self._stop()

    def _on_signal(self, number: int, _frame: object) -> None:
        """A second signal does not wait for the drain."""
        self._reactor.callFromThread(self._begin_drain, signal.Signals(number).name)

    def _begin_drain(self, reason: str) -> None:
        if self._state in ("draining", "starting"):
            self._stop()
            return
        if self._state != "running":
            return
        self._state = "draining"
        metrics.gauge("qianzhi_draining", (), 1)
        self._log.info("draining", reason=reason, seconds=self._options.drain_seconds)
        timer = self._reactor.callLater(self._options.drain_seconds, self._give_up_draining)
        finished = self._daemon.drain()
        if finished is None:
            finished = Deferred()
            finished.callback(None)
        finished.addCallback(self._finish_draining, timer)

    def _finish_draining(self, _result: object, timer: Any) -> None:
        if timer.active():
            timer.cancel()
        self._log.info("drained")
        self._stop()

    def _give_up_draining(self) -> None:
        self._log.warning("stopped before all was finished", status=self._daemon.status())
        self._stop()

    def _stop(self) -> None:
        if self._state != "stopped":
            self._state = "stopped"
            self._reactor.callLater(0, self._reactor.stop)

    def _answer_status(self, _arguments: Arguments) -> Answer:
        uptime_us = clock.now().mono_us - self._started_us
        own = self._daemon.status()
        return {
            "name": self._daemon.name,
            "pid": os.getpid(),
            "uptime_seconds": uptime_us // 1_000_000,
            "state": self._state,
            **own,
        }

    def _answer_drain(self, _arguments: Arguments) -> Answer:
        if self._state != "running":
            raise AdminError(f"{self._daemon.name} is {self._state}")
        self._reactor.callLater(0, self._begin_drain, "asked by the admin socket")
        return {"draining": True}
