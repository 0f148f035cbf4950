"""A remote core made from the site's tables: token and protection read, client and settler started."""

from typing import Any

from crm_bridge.remote.client import Client, Remote
from crm_bridge.remote.gateway import RemoteGateway
from crm_bridge.remote.settings import RemoteTable
from crm_bridge.remote.settler import Settler
from crm_bridge.settings import CoreSettings
from qianzhi.link.protection import config_folder, protection_of
from qianzhi.link.site import zone_of
from qianzhi.link.tables import Site
from qianzhi.runtime import metrics
from qianzhi.runtime.daemon import DaemonError
from qianzhi.runtime.effects import Alarm
from qianzhi.runtime.log import get_logger
from qianzhi.runtime.secrets import KeyReferenceError, resolve_password
from qianzhi.runtime.tls_files import TlsError


class RemoteCore:
    """The client that a bridge's gateways share, and what settles outcomes that nobody asks for."""

    def __init__(self, site: Site, bridge: str, settings: CoreSettings, reactor: Any) -> None:
        """Read what the settings refer to; raises DaemonError."""
        if settings.remote is None:
            raise DaemonError("a remote core needs a table [core.remote]")
        try:
            remote = remote_of(site, settings.remote)
        except (KeyReferenceError, TlsError) as error:
            raise DaemonError(f"the remote core cannot be reached so: {error}") from error
        self._settings = settings
        self._zone = zone_of(site)
        self._bridge = bridge
        self._client = Client(remote, settings.keep_days, reactor)
        self._after_seconds = 2 * settings.remote.call_seconds
        self._settler: Settler | None = None

    def gateway(self, lane: int) -> RemoteGateway:
        """Return the gateway of one writer."""
        return RemoteGateway(self._settings, self._zone, self._client, self._bridge, lane)

    def start(self) -> None:
        """Ask the core for its terms, and begin to settle what a former life left open."""
        self._client.start()
        self._settler = Settler(self.gateway(self._settings.writers), self._after_seconds, _alarmed)
        self._settler.start()

    def status(self) -> dict[str, Any]:
        """Return what is known of the core, and how many outcomes are not."""
        return self._client.status() | {"unknown": self._settler.left if self._settler is not None else 0}

    def stop(self) -> None:
        """End what was started here."""
        if self._settler is not None:
            self._settler.stop(0)  # it may wait for the reactor, which waits for us
        self._client.stop()


def remote_of(site: Site, table: RemoteTable) -> Remote:
    """Return the remote core that a site names, its token read; raises KeyReferenceError, TlsError."""
    token = ""
    if table.token:
        token = resolve_password(table.token, production=site.production, base=config_folder(site))
    return Remote(table, token, protection_of(site, table.tls))


def _alarmed(alarms: list[Alarm]) -> None:
    """Raise the settler's alarms as those of a batch are raised."""
    for alarm in alarms:
        metrics.count("qianzhi_alarms_total", (alarm.name,))
        get_logger("settler").error("alarm", alarm=alarm.name, fields=alarm.fields)
