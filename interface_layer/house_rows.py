"""A node's rows as its daemon has them: the thread of their store, joined to the core."""

from collections.abc import Callable

from interface_layer.node import Node
from interface_layer.site_node import policy_of
from qianzhi.link.site import data_folder, group_of
from qianzhi.link.tables import Site
from qianzhi.runtime import clock
from qianzhi.runtime.effects import Effects, Load, Store
from qianzhi.runtime.log import get_logger
from qianzhi.runtime.shell import Handler
from qianzhi.saf.rows import Entry
from qianzhi.saf.store import SafStore, open_file, open_url
from qianzhi.saf.store_thread import SafThread, Told


class HouseRows:
    """What a core wants stored goes to the thread, and what comes of it back; `run` carries out the rest."""

    def __init__(self, node: Node, store: SafStore, run: Callable[[Effects], None], reactor: object) -> None:
        """Nothing is asked of the store before `start`."""
        self._node = node
        self._run = run
        self._where = store.where
        self._log = get_logger("saf")
        told = Told(
            stored=lambda token, standing: run(node.on_stored(token, standing, clock.now())),
            loaded=lambda saved: run(node.on_loaded(saved, clock.now())),
            lost=lambda token: run(node.on_lost(token, clock.now())),
            trouble=self._on_trouble,
        )
        self._thread = SafThread(store, told, reactor)

    @property
    def handlers(self) -> dict[type, Handler]:
        """What the interpreter does with the core's wishes."""
        return {
            Store: lambda effect: self._thread.write(effect.token, effect.rows),
            Load: lambda effect: self._thread.load(),
        }

    def start(self) -> None:
        """Begin, by reading what is there."""
        self._thread.start()
        self._run(self._node.start(clock.now()))

    def find(self, entry_id: str, found: Callable[[Entry | None], None]) -> None:
        """Look an entry up, ended ones and other nodes' too."""
        self._thread.find(entry_id, found)

    def stop(self) -> None:
        """Finish what was asked for, once each, and end."""
        self._thread.stop()

    def _on_trouble(self, why: str) -> None:
        if not why:
            self._log.info("the rows can be written again", where=self._where)
        self._run(self._node.on_store_trouble(why, clock.now()))


def open_rows(site: Site, name: str, password: str) -> SafStore:
    """Open a node's store: its own file, or the rows that its group shares.  Raises SafError."""
    slot = sorted(site.nodes).index(name)
    if site.state.database:
        lease_us = policy_of(site).lease_us
        return open_url(site.state.database, name, group_of(site, name), lease_us, password, slot)
    return open_file(data_folder(site) / "saf" / f"{name}.db", name, lambda: clock.now().wall_us, slot)
