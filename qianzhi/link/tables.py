"""The tables of site.toml's shared part: who is who in a site, and where each of them listens.

They are declared here, apart from the reading (`link.site`), so that pure cores may use them.  What belongs
to one package alone stays raw and is built there (`Site.core` by crm_bridge).
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from annotated_types import Ge, Le, MinLen

from qianzhi.runtime.table import table

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
    """[nodes.NAME] or [bridges.NAME]: the machine that it runs on, and the address that its peers dial."""

    machine: Text = "local"
    host: Text
    port: Port
    metrics_port: Port


@table
class FrontPlace:
    """Where one front-end daemon of a bank runs and listens.

    `listen` and `control` are `HOST:PORT` or `tcp://HOST:PORT`; empty where the transport needs none.
    """

    machine: Text = "local"
    listen: str = ""
    control: str = ""
    metrics_port: Port


@table
class BankPlace:
    """[banks.NAME]: what this site sets for a bank; an empty `group` or `engine` leaves the profile's own.

    The keys of the table place the first instance; each further one is a row of `others`.
    """

    machine: Text = "local"
    group: str = ""
    engine: Literal["", "zeromq", "rabbitmq"] = ""
    instances: Annotated[int, Ge(1), Le(16)] = 1
    listen: str = ""
    control: str = ""
    metrics_port: Port
    others: tuple[FrontPlace, ...] = ()

    def at(self, instance: int) -> FrontPlace:
        """Return the place of an instance, counted from 1; raises IndexError past the last one."""
        if instance > 1:
            return self.others[instance - 2]
        return FrontPlace(
            machine=self.machine, listen=self.listen, control=self.control, metrics_port=self.metrics_port
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
class LinkTable:
    """[link]: bounds of every connection between our daemons.

    `window` is how many requests one peer may have outstanding with another; a tenth of it is kept for
    reversals, status queries and blocks.  `allow` lists the networks that may connect.
    """

    window: Annotated[int, Ge(2), Le(100_000)] = 4_000
    frame_bytes_max: Annotated[int, Ge(65_536), Le(64 << 20)] = 4 << 20
    handshake_seconds: Annotated[int, Ge(1), Le(60)] = 5
    ping_seconds: Annotated[int, Ge(1), Le(60)] = 2
    dead_seconds: Annotated[int, Ge(2), Le(300)] = 6
    allow: tuple[str, ...] = ("127.0.0.0/8", "::1/128")


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
