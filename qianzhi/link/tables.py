"""The tables of site.toml's shared part: who is who in a site, and where each of them listens.

They are declared here, apart from the reading (`link.site`), so that pure cores may use them.  What belongs
to one package alone stays raw and is built there (`Site.core` by crm_bridge).
"""

from collections.abc import Mapping
from dataclasses import field, replace
from typing import Annotated, Any, Literal

from annotated_types import Ge, Le, MinLen

from qianzhi.runtime.table import table
from qianzhi.runtime.tls_table import TlsTable as TlsTable

Port = Annotated[int, Ge(1), Le(65_535)]
Text = Annotated[str, MinLen(1)]


@table
class Identity:
    """[site]: the installation itself.

    `data` is relative to the working folder; `key` is the reference of the link key, never the key.
    """

    name: Text
    production: bool = False
    timezone: Text = "Asia/Shanghai"
    data: Text = "var"
    key: Text


@table
class Group:
    """[groups.NAME]: interface nodes that stand in for each other; a bank belongs to one group."""

    nodes: list[str]


@table
class Place:
    """[nodes.NAME] or [bridges.NAME]: the machine that it runs on, and the address that its peers dial.

    `weight` is how much of the work it takes beside its partners: one of 20 takes twice what one of 10 does.
    """

    machine: Text = "local"
    host: Text
    port: Port
    metrics_port: Port
    weight: Annotated[int, Ge(1), Le(100)] = 10


@table
class FrontPlace:
    """Where one front-end daemon of a bank runs and listens.

    `listen` and `control` are `HOST:PORT` or `tcp://HOST:PORT`; empty where the transport needs none.
    `folder`, relative to the data folder, is where the files of a bank arrive that sends files.
    """

    machine: Text = "local"
    listen: str = ""
    control: str = ""
    folder: str = ""
    metrics_port: Port


@table
class BankPlace:
    """[banks.NAME]: what this site sets for a bank; an empty `group` or `engine` leaves the profile's own.

    The keys of the table place the first instance; each further one a row of `others`.  `folder` is that of
    all of them.  `entry` is what the bank dials where a balancer stands before the instances (empty: `listen`
    of the first one); `allow` are the networks that it may dial from (empty leaves the profile's own);
    `proxies` are the networks of balancers that say with the PROXY protocol who dials.  `tls` names a table
    of [tls].
    `password` is the reference of the password of the bank's own user at the broker, which `qianzhi broker
    users` sets and the simulated bank logs in with; where it is empty, the user is left as the operator made
    it.
    """

    machine: Text = "local"
    group: str = ""
    engine: Literal["", "zeromq", "rabbitmq", "ibmmq"] = ""
    instances: Annotated[int, Ge(1), Le(16)] = 1
    listen: str = ""
    control: str = ""
    folder: str = ""
    metrics_port: Port
    others: tuple[FrontPlace, ...] = ()
    entry: str = ""
    allow: tuple[str, ...] = ()
    proxies: tuple[str, ...] = ()
    tls: str = ""
    password: str = ""

    def at(self, instance: int) -> FrontPlace:
        """Return the place of an instance, counted from 1; raises IndexError past the last one."""
        if instance > 1:
            return replace(self.others[instance - 2], folder=self.folder)
        return FrontPlace(
            machine=self.machine,
            listen=self.listen,
            control=self.control,
            folder=self.folder,
            metrics_port=self.metrics_port,
        )


@table
class Route:
    """[[routes]]: the first row that fits says where a request goes.

    `numbers` are bank numbers, `95566*` for a beginning, `*` for all; `kinds` are names of `domain.Kind` in
    small letters, `*` for all; `to` is `bridges`, `nowhere`, or the name of a bank (outward).
    """

    numbers: Annotated[list[Text], MinLen(1)]
    kinds: Annotated[list[Text], MinLen(1)]
    to: Text


@table
class BrokerTable:
    """[broker]: the RabbitMQ that serves the queues of banks whose engine is `rabbitmq`.

    `hosts` are HOST:PORT, dialled in turn until one answers; `password` is a reference; `tls` names a table
    of [tls].  `prefix` stands before every queue's name.  `blocked_seconds` is how long the broker may hold
    its publishers back before the connection is given up; `confirms_max` bounds the replies that it has not
    confirmed; `delivery_limit` is the broker's own safety net against a message that kills its consumers.
    `cluster` is the name of the one cluster that all hosts must be members of; where it is empty, a daemon
    holds them to the one that served it first.
    """

    hosts: Annotated[list[Text], MinLen(1)]
    vhost: Text = "/"
    user: Text = "qianzhi"
    password: Text
    tls: str = ""
    prefix: str = ""
    heartbeat_seconds: Annotated[int, Ge(2), Le(600)] = 10
    blocked_seconds: Annotated[int, Ge(1), Le(600)] = 60
    confirms_max: Annotated[int, Ge(1), Le(65_535)] = 1_000
    delivery_limit: Annotated[int, Ge(5), Le(10_000)] = 100
    cluster: str = ""


@table
class IbmmqTable:
    """[ibmmq]: the queue manager that serves the queues of banks whose engine is `ibmmq`.

    `connections` is the client's list of HOST(PORT), tried in turn; `channel` the server-connection channel.
    `user` may be empty where the channel's own rules say who we are; `password` is a reference.  `cipher` and
    `key_repository` (a path without its ending) turn TLS on.  `prefix` stands before every queue's name, in
    capitals.  `workers` is how many connections read each queue.
    """

    queue_manager: Text
    channel: Text = "QIANZHI.SVRCONN"
    connections: Text = "127.0.0.1(1414)"
    user: str = ""
    password: str = ""
    cipher: str = ""
    key_repository: str = ""
    prefix: str = ""
    workers: Annotated[int, Ge(1), Le(64)] = 2


@table
class StateTable:
    """[state]: where daemons of several machines keep what they share: session rows and heartbeats.

    An empty `database` means SQLite files in the data folder, for daemons of one machine.  `password` is a
    reference, for a PostgreSQL URL, which itself never holds one.
    """

    database: str = ""
    password: str = ""
    heartbeat_seconds: Annotated[int, Ge(1), Le(60)] = 2


@table
class SafTable:
    """[saf]: how store-and-forward tries, and for how long.

    The first `fast_tries` of an entry are `fast_seconds` apart, later ones twice as far each time, up to
    `slow_seconds`; an answer is awaited for `answer_seconds`.  An entry's time is over `deadline_minutes`
    after the midnight that ends its business date.  `window` entries of one destination are under way at
    once, `entries_max` may wait at a node; what has ended is kept for `keep_days`, an order for ever.  Where
    nodes share their rows in the state database, a node that gives no sign of life for `lease_seconds` loses
    them to its partner.
    """

    fast_tries: Annotated[int, Ge(1), Le(100)] = 3
    fast_seconds: Annotated[int, Ge(1), Le(3_600)] = 5
    slow_seconds: Annotated[int, Ge(1), Le(86_400)] = 60
    answer_seconds: Annotated[int, Ge(1), Le(600)] = 30
    deadline_minutes: Annotated[int, Ge(1), Le(43_200)] = 720
    window: Annotated[int, Ge(1), Le(10_000)] = 16
    entries_max: Annotated[int, Ge(1), Le(10_000_000)] = 100_000
    keep_days: Annotated[int, Ge(1), Le(3_650)] = 30
    lease_seconds: Annotated[int, Ge(3), Le(3_600)] = 10


@table
class MaintenanceTable:
    """[[maintenance]]: a planned time in which some banks' money requests are refused as closed.

    `start` and `end` are local times YYYY-MM-DDTHH:MM; an empty `banks` means all of them.
    """

    banks: tuple[str, ...] = ()
    start: Text
    end: Text
    reason: str = ""


@table
class LinkTable:
    """[link]: bounds of every connection between our daemons.

    `window` is how many requests one peer may have outstanding with another; a tenth of it is kept for
    reversals, status queries and blocks.  `run` requests of a list, one after the other, go to one peer, then
    the next is chosen.  `allow` lists the networks that may connect; `tls` names a table of [tls].
    """

    window: Annotated[int, Ge(2), Le(100_000)] = 4_000
    run: Annotated[int, Ge(1), Le(1_000)] = 32
    frame_bytes_max: Annotated[int, Ge(65_536), Le(64 << 20)] = 4 << 20
    handshake_seconds: Annotated[int, Ge(1), Le(60)] = 5
    ping_seconds: Annotated[int, Ge(1), Le(60)] = 2
    dead_seconds: Annotated[int, Ge(2), Le(300)] = 6
    allow: tuple[str, ...] = ("127.0.0.0/8", "::1/128")
    tls: str = ""


@table
class BankLimits:
    """How much of the platform one bank may hold: requests in flight, and a rate with its burst.

    A rate of 0 is no limit; reversals, status queries and blocks are never counted against it.
    """

    in_flight: Annotated[int, Ge(1)] = 1_000
    rate_per_second: Annotated[int, Ge(0)] = 0
    burst: Annotated[int, Ge(1)] = 100


@table
class Site:
    """A whole site as read and checked; `core` is the raw table [core], `file` where all of it stands."""

    name: str
    production: bool
    timezone: str
    data: str
    key: str
    link: LinkTable
    groups: Mapping[str, Group]
    nodes: Mapping[str, Place]
    bridges: Mapping[str, Place]
    banks: Mapping[str, BankPlace]
    routes: list[Route]
    core: Mapping[str, Any]
    file: str
    broker: BrokerTable | None = None
    state: StateTable = StateTable()
    tls: Mapping[str, TlsTable] = field(default_factory=dict)
    maintenance: tuple[MaintenanceTable, ...] = ()
    ibmmq: IbmmqTable | None = None
    saf: SafTable = SafTable()
