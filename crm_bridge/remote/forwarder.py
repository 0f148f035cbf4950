"""The promises of a bridge as its daemon has them: rows by a thread, deliveries by another, commands.

Both threads meet the reactor by callFromThread alone.  What is decided is `forwarding`'s.
"""

import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from crm_bridge.remote.courier import Courier
from crm_bridge.remote.forwarding import ASKER, COURIER, Forwarding, Told
from crm_bridge.remote.promises import DESTINATION
from qianzhi.runtime import clock, metrics
from qianzhi.runtime.admin import Command
from qianzhi.runtime.effects import Effects, Load, Send, Store
from qianzhi.runtime.log import end_process, get_logger
from qianzhi.runtime.shell import Interpreter
from qianzhi.saf.commands import EntryCommands, Place
from qianzhi.saf.keeping import Errand
from qianzhi.saf.rows import Entry
from qianzhi.saf.store import SafStore
from qianzhi.saf.store_thread import SafThread
from qianzhi.saf.store_thread import Told as Heard

STOP_SECONDS = 0.0  # the courier may wait for the reactor, which waits for us


class Forwarder:
    """Delivers what this bridge has promised."""

    def __init__(
        self,
        core: Forwarding,
        courier: Courier,
        store: SafStore,
        reactor: Any,
        folder: Path,
        names: tuple[str, str],
    ) -> None:
        """`folder` is where exports are written, `names` are the site's and the bridge's; nothing is read or
        sent before `start`.
        """
        self._core = core
        self._reactor = reactor
        self._log = get_logger("saf")
        self._courier = _CourierThread(courier, self._on_told, reactor)
        told = Heard(
            stored=lambda token, standing: self._run(core.on_stored(token, standing, clock.now())),
            loaded=lambda saved: self._run(core.on_loaded(saved, clock.now())),
            lost=lambda token: self._run(core.on_lost(token, clock.now())),
            trouble=self._on_trouble,
        )
        self._rows = SafThread(store, told, reactor)
        place = Place(*names, "bridge; ask another one", folder)
        self._commands = EntryCommands(
            core, core.act, self._rows.find, self._run, place, conclude=self._conclude
        )
        handlers = {
            Store: lambda effect: self._rows.write(effect.token, effect.rows),
            Load: lambda effect: self._rows.load(),
            Send: self._send,
        }
        self._interpreter = Interpreter(core, handlers, reactor)

    def start(self) -> None:
        """Begin, by reading what is there; on the reactor's thread."""
        self._courier.start()
        self._rows.start()
        self._run(self._core.start(clock.now()))

    def stop(self) -> None:
        """Finish what is to be written, and end."""
        self._interpreter.stop()
        self._courier.stop()
        self._rows.stop()

    def promised(self, entries: list[Entry]) -> None:
        """Take up what a gateway has stored; for any thread."""
        self._reactor.callFromThread(lambda: self._run(self._core.on_promised(entries, clock.now())))

    def set_ready(self, ready: bool) -> None:
        """Calls to the core are forwarded, or not; on the reactor's thread."""
        self._run(self._core.set_ready(ready, clock.now()))

    def commands(self) -> Mapping[str, Command]:
        """Return the operators' commands."""
        return self._commands.commands()

    def status(self) -> dict[str, Any]:
        """Return what operators see."""
        return self._core.status(clock.now())

    def open_promises(self) -> int:
        """Return how many entries to the core have not ended."""
        return self._core.open_promises()

    def _run(self, effects: Effects) -> None:
        self._interpreter.run(effects)
        metrics.gauge("qianzhi_remote_overdue", (), len(self._core))

    def _send(self, effect: Send) -> None:
        to: Any = effect.to
        if to[0] == COURIER:
            self._courier.give(effect.items)
        elif to[0] == ASKER:
            self._commands.askers.answer(effect)

    def _conclude(self, entry: Entry, ended: Callable[[Exception | None], None]) -> None:
        """Let the core say what became of what it was sent, before an entry is settled by hand."""
        if entry.destination == DESTINATION:
            self._courier.conclude(entry, ended)
        else:
            ended(None)

    def _on_told(self, told: list[Told]) -> None:
        self._run(self._core.on_told(told, clock.now()))

    def _on_trouble(self, why: str) -> None:
        if not why:
            self._log.info("what is promised can be written again")
        self._run(self._core.on_store_trouble(why, clock.now()))


class _CourierThread:
    """Lets a courier work on what has gathered, one list after the other."""

    def __init__(self, courier: Courier, told: Callable[[list[Told]], None], reactor: Any) -> None:
        self._courier = courier
        self._told = told
        self._reactor = reactor
        self._work: SimpleQueue[list[Errand] | Callable[[], None] | None] = SimpleQueue()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="courier", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def give(self, errands: list[Errand]) -> None:
        """Have these tried after what was given before."""
        self._work.put(errands)

    def conclude(self, entry: Entry, ended: Callable[[Exception | None], None]) -> None:
        """Ask for the last time what became of an entry; `ended` is called on the reactor's thread."""

        def work() -> None:
            self._reactor.callFromThread(ended, self._courier.conclude(entry.request))

        self._work.put(work)

    def stop(self) -> None:
        """End after what is under way."""
        self._stopping.set()
        self._work.put(None)
        if self._thread.is_alive():
            self._thread.join(STOP_SECONDS)

    def _run(self) -> None:
        try:
            while (work := self._work.get()) is not None and not self._stopping.is_set():
                if callable(work):
                    work()
                    continue
                delivered = self._courier.deliver([errand.request for errand in work])
                told = [Told(errand.ticket, one) for errand, one in zip(work, delivered, strict=True)]
                self._reactor.callFromThread(self._told, told)
        finally:
            if not self._stopping.is_set():
                end_process("courier failed", "what is promised to the core would stay undelivered")
