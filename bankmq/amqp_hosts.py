"""Where a session's broker is, and how its hosts are dialled in turn."""

from typing import Any, NamedTuple

from twisted.internet.endpoints import HostnameEndpoint, wrapClientTLS
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.protocol import Factory
from twisted.python.failure import Failure
from zope.interface import implementer  # type: ignore[import-untyped]

CONNECT_SECONDS = 5
STRANGER = "belongs to another cluster"


class Broker(NamedTuple):
    """How to reach RabbitMQ: `hosts` are dialled in turn; `tls` makes a connection creator of a host's name
    (None: in the clear).  All of them are of one cluster: `cluster`, or where that is empty, the one that
    served us first."""

    hosts: tuple[tuple[str, int], ...]
    vhost: str
    user: str
    password: str
    heartbeat_seconds: int = 10
    blocked_seconds: int = 60
    confirms_max: int = 1_000
    retry_seconds: float = 0.2  # the first pause before dialling again; it doubles up to `retry_seconds_max`
    retry_seconds_max: float = 5.0
    tls: Any = None
    cluster: str = ""


@implementer(IStreamClientEndpoint)
class Hosts:
    """The broker's hosts, dialled in turn."""

    def __init__(self, broker: Broker, on_failure: Any, reactor: Any) -> None:
        self._broker = broker
        self._on_failure = on_failure
        self._reactor = reactor
        self._next = 0
        self.name = _name(broker.hosts[0])
        self._cluster = broker.cluster

    @property
    def next_name(self) -> str:
        """Which host is dialled next."""
        return _name(self._broker.hosts[self._next % len(self._broker.hosts)])

    def stranger(self, cluster: str) -> str:
        """Say what is wrong with a broker of this cluster; empty for nothing.

        Brokers that are not joined hold queues of their own: a bank would write into the one, and its front
        read the other.
        """
        if not self._cluster or cluster == self._cluster:
            return ""
        known = f"it {STRANGER}, {cluster or 'without a name'}, and not to {self._cluster}"
        return f"{known} (`rabbitmqctl set_cluster_name` gives joined members one name)"

    def served(self, cluster: str) -> None:
        """A broker of this cluster serves us: from now on no other will do."""
        self._cluster = self._cluster or cluster

    def connect(self, protocolFactory: Any) -> Any:
        """Dial the next host."""
        host, port = self._broker.hosts[self._next % len(self._broker.hosts)]
        name = self.name = self.next_name
        self._next += 1
        endpoint: Any = HostnameEndpoint(self._reactor, host, port, timeout=CONNECT_SECONDS)
        if self._broker.tls is not None:
            endpoint = wrapClientTLS(self._broker.tls(host), endpoint)

        def failed(failure: Failure) -> Failure:
            self._on_failure(name, failure.getErrorMessage())
            return failure

        return endpoint.connect(protocolFactory).addErrback(failed)


class Connections(Factory):
    """Makes the one connection."""

    noisy = False

    def __init__(self, make: Any) -> None:
        self._make = make

    def buildProtocol(self, addr: Any) -> Any:
        """Return the connection that Twisted has just made."""
        return self._make()


def _name(host: tuple[str, int]) -> str:
    return f"{host[0]}:{host[1]}"
