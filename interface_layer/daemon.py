"""The interface node's shell: link below, the dispatcher inside, the event file beside it."""

from collections.abc import Mapping
from typing import Any

from twisted.internet.defer import Deferred

from interface_layer.dispatcher import Dispatcher
from interface_layer.shares import part_of
from qianzhi.link.events import LinkEvent, deliver
from qianzhi.link.hop import HopLimits
from qianzhi.link.protection import protection_of
from qianzhi.link.shell import Link
from qianzhi.link.site import bridges_of, data_folder, group_of, zone_of
from qianzhi.link.tables import BankLimits, Site
from qianzhi.runtime import clock, metrics
from qianzhi.runtime.admin import AdminError, Answer, Command, plain
from qianzhi.runtime.daemon import DaemonError, install_reactor
from qianzhi.runtime.effects import Close, Send
from qianzhi.runtime.events import EventsError, EventWriter
from qianzhi.runtime.shell import Handler, Interpreter

DRAINED_LOOK_SECONDS = 0.1


class NodeDaemon:
    """One interface node, for `runtime.daemon.run`."""

    def __init__(self, site: Site, name: str, limits: Mapping[str, BankLimits], key: bytes) -> None:
        """`limits` are the banks' whole ones, of which this node holds its part; `key` is the link key.

        Nothing is opened before `start`.
        """
        self.name = name
        self._site = site
        self._stopping = False
        self._reactor = install_reactor()
        self._core = Dispatcher(
            name,
            site.bridges,
            site.routes,
            _parts(site, name, limits),
            HopLimits(window=site.link.window),
            first_id=clock.now().wall_us,
            weights={bridge: place.weight for bridge, place in site.bridges.items()},
        )
        self._link = Link(
            self._core.hello,
            key,
            self._on_events,
            reactor=self._reactor,
            limits=site.link,
            tls=protection_of(site, site.link.tls),
        )
        self._interpreter: Interpreter | None = None
        self._drained: Deferred[None] | None = None

    def start(self) -> None:
        """Listen for fronts and dial every bridge; raises CannotListenError, DaemonError."""
        folder = data_folder(self._site) / "events" / self.name
        try:
            events = EventWriter(folder, zone=zone_of(self._site))
        except EventsError as error:
            raise DaemonError(str(error)) from error
        handlers: dict[type, Handler] = {Send: self._send, Close: self._close}
        self._interpreter = Interpreter(self._core, handlers, self._reactor, events)
        place = self._site.nodes[self.name]
        self._link.listen(place.host, place.port).start()
        for bridge, (host, port) in bridges_of(self._site).items():
            self._link.dial(bridge, host, port).start()

    def drain(self) -> "Deferred[None]":
        """Tell all peers that nothing new is wanted; fires when what is under way has been answered."""
        self._stopping = True
        self._drained = Deferred()
        self._run(self._core.drain(True))
        self._reactor.callLater(DRAINED_LOOK_SECONDS, self._look_whether_drained, False)
        return self._drained

    def status(self) -> dict[str, Any]:
        """Return peers' health and load, and each bank's counters."""
        return self._core.status(clock.now())

    def commands(self) -> Mapping[str, Command]:
        """`stand_by` drains without stopping, `undrain` ends that."""
        return {"stand_by": plain(self._stand_by), "undrain": plain(self._undrain)}

    def stop(self) -> "Deferred[Any]":
        """Close everything at once; for tests, as a process just ends."""
        if self._interpreter is not None:
            self._interpreter.stop()
        return self._link.stop()

    def _on_events(self, items: list[tuple[str, LinkEvent]]) -> None:
        self._run(deliver(self._core, items, clock.now()))

    def _run(self, effects: Any) -> None:
        if self._interpreter is not None:
            self._interpreter.run(effects)
        for bank, in_flight in self._core.take_loads().items():
            metrics.gauge("qianzhi_in_flight", (bank,), in_flight)

    def _send(self, effect: Send) -> None:
        self._link.send(_name_of(effect.to), effect.items)

    def _close(self, effect: Close) -> None:
        self._link.close(_name_of(effect.to), effect.reason)

    def _stand_by(self) -> Answer:
        self._run(self._core.drain(True))
        return {"draining": True}

    def _undrain(self) -> Answer:
        if self._stopping:
            raise AdminError(f"{self.name} is stopping and cannot be called back")
        self._run(self._core.drain(False))
        return {"draining": False}

    def _look_whether_drained(self, was_idle: bool) -> None:
        """Be drained when idle twice in a row: what was on its way to us by then has been answered too."""
        idle = self._core.idle
        if idle and was_idle and self._drained is not None:
            self._drained.callback(None)
        else:
            self._reactor.callLater(DRAINED_LOOK_SECONDS, self._look_whether_drained, idle)


def _parts(site: Site, node: str, limits: Mapping[str, BankLimits]) -> dict[str, BankLimits]:
    """Return this node's part of the limits of every bank that may come here."""
    group = group_of(site, node)
    weights = sum(site.nodes[name].weight for name in site.groups[group].nodes)
    here = {bank for bank in limits if bank not in site.banks or site.banks[bank].group in ("", group)}
    return {bank: part_of(limits[bank], site.nodes[node].weight, weights) for bank in limits if bank in here}


def _name_of(to: Any) -> str:
    """Return the peer's name of a ("peer", name)."""
    return str(to[1])
