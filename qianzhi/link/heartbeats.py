"""A daemon's heartbeat: a thread that keeps its row in the [state] database, and the reading of all rows.

The database may be slow or away for hours: the daemon never waits for it, and only the newest row is kept
for it.
"""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from qianzhi.link.site import bridges_of, data_folder, machines
from qianzhi.link.store import Beat, BeatsError, BeatStore, Row, open_beats
from qianzhi.link.tables import Site
from qianzhi.runtime.secrets import resolve_password

FRESH_BEATS = 3  # a row is believed for so many times the heartbeat's seconds
LAST_SECONDS = 2.0

Written = Callable[[], None]


class Heartbeat:
    """One daemon's row; `seconds` is how often it wants to be given a status."""

    def __init__(self, site: Site, name: str, config: Path) -> None:
        """Nothing is opened before `start`; raises KeyReferenceError for a password that is not there."""
        self.seconds = site.state.heartbeat_seconds
        self._name = name
        self._machine = machines(site)[name]
        self._kind = kind_of(site, name)
        self._store = store_of(site, config)
        self._changed = threading.Condition()
        self._next: Row | None = None
        self._written: list[Written] = []
        self._stopping = False
        self._trouble = ""
        self._on_trouble: Callable[[str], None] = lambda _: None
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    def start(self, on_trouble: Callable[[str], None]) -> None:
        """Begin; `on_trouble` is called on the thread with each change: what is wrong, or nothing."""
        self._on_trouble = on_trouble
        self._thread.start()

    def give(self, status: dict[str, Any], written: Written | None = None) -> None:
        """Write this status as soon as the database takes it, in place of one that still waits.

        `written` is called on the thread after the attempt, whether it succeeded or not.
        """
        with self._changed:
            self._next = Row(self._name, self._machine, self._kind, is_ready(status), status)
            if written is not None:
                self._written.append(written)
            self._changed.notify()

    def stop(self) -> None:
        """Write what waits, if that takes no longer than a moment, and end."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        if self._thread.is_alive():
            self._thread.join(LAST_SECONDS)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._next is not None or self._stopping)
                row, self._next = self._next, None
                written, self._written = self._written, []
            if row is None:
                return self._store.close()
            self._write(row)
            for call in written:
                call()

    def _write(self, row: Row) -> None:
        try:
            self._store.write(row)
            trouble = ""
        except BeatsError as error:
            trouble = str(error)
        if bool(trouble) != bool(self._trouble):
            self._on_trouble(trouble)
        self._trouble = trouble


def store_of(site: Site, config: Path) -> BeatStore:
    """Return the store of a site's heartbeats; `config` is from where a password's file is meant.

    Raises KeyReferenceError.
    """
    state = site.state
    password = ""
    if state.password:
        password = resolve_password(state.password, production=site.production, base=config)
    return open_beats(state.database, password, data_folder(site))


def read_beats(site: Site, config: Path) -> dict[str, Beat]:
    """Return the last row of every daemon by name; blocks.  Raises BeatsError, KeyReferenceError."""
    store = store_of(site, config)
    try:
        return {beat.row.name: beat for beat in store.read()}
    finally:
        store.close()


def fresh(site: Site, beat: Beat) -> bool:
    """Tell whether a row is young enough to be believed."""
    return beat.age_seconds <= FRESH_BEATS * site.state.heartbeat_seconds


def is_ready(status: dict[str, Any]) -> bool:
    """Tell from its status whether a daemon takes new requests."""
    if status.get("state") != "running" or status.get("draining"):
        return False
    return bool(status.get("ready", True)) and status.get("broker_state", "ready") == "ready"


def kind_of(site: Site, name: str) -> str:
    """Return bridge, node or front."""
    if name in bridges_of(site):
        return "bridge"
    return "node" if name in site.nodes else "front"
