"""A front-end's rows as its daemon has them: the thread of its store, joined to its core.

What a core wants stored or read goes to the thread, and what comes of it back to the core.  Trouble with the
store is said once when it begins and once when it is over.
"""

import os
from collections.abc import Callable

from frontends.front_files import Opened
from frontends.processor import Processor
from frontends.profile import Profile
from frontends.session_rows import Saved
from frontends.store_thread import StoreThread, Told
from qianzhi.runtime import clock
from qianzhi.runtime.effects import Effects, Load, Store
from qianzhi.runtime.log import get_logger
from qianzhi.runtime.shell import Handler

LOOK_SECONDS = 0.5  # so that what another instance has written is known within a second


class FrontRows:
    """The rows of one front-end daemon; `run` carries out what the core wants done."""

    def __init__(
        self, opened: Opened, profile: Profile, run: Callable[[Effects], None], reactor: object
    ) -> None:
        """Nothing is asked of the store before `start`."""
        self._core: Processor = opened.core
        self._run = run
        self._where = opened.store.where
        self._waits = bool(opened.waits_for)
        self._ready: Callable[[], None] = lambda: None
        self._log = get_logger("store")
        told = Told(
            stored=lambda token: self._run(self._core.on_stored(token, clock.now())),
            conflict=self._on_conflict,
            loaded=self._on_loaded,
            looked=lambda saved: self._run(self._core.on_looked(saved, clock.now())),
            trouble=self._on_trouble,
        )
        look_seconds = LOOK_SECONDS if profile.shares_rows else 0.0
        self._thread = StoreThread(opened.store, profile.name, told, reactor, look_seconds)

    @property
    def handlers(self) -> dict[type, Handler]:
        """What the interpreter does with a core's wishes."""
        return {Store: self._store, Load: lambda effect: self._thread.load()}

    def start(self, ready: Callable[[], None]) -> None:
        """Begin; `ready` is called once the rows are known, at once when they were read before."""
        self._thread.start()
        self.top_up()
        if self._waits:
            self._ready = ready
            self._thread.load()
        else:
            ready()

    def top_up(self) -> None:
        """Give the core random bytes for its next key."""
        self._core.add_random(os.urandom(self._core.random_wanted))

    def stop(self) -> None:
        """Finish what was asked for, once each, and end."""
        self._thread.stop()

    def _store(self, effect: Store) -> None:
        """Store rows; a new key may be among them, so that random bytes for the next one are given here."""
        self._thread.write(effect.token, effect.rows)
        self.top_up()

    def _on_conflict(self, token: int, saved: Saved) -> None:
        self._run(self._core.on_conflict(token, saved, clock.now()))

    def _on_loaded(self, saved: Saved) -> None:
        self._run(self._core.on_loaded(saved, clock.now()))
        if self._waits:
            self._waits = False
            self._ready()

    def _on_trouble(self, why: str) -> None:
        if not why:
            self._log.info("the store serves again", where=self._where)
        self._run(self._core.on_store_trouble(why, clock.now()))
