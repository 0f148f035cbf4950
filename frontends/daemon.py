"""A front-end's shell: the bank's socket or queue above, link below, the processor inside.

It reads, calls and writes.  Nothing here knows a dialect; the one rule that it holds is the interpreter's:
when a record cannot be written, the bytes that rest on it are not sent.
"""

from collections.abc import Mapping
from typing import Any

from twisted.internet.defer import Deferred

from bankmq.queue import QueueError
from frontends.front import TO_BANK
from frontends.front_files import make_link, open_front
from frontends.front_rows import FrontRows
from frontends.front_transport import make_transport
from frontends.profile import Profile
from qianzhi.link.events import LinkEvent, deliver
from qianzhi.link.site import fronts, nodes_of
from qianzhi.link.tables import Site
from qianzhi.runtime import clock, metrics
from qianzhi.runtime.admin import AdminError, Answer, Command, plain
from qianzhi.runtime.crash import crashpoint
from qianzhi.runtime.daemon import DaemonError, install_reactor
from qianzhi.runtime.effects import Close, Effects, Pause, Record, Send, Withheld
from qianzhi.runtime.now import SECOND_US
from qianzhi.runtime.shell import Handler, Interpreter

DRAINED_LOOK_SECONDS = 0.1


class FrontDaemon:
    """One front-end daemon, for `runtime.daemon.run`."""

    def __init__(
        self, site: Site, profile: Profile, name: str, link_key: bytes, keys: Mapping[str, bytes]
    ) -> None:
        """`keys` are those of `profile.resolve_keys`; the state database's password may be among them, as
        "state".  Nothing is opened before `start`.
        """
        self.name = name
        self._site = site
        self._profile = profile
        self._keys = keys
        self._stopping = False
        self._address = ""
        self._reactor = install_reactor()
        self._place = next(place for daemon, _, _, place in fronts(site) if daemon == name)
        self._link = make_link(site, profile, name, link_key, self._on_events)

    def start(self) -> None:
        """Open the store, dial every node of the group, listen or consume; raises DaemonError.

        Nothing of the bank's is taken before the rows of its line are known.
        """
        opened = open_front(self._site, self._profile, self.name, self._keys)
        self._events, self._core = opened.events, opened.core
        self._rows = FrontRows(opened, self._profile, self._run, self._reactor)
        handlers: dict[type, Handler] = {
            Record: self._record,
            Send: self._send,
            Close: lambda effect: self._front.close(effect.to, effect.reason),
            Pause: lambda effect: self._front.pause(effect.paused),
            Withheld: lambda effect: self._front.withhold(effect.send),
            **self._rows.handlers,
        }
        self._interpreter = Interpreter(self._core, handlers, self._reactor, self._events)
        self._front = make_transport(
            self._profile, self._place, self._core, self._run, self._reactor, self._site
        )
        for node, (host, port) in nodes_of(self._site, self._profile.group).items():
            self._link.dial(node, host, port).start()
        self._rows.start(self._listen)

    def drain(self) -> "Deferred[None]":
        """Take nothing new; fires when what is in flight has been answered."""
        self._stopping = True
        drained: Deferred[None] = Deferred()
        self._front.stop_accepting()
        self._run(self._core.drain(True, clock.now()))
        self._look(drained, False)
        return drained

    def status(self) -> dict[str, Any]:
        """Return connections, sign-on, keys' check values, requests in flight and the nodes' health."""
        line = {"listening": self._address, "connection": self._profile.transport.connection}
        return {**line, **self._core.status(clock.now()), **self._front.status()}

    def commands(self) -> Mapping[str, Command]:
        """`stand_by` drains without stopping, `undrain` ends that."""
        return {"stand_by": plain(lambda: self._switch(True)), "undrain": plain(lambda: self._switch(False))}

    def stop(self) -> None:
        """Close everything; for tests, as a process just ends."""
        self._interpreter.stop()
        self._front.stop()
        self._link.stop()
        self._rows.stop()
        self._events.close()

    def _run(self, effects: Effects) -> None:
        self._interpreter.run(effects)
        for gauge, value in self._core.gauges().items():
            metrics.gauge(gauge, (self._profile.name,), value)
        for kind, times in self._core.take_times().items():
            labels = (self._profile.name, kind)
            metrics.observe("qianzhi_request_seconds", labels, [us / SECOND_US for us in times])

    def _record(self, effect: Record) -> None:
        crashpoint("front.before_record")
        self._events.append(effect.rows)
        crashpoint("front.after_record")

    def _send(self, effect: Send) -> None:
        if isinstance(effect.to, tuple):
            self._link.send(str(effect.to[1]), effect.items)
        elif effect.to == TO_BANK:
            self._front.send(effect.items)
            crashpoint("front.after_send")
        else:
            self._front.finish(effect)

    def _on_events(self, items: list[tuple[str, LinkEvent]]) -> None:
        self._run(deliver(self._core, items, clock.now()))

    def _listen(self) -> None:
        """Take what the bank sends; a front that was told to end meanwhile does not begin."""
        if self._stopping:
            return
        try:
            self._address = self._front.start()
        except QueueError as error:
            raise DaemonError(str(error)) from error

    def _switch(self, draining: bool) -> Answer:
        if self._stopping:
            raise AdminError(f"{self.name} is stopping and cannot be called back")
        self._run(self._core.drain(draining, clock.now()))
        self._front.stand_by(draining)
        return {"draining": draining}

    def _look(self, drained: "Deferred[None]", was_idle: bool) -> None:
        """Be drained when idle twice in a row: what was on its way to us by then is answered too."""
        idle = self._core.idle and self._front.idle
        if idle and was_idle:
            return drained.callback(None)
        self._reactor.callLater(DRAINED_LOOK_SECONDS, self._look, drained, idle)
        return None
