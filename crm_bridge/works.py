"""A bridge's writers over its database: made, begun when the database is open, looked at, ended.

Apart from the daemon, which is a shell of events.  What is called here is called on the reactor's thread.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from crm_bridge.bridge import Batch, Work
from crm_bridge.cores import Cores
from crm_bridge.keeper import Keeper
from crm_bridge.retainer import Retainer
from crm_bridge.settings import CoreSettings
from crm_bridge.watch import Standing
from crm_bridge.writer import Writer
from qianzhi.runtime import metrics
from qianzhi.runtime.admin import Command
from qianzhi.runtime.tls_driver import DriverFiles


class Works:
    """The writers of one bridge; they begin once the database has been opened."""

    def __init__(self, settings: CoreSettings, cores: Cores, tell: Callable[[Standing], None]) -> None:
        """`tell` is called on a thread of its own whenever the database becomes usable, or unusable."""
        self._settings = settings
        self._cores = cores
        self._files = DriverFiles(settings.database)
        self._keeper = Keeper(settings.database, tell)
        self._retainer = Retainer(settings.database, settings.keep_days, cores.zone)
        self._writers: list[Writer] = []
        self._begun = False

    @property
    def ready(self) -> bool:
        """Whether money can be moved now."""
        return self._keeper.standing.ready

    def open(self, deliver: Callable[[int, Batch], None]) -> None:
        """Try to open the database, and make the writers; `deliver` is called on their threads.

        Raises LockedError where another process holds an SQLite database.
        """
        self._keeper.start()
        for number, gateway in enumerate(self._cores.open()):
            batch_max, keeper = self._settings.batch_max, self._keeper
            writer = Writer(
                number, gateway, batch_max, deliver, hurt=keeper.hurt, require=keeper.require_clock
            )
            self._writers.append(writer)
        self.begin()

    def begin(self) -> None:
        """Let the writers begin, as soon as the database has once been ready."""
        if self.ready and not self._begun:
            self._begun = True
            self._cores.keep_after(self._keeper.kept_after)
            for writer in self._writers:
                writer.start()
            self._retainer.start()

    def give(self, number: int, works: Sequence[Work]) -> None:
        """Hand a list to a writer; what comes before the database is open waits for it."""
        self._writers[number].give(works)

    def took(self, batch: Batch) -> None:
        """Take note of a batch's size and time; a remote core's time is not the database's."""
        metrics.observe("qianzhi_batch_size", (), (len(batch.done),))
        metrics.observe("qianzhi_commit_seconds", (), (batch.seconds,))
        if self._settings.kind == "embedded":
            self._keeper.took(batch.seconds)

    def status(self) -> dict[str, Any]:
        """Return what the status command says of database and core."""
        return {"ready": self.ready, "database": self._keeper.standing.status()} | self._cores.status()

    def commands(self) -> Mapping[str, Command]:
        """Return the operators' commands of the core, none of one that is embedded."""
        return self._cores.commands()

    def stop(self) -> None:
        """End writers, core and watch, and let the database go."""
        self._retainer.stop()
        for writer in self._writers:
            writer.stop()
        self._cores.stop()
        self._keeper.stop()
