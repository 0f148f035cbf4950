"""One run of one daemon: starting, running, draining, stopped.

A daemon stops in three ways and no other: drained after a signal or the admin command `drain`, cut off when
the drain takes too long or a second signal comes, or unable to start.
"""

import gc
import os
import signal
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.error import CannotListenError

from qianzhi.runtime import clock, log, metrics, tls_open
from qianzhi.runtime.admin import AdminError, AdminServer, Answer, Command, plain
from qianzhi.runtime.metrics import MetricsServer
from qianzhi.runtime.process import DaemonError, install_reactor
from qianzhi.runtime.standby import Standby, order_path
from qianzhi.runtime.table import table

DRAIN_SECONDS = 20.0
COLLECT_SECONDS = 10.0

# Requests under way are most of what lives here: looking for garbage after every 700 new objects, as usual,
# took a front and a bridge 4 to 5 % of their time (docs/PERFORMANCE.md).
COLLECT_AFTER = (20_000, 20, 20)


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
        """Return admin commands of its own (`status` and `drain` are given).

        One that has `stand_by` and `undrain` is kept standing by over restarts.
        """


class Pulse(Protocol):
    """Where a daemon's status goes every few seconds, for other machines to read (`link.heartbeats`)."""

    seconds: int

    def start(self, on_trouble: Callable[[str], None]) -> None:
        """Begin; `on_trouble` is called on another thread."""

    def give(self, status: dict[str, Any], written: Callable[[], None] | None = None) -> None:
        """Write a status; `written` is called on another thread after the attempt."""

    def stop(self) -> None:
        """Write what waits, if that is quick, and end."""


@table
class DaemonOptions:
    """Where and how a daemon runs; assembled from the site."""

    data: Path
    metrics_host: str = "127.0.0.1"
    metrics_port: int = 0
    production: bool = False
    drain_seconds: float = DRAIN_SECONDS
    heartbeat: Pulse | None = None


def socket_path(data: Path, name: str) -> Path:
    """Return where the admin socket of a daemon lies."""
    return data / "run" / f"{name}.sock"


class Life:
    """One run of `daemon`; `live` is called once, on the main thread."""

    def __init__(self, daemon: Daemon, options: DaemonOptions) -> None:
        """Nothing is opened yet; raises AdminError when the admin socket's path is too long."""
        self._daemon = daemon
        self._options = options
        self._reactor = install_reactor()
        self._log = log.get_logger("daemon")
        self._started_us = clock.now().mono_us
        self._state = "starting"
        self._failure = ""
        self._beating = False
        own = dict(daemon.commands())
        self._standby = self._standby_of(own)
        given = {
            "status": plain(self._answer_status),
            "drain": plain(self._answer_drain),
            "reload": plain(_answer_reload),
        }
        kept = self._standby.commands() if self._standby is not None else {}
        self._admin = AdminServer(socket_path(options.data, daemon.name), {**own, **kept, **given})
        self._metrics = MetricsServer(options.metrics_host, options.metrics_port)

    def live(self) -> int:
        """Run until stopped; return 0, or raise DaemonError when the daemon could not start."""
        gc.freeze()  # what was imported and built stays, and need not be looked at ever again
        gc.set_threshold(*COLLECT_AFTER)
        gc.enable()
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
            if self._standby is not None:
                self._standby.resume()
        except (DaemonError, AdminError) as error:
            self._fail(str(error))
        except CannotListenError as error:
            self._fail(f"cannot listen on {error.interface}:{error.port}: {error.socketError}")
        else:
            tls_open.watch(self._reactor)
            self._state = "running"
            self._log.info("started", pid=os.getpid(), metrics_port=port)
            if self._options.heartbeat is not None:
                self._beating = True
                self._options.heartbeat.start(self._on_trouble)
                self._beat(self._options.heartbeat)
        self._collect()

    def _standby_of(self, own: Mapping[str, Command]) -> Standby | None:
        """Return what keeps the daemon standing by, where it knows how to."""
        if "stand_by" not in own:
            return None
        path = order_path(self._options.data, self._daemon.name)
        return Standby(
            path,
            lambda draining: own["stand_by" if draining else "undrain"]({}),
            self._reactor,
            self._answer_change,
        )

    def _beat(self, heartbeat: Pulse) -> None:
        heartbeat.give(self._answer_status())
        self._reactor.callLater(heartbeat.seconds, self._beat, heartbeat)

    def _on_trouble(self, trouble: str) -> None:
        """Say once that other machines cannot see this daemon, and once that they can again."""
        if trouble:
            self._log.warning("the heartbeat cannot be written; other machines see none", reason=trouble)
        else:
            self._log.info("the heartbeat is written again")

    def _answer_change(self) -> "Answer | Deferred[Answer]":
        """Answer a change of standing by once the other machines can know of it."""
        answer = {"draining": self._standby is not None and bool(self._standby.status())}
        heartbeat = self._options.heartbeat
        if heartbeat is None or not self._beating:
            return answer
        told: Deferred[Answer] = Deferred()
        written = self._reactor.callFromThread
        heartbeat.give(self._answer_status(), lambda: written(told.callback, answer))
        return told

    def _collect(self) -> None:
        """Collect garbage now and then: an idle daemon would keep a failed Deferred that nobody handled for
        ever, and only its end is noticed."""
        gc.collect()
        self._reactor.callLater(COLLECT_SECONDS, self._collect)

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
        if self._options.heartbeat is not None:
            self._options.heartbeat.give(self._answer_status())
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
            self._say_last()
            self._reactor.callLater(0, self._reactor.stop)

    def _say_last(self) -> None:
        """Let the other machines know at once that this one ends; the order to stand by stays."""
        if self._standby is not None:
            self._standby.stop()
        if self._options.heartbeat is not None and self._beating:
            self._options.heartbeat.give(self._answer_status())
            self._options.heartbeat.stop()

    def _answer_status(self) -> Answer:
        uptime_us = clock.now().mono_us - self._started_us
        own = self._daemon.status()
        tls = tls_open.status_all()
        return {
            "name": self._daemon.name,
            "pid": os.getpid(),
            "uptime_seconds": uptime_us // 1_000_000,
            "state": self._state,
            **({"tls": tls} if tls else {}),
            **own,
            **(self._standby.status() if self._standby is not None else {}),
        }

    def _answer_drain(self) -> Answer:
        if self._state != "running":
            raise AdminError(f"{self._daemon.name} is {self._state}")
        self._reactor.callLater(0, self._begin_drain, "asked by the admin socket")
        return {"draining": True}


def _answer_reload() -> Answer:
    """Read the files of every certificate anew; refused where some of them cannot be used."""
    done = tls_open.reload_all()
    troubles = [text for text in done.values() if text != "done"]
    if troubles:
        raise AdminError(f"the certificates read before stay in force: {'; '.join(troubles)}")
    return {"read": sorted(done)}
