"""A front-end's shell: the bank's socket or queue above, link below, the processor inside.

It reads, calls and writes.  Nothing here knows a dialect; the one rule that it holds is the interpreter's:
when a record cannot be written, the bytes that rest on it are not sent.
"""

import os
from collections.abc import Mapping
from typing import Any

from twisted.internet.defer import Deferred

from bankmq.queue import QueueError
from frontends.front import TO_BANK
from frontends.front_files import open_front
from frontends.front_transport import make_transport
from frontends.profile import Profile
from frontends.store_thread import StoreThread
from qianzhi.link.events import Hello, LinkEvent, deliver
from qianzhi.link.shell import Link
from qianzhi.link.site import fronts, nodes_of
from qianzhi.link.tables import Site
from qianzhi.runtime import clock, metrics
from qianzhi.runtime.admin import AdminError, Answer, Command, plain
from qianzhi.runtime.crash import crashpoint
from qianzhi.runtime.daemon import DaemonError, install_reactor
from qianzhi.runtime.effects import Alarm, Close, Effects, Pause, Record, Send, Store, Withheld
from qianzhi.runtime.now import SECOND_US
from qianzhi.runtime.shell import Handler, Interpreter

DRAINED_LOOK_SECONDS = 0.1


class FrontDaemon:
    """One front-end daemon, for `runtime.daemon.run`."""

    def __init__(
        self, site: Site, profile: Profile, name: str, link_key: bytes, keys: Mapping[str, bytes]
    ) -> None:
        """`keys` are those of `profile.resolve_keys`.  Nothing is opened before `start`."""
        self.name = name
        self._site = site
        self._profile = profile
        self._keys = keys
        self._stopping = False
        self._address = ""
        self._reactor = install_reactor()
        self._place = next(place for daemon, _, _, place in fronts(site) if daemon == name)
        hello = Hello(name, "front", banks=(profile.name,), numbers=tuple(profile.numbers))
        self._link = Link(lambda: hello, link_key, self._on_events, reactor=self._reactor, limits=site.link)

    def start(self) -> None:
        """Open the store, listen or consume, dial every node of the group; raises DaemonError."""
        self._events, store, self._core = open_front(self._site, self._profile, self.name, self._keys)
        handlers: dict[type, Handler] = {
            Record: self._record,
            Send: self._send,
            Close: lambda effect: self._front.close(effect.to, effect.reason),
            Store: self._write,
            Pause: lambda effect: self._front.pause(effect.paused),
            Withheld: lambda effect: self._front.withhold(effect.send),
        }
        self._interpreter = Interpreter(self._core, handlers, self._reactor, self._events)
        trouble = Alarm("store_unwritable", {"file": f"fronts/{self.name}.db"})
        self._store = StoreThread(
            store, self._on_stored, lambda: self._interpreter.alarm(trouble), self._reactor
        )
        self._front = make_transport(self._profile, self._place, self._core, self._run, self._reactor)
        self._store.start()
        for node, (host, port) in nodes_of(self._site, self._profile.group).items():
            self._link.dial(node, host, port).start()
        try:
            self._address = self._front.start()
        except QueueError as error:
            raise DaemonError(str(error)) from error
        self._core.add_random(os.urandom(self._core.random_wanted))

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
        return {**line, **self._core.status(clock.now())}

    def commands(self) -> Mapping[str, Command]:
        """`stand_by` drains without stopping, `undrain` ends that."""
        return {"stand_by": plain(lambda: self._switch(True)), "undrain": plain(lambda: self._switch(False))}

    def stop(self) -> None:
        """Close everything; for tests, as a process just ends."""
        self._interpreter.stop()
        self._front.stop()
        self._link.stop()
        self._store.stop()
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
            self._front.done(effect.items)

    def _write(self, effect: Store) -> None:
        """Store rows; a new key may be among them, so that random bytes for the next one are given here."""
        self._store.write(effect.token, effect.rows)
        self._core.add_random(os.urandom(self._core.random_wanted))

    def _on_events(self, items: list[tuple[str, LinkEvent]]) -> None:
        self._run(deliver(self._core, items, clock.now()))

    def _on_stored(self, token: int) -> None:
        self._run(self._core.on_stored(token, clock.now()))

    def _switch(self, draining: bool) -> Answer:
        if self._stopping:
            raise AdminError(f"{self.name} is stopping and cannot be called back")
        self._run(self._core.drain(draining, clock.now()))
        return {"draining": draining}

    def _look(self, drained: "Deferred[None]", was_idle: bool) -> None:
        """Be drained when idle twice in a row: what was on its way to us by then is answered too."""
        idle = self._core.idle
        if idle and was_idle:
            return drained.callback(None)
        self._reactor.callLater(DRAINED_LOOK_SECONDS, self._look, drained, idle)
        return None
