"""Running a daemon: what `qianzhi daemon NAME` comes down to, whatever the daemon does.

What all daemons share on the way up and down stands in `life`, what makes their process in `process`.
"""

from qianzhi.runtime import log
from qianzhi.runtime.admin import AdminError
from qianzhi.runtime.life import DRAIN_SECONDS, Daemon, DaemonOptions, Life, socket_path
from qianzhi.runtime.process import DaemonError, die_with_supervisor, install_reactor, refuse_root

__all__ = [
    "DRAIN_SECONDS",
    "EXIT_UNUSABLE",
    "Daemon",
    "DaemonError",
    "DaemonOptions",
    "install_reactor",
    "run",
    "socket_path",
]

EXIT_UNUSABLE = 69  # sysexits.h: a service cannot be provided


def run(daemon: Daemon, options: DaemonOptions) -> int:
    """Run a daemon until it has drained, on the main thread; return the exit status.

    0 after a drain, 69 when it cannot start (the log says why), 70 when it ended over an unhandled exception.
    """
    log.start(daemon.name)
    try:
        refuse_root(options.production)
        die_with_supervisor()
        return Life(daemon, options).live()
    except (DaemonError, AdminError) as error:
        log.get_logger("daemon").error("cannot start", reason=str(error))
        return EXIT_UNUSABLE
    finally:
        log.stop()
