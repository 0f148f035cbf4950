"""Where a bank reaches us in one site: what a site's tables say about this bank's line, and no secret.

A password that is given in the open, for trying (`test:`), is shown as the test keys are; any other is
handed over separately.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from qianzhi.link.tables import BankPlace, BrokerTable, IbmmqTable, Site, TlsTable

if TYPE_CHECKING:
    from frontends.profile import Profile

TEST = "test:"


@dataclass(frozen=True)
class Where:
    """One bank's place in one site; `tls` protects the line that the bank itself makes, None for no."""

    site: str
    place: BankPlace
    broker: BrokerTable | None
    ibmmq: IbmmqTable | None
    tls: TlsTable | None

    @property
    def trial_password(self) -> str:
        """Return the password for trying, empty where the real one is somebody's secret."""
        reference = self.place.password
        return reference.removeprefix(TEST) if reference.startswith(TEST) else ""


def where_of(site: Site, profile: "Profile") -> Where | None:
    """Return where this bank reaches us; None in a site that does not serve it."""
    place = site.banks.get(profile.name)
    if place is None:
        return None
    name = place.tls
    if profile.transport.kind == "queue":
        name = site.broker.tls if profile.engine == "rabbitmq" and site.broker is not None else ""
    return Where(site.name, place, site.broker, site.ibmmq, site.tls.get(name))
