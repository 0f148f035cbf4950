"""The bridge's shell: link below, the core inside, writer threads with the database beside it.

Threads and reactor meet twice per batch: `Writer.give` on the way in, one callFromThread on the way out.
"""

from collections.abc import Mapping
from typing import Any

from twisted.internet.defer import Deferred

from crm_bridge.bridge import Batch, Bridge
from crm_bridge.closer import Closer
from crm_bridge.cores import Cores
from crm_bridge.gateway_errors import LockedError
from crm_bridge.operators.notes.store import notes_of
from crm_bridge.operators.shell import Operators
from crm_bridge.settings import CoreSettings
from crm_bridge.works import Works
from qianzhi.domain.requests import Request
from qianzhi.link.events import LinkEvent, deliver
from qianzhi.link.protection import protection_of
from qianzhi.link.shell import Link
from qianzhi.link.site import data_folder, zone_of
from qianzhi.link.tables import Site
from qianzhi.runtime import clock, metrics
from qianzhi.runtime.admin import AdminError, Answer, Command, plain
from qianzhi.runtime.daemon import DaemonError, install_reactor
from qianzhi.runtime.effects import Close, Effects, Send
from qianzhi.runtime.events import EventsError, EventWriter
from qianzhi.runtime.shell import Interpreter

DRAINED_LOOK_SECONDS = 0.05


class BridgeDaemon:
    """One bridge on its core, for `runtime.daemon.run`."""

    def __init__(self, site: Site, name: str, settings: CoreSettings, key: bytes) -> None:
        """`settings` is the site's [core], its database URL complete; `key` is the link key.

        Nothing is opened before `start`.
        """
        self.name = name
        self._site = site
        self._reactor = install_reactor()
        closer = Closer(zone_of(site), settings.close_minutes)
        self._core = Bridge(name, settings.writers, settings.queue_max, closer)
        given = {"reactor": self._reactor, "limits": site.link, "tls": protection_of(site, site.link.tls)}
        self._link = Link(self._core.hello, key, self._on_events, **given)
        cores = Cores(site, name, settings, self._reactor)
        self._works = Works(settings, cores, lambda _: self._reactor.callFromThread(self._announce))
        self._operators = Operators(settings.database, self._works, self._ask, self._reactor, (name, key))
        self._standing_by = False
        self._interpreter: Interpreter | None = None
        self._drained: Deferred[None] | None = None

    def start(self) -> None:
        """Take the database, listen, and open the database however long that takes; raises DaemonError,
        CannotListenError.
        """
        folder = data_folder(self._site) / "events" / self.name
        try:
            events = EventWriter(folder, zone=zone_of(self._site))
            self._works.open(self._deliver)
        except (LockedError, EventsError, OSError) as error:
            raise DaemonError(str(error)) from error
        self._interpreter = Interpreter(
            self._core, {Send: self._send, Close: self._close}, self._reactor, events
        )
        self._announce()
        self._operators.start(notes_of(self._site))
        place = self._site.bridges[self.name]
        self._link.listen(place.host, place.port).start()

    def drain(self) -> "Deferred[None]":
        """Take nothing new; fires when what waits has been settled and its answers are on their way."""
        self._drained = Deferred()
        self._announce()
        self._reactor.callLater(DRAINED_LOOK_SECONDS, self._look_whether_drained, False)
        return self._drained

    def status(self) -> dict[str, Any]:
        """Return what waits, what was settled, who is connected, and how a remote core is."""
        return self._core.status() | {"draining": self._standing_by} | self._works.status()

    def commands(self) -> Mapping[str, Command]:
        """`stand_by` drains without stopping, `undrain` ends that; the others are the operators'."""
        own = {"stand_by": plain(lambda: self._switch(True)), "undrain": plain(lambda: self._switch(False))}
        return own | dict(self._operators.commands()) | self._operators.hold(self._works.commands())

    def stop(self) -> "Deferred[Any]":
        """Close everything at once; for tests, as a process just ends."""
        if self._interpreter is not None:
            self._interpreter.stop()
        self._works.stop()
        self._operators.stop()
        return self._link.stop()

    def _announce(self) -> None:
        """Tell the nodes whether new money is taken: not while the database cannot be used."""
        self._works.begin()
        metrics.gauge("qianzhi_core_ready", (), int(self._works.ready))
        stands_by = self._standing_by or self._drained is not None
        self._run(self._core.drain(stands_by or not self._works.ready))

    def _on_events(self, items: list[tuple[str, LinkEvent]]) -> None:
        self._run(deliver(self._core, items, clock.now()))

    def _run(self, effects: Effects) -> None:
        if self._interpreter is not None:
            self._interpreter.run(effects)

    def _send(self, effect: Send) -> None:
        """Carry a list to a writer, to an operator or to a node."""
        to: Any = effect.to
        ways: dict[str, Any] = {"writer": self._works.give, "house": self._operators.answered}
        ways.get(to[0], self._link.send)(to[1], effect.items)

    def _ask(self, token: int, request: Request) -> None:
        self._run(self._core.on_house([(token, request)], clock.now()))

    def _close(self, effect: Close) -> None:
        to: Any = effect.to
        self._link.close(to[1], effect.reason)

    def _deliver(self, number: int, batch: Batch) -> None:
        """Called on a writer's thread, once per batch."""
        self._reactor.callFromThread(self._on_batch, number, batch)

    def _on_batch(self, number: int, batch: Batch) -> None:
        self._works.took(batch)
        self._run(self._core.on_batch(number, batch, clock.now()))
        metrics.gauge("qianzhi_waiting", (str(number),), self._core.status()["waiting"][number])

    def _switch(self, draining: bool) -> Answer:
        if self._drained is not None:
            raise AdminError(f"{self.name} is stopping and cannot be called back")
        self._standing_by = draining
        self._announce()
        return {"draining": draining}

    def _look_whether_drained(self, was_idle: bool) -> None:
        """Be drained when idle twice in a row: what was on its way to us by then has been settled too."""
        idle = self._core.idle
        if idle and was_idle and self._drained is not None:
            self._drained.callback(None)
        else:
            self._reactor.callLater(DRAINED_LOOK_SECONDS, self._look_whether_drained, idle)
