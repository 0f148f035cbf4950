"""The interface node's shell: link below, the core inside, the event file and the house's rows beside it."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from twisted.internet.defer import Deferred

from interface_layer.house import ASKER
from interface_layer.house_commands import COMMANDS, HouseCommands
from interface_layer.house_rows import HouseRows, open_rows
from interface_layer.site_node import node_of
from qianzhi.link.events import LinkEvent, deliver
from qianzhi.link.protection import protection_of
from qianzhi.link.shell import Link
from qianzhi.link.site import bridges_of, data_folder, zone_of
from qianzhi.link.tables import BankLimits, Site
from qianzhi.runtime import clock, metrics
from qianzhi.runtime.admin import AdminError, Answer, Arguments, Command, plain
from qianzhi.runtime.daemon import DaemonError, install_reactor
from qianzhi.runtime.effects import Close, Send
from qianzhi.runtime.events import EventsError, EventWriter
from qianzhi.runtime.shell import Handler, Interpreter
from qianzhi.saf.answers import Warranted
from qianzhi.saf.errors import SafError

DRAINED_LOOK_SECONDS = 0.1


class NodeDaemon:
    """One interface node, for `runtime.daemon.run`."""

    def __init__(
        self, site: Site, name: str, limits: Mapping[str, BankLimits], key: bytes, state_password: str = ""
    ) -> None:
        """`limits` are the banks' whole ones, of which this node holds its part; `key` is the link key.

        Nothing is opened before `start`.
        """
        self.name = name
        self._site = site
        self._stopping = False
        self._reactor = install_reactor()
        self._password = state_password
        self._warranted = Warranted(key, name)
        self._core = node_of(site, name, limits)
        self._link = Link(
            self._core.hello,
            key,
            self._on_events,
            reactor=self._reactor,
            limits=site.link,
            tls=protection_of(site, site.link.tls),
        )
        self._interpreter: Interpreter | None = None
        self._rows: HouseRows | None = None
        self._house: HouseCommands | None = None
        self._drained: Deferred[None] | None = None

    def start(self) -> None:
        """Listen for fronts and dial every bridge; raises CannotListenError, DaemonError."""
        folder = data_folder(self._site)
        try:
            events = EventWriter(folder / "events" / self.name, zone=zone_of(self._site))
            store = open_rows(self._site, self.name, self._password)
        except (EventsError, SafError) as error:
            raise DaemonError(str(error)) from error
        self._rows = rows = HouseRows(self._core, store, self._run, self._reactor)
        names = (self._site.name, self.name)
        self._house = HouseCommands(self._core, rows, self._run, folder / "saf" / "export", names)
        handlers: dict[type, Handler] = {Send: self._send, Close: self._close, **rows.handlers}
        self._interpreter = Interpreter(self._core, handlers, self._reactor, events)
        rows.start()
        place = self._site.nodes[self.name]
        self._link.listen(place.host, place.port).start()
        for bridge, (host, port) in bridges_of(self._site).items():
            self._link.dial(bridge, host, port).start()

    def drain(self) -> "Deferred[None]":
        """Tell all peers that nothing new is wanted; fires when what is under way has been answered."""
        self._stopping = True
        self._drained = Deferred()
        self._run(self._core.drain(True, clock.now()))
        self._reactor.callLater(DRAINED_LOOK_SECONDS, self._look_whether_drained, False)
        return self._drained

    def status(self) -> dict[str, Any]:
        """Return peers' health and load, and each bank's counters."""
        return self._core.status(clock.now())

    def commands(self) -> Mapping[str, Command]:
        """`stand_by` drains without stopping, `undrain` ends that; the rest is `house_commands`'."""
        own = {"stand_by": plain(self._stand_by), "undrain": plain(self._undrain)}
        return own | self._warranted.hold({name: partial(self._ask_house, name) for name in COMMANDS})

    def stop(self) -> "Deferred[Any]":
        """Close everything at once; for tests, as a process just ends."""
        if self._interpreter is not None:
            self._interpreter.stop()
        if self._rows is not None:
            self._rows.stop()
        return self._link.stop()

    def _ask_house(self, name: str, arguments: Arguments) -> "Answer | Deferred[Answer]":
        if self._house is None:
            raise AdminError(f"{self.name} is starting; ask again")
        return self._house.commands()[name](arguments)

    def _on_events(self, items: list[tuple[str, LinkEvent]]) -> None:
        self._run(deliver(self._core, items, clock.now()))

    def _run(self, effects: Any) -> None:
        if self._interpreter is not None:
            self._interpreter.run(effects)
        for bank, in_flight in self._core.take_loads().items():
            metrics.gauge("qianzhi_in_flight", (bank,), in_flight)

    def _send(self, effect: Send) -> None:
        if isinstance(effect.to, tuple) and effect.to[0] == ASKER:
            if self._house is not None:
                self._house.answer(effect)
        else:
            self._link.send(_name_of(effect.to), effect.items)

    def _close(self, effect: Close) -> None:
        self._link.close(_name_of(effect.to), effect.reason)

    def _stand_by(self) -> Answer:
        self._run(self._core.drain(True, clock.now()))
        return {"draining": True}

    def _undrain(self) -> Answer:
        if self._stopping:
            raise AdminError(f"{self.name} is stopping and cannot be called back")
        self._run(self._core.drain(False, clock.now()))
        return {"draining": False}

    def _look_whether_drained(self, was_idle: bool) -> None:
        """Be drained when idle twice in a row: what was on its way to us by then has been answered too."""
        idle = self._core.idle
        if idle and was_idle and self._drained is not None:
            self._drained.callback(None)
        else:
            self._reactor.callLater(DRAINED_LOOK_SECONDS, self._look_whether_drained, idle)


def _name_of(to: Any) -> str:
    """Return the peer's name of a ("peer", name)."""
    return str(to[1])
