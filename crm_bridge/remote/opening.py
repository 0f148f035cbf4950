"""A remote core made from the site's tables: token and protection read, threads and client started."""

from collections.abc import Mapping
from typing import Any

from crm_bridge.remote.client import Client, Remote
from crm_bridge.remote.courier import Courier
from crm_bridge.remote.forwarder import Forwarder
from crm_bridge.remote.forwarding import Forwarding
from crm_bridge.remote.gateway import RemoteGateway
from crm_bridge.remote.promised.store import open_promises
from crm_bridge.remote.promises import Promising
from crm_bridge.remote.settings import RemoteTable
from crm_bridge.remote.settler import Keeping, Settler
from crm_bridge.remote.store import ClaimStore
from crm_bridge.settings import CoreSettings
from qianzhi.link.protection import config_folder, protection_of
from qianzhi.link.site import data_folder, zone_of
from qianzhi.link.tables import Site
from qianzhi.runtime import clock, metrics
from qianzhi.runtime.admin import Command
from qianzhi.runtime.daemon import DaemonError
from qianzhi.runtime.effects import Alarm
from qianzhi.runtime.log import get_logger
from qianzhi.runtime.now import SECOND_US
from qianzhi.runtime.secrets import KeyReferenceError, resolve_password
from qianzhi.runtime.tls_files import TlsError
from qianzhi.runtime.urls import is_postgres
from qianzhi.saf.policies import DAY_US, Policy
from qianzhi.saf.rows import Entry


class RemoteCore:
    """The client that a bridge's gateways share, and what settles outcomes that nobody asks for."""

    # Gateways beside the writers': one promises what a death left open, one delivers.
    SETTLER, COURIER = 0, 1

    def __init__(self, site: Site, bridge: str, settings: CoreSettings, reactor: Any) -> None:
        """Read what the settings refer to; raises DaemonError."""
        if settings.remote is None:
            raise DaemonError("a remote core needs a table [core.remote]")
        try:
            remote = remote_of(site, settings.remote)
        except (KeyReferenceError, TlsError) as error:
            raise DaemonError(f"the remote core cannot be reached so: {error}") from error
        self._site = site
        self._settings = settings
        self._zone = zone_of(site)
        self._bridge = bridge
        self._reactor = reactor
        self._policy = policy_of(site, settings)
        self._client = Client(remote, settings.keep_days, reactor, self._turned)
        self._after_seconds = 2 * settings.remote.call_seconds
        self._settler: Settler | None = None
        self._forwarder: Forwarder | None = None

    def gateway(self, lane: int) -> RemoteGateway:
        """Return the gateway of one writer."""
        promising = Promising(self._bridge, self._policy, self._zone)
        return RemoteGateway(
            self._settings, self._zone, self._client, self._bridge, lane, promising, self._promised
        )

    def start(self) -> None:
        """Ask the core for its terms, and begin to settle what a former life left open."""
        beside = self._settings.writers
        lease_us, database = self._policy.lease_us, self._settings.database
        self._forwarder = Forwarder(
            Forwarding(self._policy, self._zone),
            Courier(self.gateway(beside + self.COURIER), _alarmed),
            open_promises(database, self._bridge, lease_us, lambda: clock.now().wall_us),
            self._reactor,
            data_folder(self._site) / "saf" / "export",
            (self._site.name, self._bridge),
        )
        self._forwarder.start()
        self._client.start()
        keeping = Keeping(ClaimStore(database), self._settings.keep_days, self._zone)
        self._settler = Settler(self.gateway(beside + self.SETTLER), self._after_seconds, keeping, _alarmed)
        self._settler.start()

    def status(self) -> dict[str, Any]:
        """Return what is known of the core, and how much of what was promised to it is open."""
        if self._forwarder is None:
            return self._client.status() | {"unknown": 0}
        left = self._forwarder.open_promises()
        return self._client.status() | {"unknown": left, "saf": self._forwarder.status()}

    def commands(self) -> Mapping[str, Command]:
        """Return the operators' commands on what was promised."""
        return self._forwarder.commands() if self._forwarder is not None else {}

    def stop(self) -> None:
        """End what was started here."""
        if self._settler is not None:
            self._settler.stop(0)  # it may wait for the reactor, which waits for us
        if self._forwarder is not None:
            self._forwarder.stop()
        self._client.stop()

    def _promised(self, entries: list[Entry]) -> None:
        """Called on the thread of whoever promised."""
        if self._forwarder is not None:
            self._forwarder.promised(entries)

    def _turned(self, forwards: bool) -> None:
        if self._forwarder is not None:
            self._forwarder.set_ready(forwards)


def policy_of(site: Site, settings: CoreSettings) -> Policy:
    """Return the site's figures of store-and-forward; only bridges that share a database lease their rows."""
    table = site.saf
    return Policy(
        fast_tries=table.fast_tries,
        fast_us=table.fast_seconds * SECOND_US,
        slow_us=table.slow_seconds * SECOND_US,
        answer_us=table.answer_seconds * SECOND_US,
        deadline_minutes=table.deadline_minutes,
        window=table.window,
        entries_max=table.entries_max,
        keep_us=table.keep_days * DAY_US,
        lease_us=table.lease_seconds * SECOND_US if is_postgres(settings.database) else 0,
    )


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
