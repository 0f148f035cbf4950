"""Keeps an eye on the bridge's database: opens it, says in plain words what is wrong with it, and when it is
well again.

A database that is down, or not yet migrated, is no reason to end: the bridge stays up, takes no new money and
tries again, on a thread of its own.  What an attempt shows is decided in `watch`.
"""

import threading
import traceback
from collections.abc import Callable
from contextlib import ExitStack

from crm_bridge.database.store import Probe
from crm_bridge.gateway_errors import Trouble
from crm_bridge.gateway_lock import held
from crm_bridge.migrations.schema import migrate, require_schema, schema_current
from crm_bridge.retained.store import kept_after
from crm_bridge.watch import Standing, Watch
from qianzhi.runtime import clock
from qianzhi.runtime.log import end_process, get_logger
from qianzhi.runtime.now import SECOND_US
from qianzhi.runtime.urls import is_postgres, shown

LOOK_SECONDS = 3.0  # between two looks at a database that is well
PROVE_SECONDS = 0.25  # between two attempts at one that is not


# What an operator does about it; it is tried again meanwhile, and ends by itself.
ADVICE = {
    Trouble.DOWN: "see that its server runs and that the network leads there",
    Trouble.READ_ONLY: "see with `qianzhi database status` who is primary; let it take writes again",
    Trouble.DISK_FULL: "make room on the database's machine",
    Trouble.DISK: "look at the database's own log and at its disk",
    Trouble.TOO_MANY_CONNECTIONS: "end who holds them, or raise max_connections",
    Trouble.NO_PERMISSION: "compare the password; `qianzhi database init` puts roles and grants right",
    Trouble.SCHEMA: "run `qianzhi database migrate`, or install the version that the schema is of",
    Trouble.NO_STANDBY: "bring the standby back, or let the primary go on without: docs/OPERATIONS.md",
    Trouble.CLOCK: "set both machines' clocks by one source of time (chrony, NTP)",
    Trouble.SLOW: "look at the disks of the database and of its standby, and at the network between",
    Trouble.HELD: "end the other bridge on this file",
}


class Keeper:
    """Watches one database; `tell` is called on the keeper's thread, once per change."""

    def __init__(self, url: str, tell: Callable[[Standing], None]) -> None:
        self._url = url
        self._tell = tell
        self._probe = Probe(url)
        self._log = get_logger("database")
        self._held = ExitStack()
        self._stopping = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="keeper", daemon=True)
        self._watch = Watch(shown(url), clock.now().wall_us)
        self.kept_after = 0  # of this date and before it rows may be gone; known once the database is open

    @property
    def standing(self) -> Standing:
        """How the database is."""
        return self._watch.standing

    def start(self) -> None:
        """Hold an SQLite database for this process, then open it, however long that takes.

        Raises LockedError where another process holds it.
        """
        self._held.enter_context(held(self._url))
        self._held.callback(self._probe.close)
        self._attempt()
        self._thread.start()

    def stop(self) -> None:
        """End the watch and let the database go."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        if self._thread.is_alive():
            self._thread.join()
        self._held.close()

    def hurt(self, trouble: Trouble, detail: str) -> None:
        """Take note of what a batch met, on whatever thread."""
        self._watch.hurt(trouble, detail, self._become)

    def require_clock(self) -> None:
        """Raise RetryableError while our clock is wrong."""
        self._watch.require_clock()

    def took(self, seconds: float) -> None:
        """Take note of how long a batch took; one of the usual length ends a slow time."""
        self._watch.took(seconds, self._become)

    def _run(self) -> None:
        try:
            while not self._wait():
                self._attempt()
        finally:
            if not self._stopping:  # unwatched, a database that is well again would stay unused
                end_process("keeper failed", "an exception that nobody expected", traceback.format_exc())

    def _wait(self) -> bool:
        """Wait until it is time to look, or something changed; say whether this is the end."""
        with self._changed:
            if not self._stopping:
                self._changed.wait(LOOK_SECONDS if self.standing.trouble is None else PROVE_SECONDS)
            if not self._stopping and self.standing.trouble is Trouble.SLOW:
                self._changed.wait(LOOK_SECONDS)  # long enough to be seen, unless a batch ends it
            return self._stopping

    def _attempt(self) -> None:
        self._watch.attempt(_Prober(self._probe, self._open, self._log.warning), self._become)

    def _open(self) -> None:
        if is_postgres(self._url):
            require_schema(self._url)  # this user may not change it
        elif not schema_current(self._url):
            self._log.info("bringing the core's database to this version's schema")
            migrate(self._url)
        self.kept_after = kept_after(self._url)

    def _become(self, trouble: Trouble | None, detail: str) -> None:
        """Change, and say so once: the same trouble in other words is no change."""
        with self._changed:
            now_us = clock.now().wall_us
            before = self._watch.become(trouble, detail, now_us)
            if before is None:
                return
            self._changed.notify()
        seconds = (now_us - before.since_us) // SECOND_US
        if trouble is None:
            was = before.trouble.value if before.trouble is not None else ""
            self._log.info("the database is ready", database=shown(self._url), was=was, seconds=seconds)
        else:
            self._complain(trouble, detail)
        self._tell(self.standing)

    def _complain(self, trouble: Trouble, detail: str) -> None:
        """Log what is wrong, where, and what to do about it."""
        fields = {"database": shown(self._url), "detail": detail, "do": ADVICE.get(trouble, "")}
        if trouble is Trouble.SLOW:
            self._log.warning(trouble.value, **fields)
        else:
            self._log.error(f"{trouble.value}; no new money requests until that is over", **fields)


class _Prober:
    """What an attempt does with a real database."""

    def __init__(self, probe: Probe, open_database: Callable[[], None], warn: Callable[..., None]) -> None:
        self._probe = probe
        self._warn = warn
        self.open = open_database
        self.prove_room = probe.prove_room

    def look(self) -> None:
        self._probe.look()
        self._end_frozen()

    def prove(self) -> None:
        self._end_frozen()  # first: it may be what the proof would wait for
        self._probe.prove()

    def _end_frozen(self) -> None:
        for pid in self._probe.end_frozen():
            self._warn(
                "ended a session that held its locks and sent nothing",
                server_process=pid,
                do="see which bridge stands still: `qianzhi status`",
            )
