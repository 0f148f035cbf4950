"""The core behind a bridge, embedded or remote: a gateway for each writer, and what they share.

Apart from the daemon, which asks every core alike; what a remote one needs is loaded only where there is one.
"""

from collections.abc import Mapping
from datetime import tzinfo
from functools import partial
from typing import TYPE_CHECKING, Any

from crm_bridge.gateway import Core, Gateway
from crm_bridge.settings import CoreSettings
from qianzhi.link.site import zone_of
from qianzhi.link.tables import Site
from qianzhi.runtime.admin import AdminError, Answer, Arguments, Command

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred

    from crm_bridge.remote.opening import RemoteCore


class Cores:
    """One bridge's core."""

    def __init__(self, site: Site, bridge: str, settings: CoreSettings, reactor: Any) -> None:
        """Nothing is opened or dialled."""
        self._site = site
        self._bridge = bridge
        self._reactor = reactor
        self._settings = settings
        self._gateways: list[Core] = []
        self._remote: RemoteCore | None = None

    @property
    def zone(self) -> tzinfo:
        """In which business dates begin at midnight."""
        return zone_of(self._site)

    def keep_after(self, date: int) -> None:
        """Refuse keys of this date and before it as too old: their rows may be gone."""
        for gateway in self._gateways:
            gateway.keep_after(date)

    def open(self) -> list[Core]:
        """Return a gateway for each writer; a remote core is asked for its terms.  Raises DaemonError."""
        settings, zone = self._settings, self.zone
        self._remote = _remote_core(self._site, self._bridge, settings, self._reactor)
        for lane in range(settings.writers):
            if self._remote is not None:
                self._gateways.append(self._remote.gateway(lane))
            else:
                self._gateways.append(Gateway(settings.database, settings, zone, self._bridge, lane))
        if self._remote is not None:
            self._remote.start()
        return self._gateways

    def status(self) -> dict[str, Any]:
        """Return what the status command says of the core: nothing of one that is embedded."""
        return {"core": self._remote.status()} if self._remote is not None else {}

    def commands(self) -> Mapping[str, Command]:
        """Return the operators' commands on what was promised to a remote core; may be called at any time."""
        if self._settings.kind != "remote":
            return {}
        from qianzhi.saf.commands import NAMES

        return {name: partial(self._ask, name) for name in NAMES}

    def _ask(self, name: str, arguments: Arguments) -> "Answer | Deferred[Answer]":
        if self._remote is None:
            raise AdminError(f"{self._bridge} is starting; ask again")
        return self._remote.commands()[name](arguments)

    def stop(self) -> None:
        """End what was opened here; the writers have stopped."""
        if self._remote is not None:
            self._remote.stop()
        for gateway in self._gateways:
            gateway.close()


def _remote_core(site: Site, bridge: str, settings: CoreSettings, reactor: Any) -> "RemoteCore | None":
    if settings.kind != "remote":
        return None
    from crm_bridge.remote.opening import RemoteCore

    return RemoteCore(site, bridge, settings, reactor)
