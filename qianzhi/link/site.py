"""Reading site.toml: who is who in a site, with everything that is wrong with it reported at once.

Here and not in `link.tables`, because reading is I/O and the tables are used by pure cores.  Nothing is
opened but the one file; whether a key reference resolves is `runtime.secrets`'s to say.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import field, replace
from ipaddress import ip_network
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from qianzhi.domain.requests import Kind
from qianzhi.link.maintenance import maintenance_problems
from qianzhi.link.tables import (
    BankPlace,
    BrokerTable,
    FrontPlace,
    Group,
    IbmmqTable,
    Identity,
    LinkTable,
    MaintenanceTable,
    Place,
    Route,
    SafTable,
    Site,
    StateTable,
    TlsTable,
)
from qianzhi.runtime.problems import ConfigError, Problem
from qianzhi.runtime.settings import build_known, read_toml
from qianzhi.runtime.table import table

_NAME = re.compile(r"[a-z][a-z0-9_]{0,30}")
_KEY = re.compile(r"test:([0-9A-Fa-f]{2}){16,64}|file:\S.*|env:[A-Za-z_][A-Za-z0-9_]*")
_KINDS = frozenset(kind.name.lower() for kind in Kind)


@table
class SiteFile:
    """The file as it stands; `core` is not looked into."""

    site: Identity
    link: LinkTable = LinkTable()
    groups: dict[str, Group]
    nodes: dict[str, Place]
    bridges: dict[str, Place]
    banks: dict[str, BankPlace]
    routes: list[Route]
    core: dict[str, Any]
    broker: BrokerTable | None = None
    state: StateTable = StateTable()
    tls: dict[str, TlsTable] = field(default_factory=dict)
    maintenance: tuple[MaintenanceTable, ...] = ()
    ibmmq: IbmmqTable | None = None
    saf: SafTable = SafTable()


def load_site(config: Path, name: str | None = None) -> tuple[Site | None, list[Problem]]:
    """Read site.toml, or sites/NAME.toml; return the site, or None and all that is wrong with it."""
    site, problems = look_at_site(config, name)
    return (None if problems else site), problems


def look_at_site(config: Path, name: str | None = None) -> tuple[Site | None, list[Problem]]:
    """Read a site like `load_site`, but return it even with its problems as far as it can be looked at.

    Only for checking what else stands in the same configuration; no daemon may start on such a site.
    """
    path = site_file(config, name)
    try:
        tree = read_toml(path)
    except ConfigError as error:
        return None, error.problems
    return _look(tree, str(path))


def site_of(tree: Mapping[str, Any], file: str) -> tuple[Site | None, list[Problem]]:
    """Build and check a site from a parsed file; `file` is only named in problems."""
    site, problems = _look(tree, file)
    return (None if problems else site), problems


def _look(tree: Mapping[str, Any], file: str) -> tuple[Site | None, list[Problem]]:
    read, problems = build_known(SiteFile, dict(tree), file)
    if read is None:
        return None, problems
    site = Site(
        name=read.site.name,
        production=read.site.production,
        timezone=read.site.timezone,
        data=read.site.data,
        key=read.site.key,
        link=read.link,
        groups=read.groups,
        nodes=read.nodes,
        bridges=read.bridges,
        banks=read.banks,
        routes=read.routes,
        core=read.core,
        file=file,
        broker=read.broker,
        state=read.state,
        tls=read.tls,
        maintenance=read.maintenance,
        ibmmq=read.ibmmq,
        saf=read.saf,
    )
    problems = problems + list(_problems_of(site))
    return (_usable(site) if problems else site), problems


def _usable(site: Site) -> Site:
    """Put right, for looking on, what would stop whoever reads a site that is wrong: its zone, its places."""
    banks = {name: replace(bank, instances=1 + len(bank.others)) for name, bank in site.banks.items()}
    known = not any(key == "site.timezone" for key, _, _ in _identity_problems(site))
    return replace(site, banks=banks, timezone=site.timezone if known else Identity.timezone)


def site_file(config: Path, name: str | None = None) -> Path:
    """Return the path of a site's file."""
    return config / "sites" / f"{name}.toml" if name else config / "site.toml"


def data_folder(site: Site) -> Path:
    """Return the folder that the site's daemons write to; a relative one starts at the working folder."""
    return Path(site.data).absolute()


def zone_of(site: Site) -> ZoneInfo:
    """Return the time zone of business dates."""
    return ZoneInfo(site.timezone)


def front_name(bank: str, instance: int = 1) -> str:
    """Return the name of a bank's front-end daemon; instances count from 1."""
    return f"front-{bank}-{instance}"


def fronts(site: Site) -> Iterator[tuple[str, str, int, FrontPlace]]:
    """Yield (daemon name, bank, instance, place) of every front-end daemon."""
    for bank, place in site.banks.items():
        for instance in range(1, place.instances + 1):
            yield front_name(bank, instance), bank, instance, place.at(instance)


def machines(site: Site) -> dict[str, str]:
    """Return each daemon's machine, in starting order: bridges, nodes, fronts."""
    found = {name: place.machine for name, place in site.bridges.items()}
    found.update((name, place.machine) for name, place in site.nodes.items())
    found.update((name, place.machine) for name, _, _, place in fronts(site))
    return found


def daemon_names(site: Site, machine: str | None = None) -> list[str]:
    """Return the daemons of one machine (of all, without one), in starting order."""
    return [name for name, where in machines(site).items() if machine in (None, where)]


def metrics_port(site: Site, daemon: str) -> int:
    """Return a daemon's metrics port; raises KeyError for a name that the site does not have."""
    places: dict[str, Place | FrontPlace] = {**site.bridges, **site.nodes}
    places.update((name, place) for name, _, _, place in fronts(site))
    return places[daemon].metrics_port


def nodes_of(site: Site, group: str) -> dict[str, tuple[str, int]]:
    """Return the addresses of a group's nodes by name; what a front-end of the group dials."""
    return {name: (site.nodes[name].host, site.nodes[name].port) for name in site.groups[group].nodes}


def bridges_of(site: Site) -> dict[str, tuple[str, int]]:
    """Return the addresses of all bridges by name; what a node dials."""
    return {name: (place.host, place.port) for name, place in site.bridges.items()}


def group_of(site: Site, node: str) -> str:
    """Return the group of a node; raises KeyError for a name that is no node."""
    for name, group in site.groups.items():
        if node in group.nodes:
            return name
    raise KeyError(node)


def entry_of(place: BankPlace) -> str:
    """Return the address that a bank on a socket dials."""
    return place.entry or place.listen


def parse_address(text: str) -> tuple[str, int]:
    """Read `HOST:PORT` or `tcp://HOST:PORT`; an IPv6 host stands in brackets.  Raises ValueError."""
    host, colon, port = text.removeprefix("tcp://").rpartition(":")
    if not colon or not host or not (port.isascii() and port.isdigit()) or not 0 < int(port) <= 65_535:
        raise ValueError(f"an address is HOST:PORT, found {text!r}")
    return host.removeprefix("[").removesuffix("]"), int(port)


def _problems_of(site: Site) -> Iterator[Problem]:
    """Yield what no single table can see."""
    for key, found, expected in [
        *_identity_problems(site),
        *_name_problems(site),
        *_reference_problems(site),
        *_bank_problems(site),
        *_engine_problems(site),
        *_route_problems(site),
        *_port_problems(site),
    ]:
        yield Problem(site.file, key, found, expected)


Finding = tuple[str, str, str]  # dotted key, found, expected


def _identity_problems(site: Site) -> Iterator[Finding]:
    try:
        ZoneInfo(site.timezone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        yield "site.timezone", repr(site.timezone), "a time zone such as Asia/Shanghai"
    kind = site.key.partition(":")[0]
    if not _KEY.fullmatch(site.key):
        shown = f"{kind}:…" if kind in ("test", "file", "env") else "another form"
        yield "site.key", shown, "a key reference: test:HEX (at least 16 bytes), file:PATH or env:NAME"
    elif site.production and kind == "test":
        yield "site.key", "a test key", "file:PATH or env:NAME in production"
    if site.link.dead_seconds <= site.link.ping_seconds:
        yield "link.dead_seconds", str(site.link.dead_seconds), "more than link.ping_seconds"
    for index, network in enumerate(site.link.allow):
        try:
            ip_network(network)
        except ValueError:
            yield f"link.allow.{index}", repr(network), "a network such as 10.1.0.0/16"


def _name_problems(site: Site) -> Iterator[Finding]:
    tables: list[tuple[str, Mapping[str, Any]]] = [
        ("groups", site.groups),
        ("nodes", site.nodes),
        ("bridges", site.bridges),
        ("banks", site.banks),
    ]
    for title, names in tables:
        if not names and title != "banks":
            yield title, "none", "at least one"
        for name in names:
            if not _NAME.fullmatch(name):
                yield f"{title}.{name}", repr(name), "a name of small letters, digits and underscores"
    for name in site.nodes.keys() & site.bridges.keys():
        yield f"nodes.{name}", "the name of a bridge too", "names that daemons do not share"


def _reference_problems(site: Site) -> Iterator[Finding]:
    used: set[str] = set()
    for name, group in site.groups.items():
        if not group.nodes:
            yield f"groups.{name}.nodes", "an empty list", "at least one node"
        if len(set(group.nodes)) < len(group.nodes):
            yield f"groups.{name}.nodes", "a node twice", "each node once"
        for node in group.nodes:
            if node not in site.nodes:
                yield f"groups.{name}.nodes", repr(node), f"one of {_names(site.nodes)}"
            elif node in used:
                yield f"groups.{name}.nodes", f"{node!r}, which another group has", "a node in one group only"
        used.update(group.nodes)
    for node in site.nodes:
        if node not in used:
            yield f"nodes.{node}", "a node of no group", "every node in a group"
    if not site.state.database and len({place.machine for place in site.nodes.values()}) > 1:
        yield "state.database", "none, with nodes on several machines", "a database that they share"


def _bank_problems(site: Site) -> Iterator[Finding]:
    for name, bank in site.banks.items():
        if bank.group and bank.group not in site.groups:
            yield f"banks.{name}.group", repr(bank.group), f"one of {_names(site.groups)}"
        if len(bank.others) != bank.instances - 1:
            yield (
                f"banks.{name}.others",
                f"{len(bank.others)} places",
                f"{bank.instances - 1}, one less than instances",
            )
        for key, text in _addresses(name, bank):
            try:
                parse_address(text)
            except ValueError:
                yield key, repr(text), "HOST:PORT with a port of 1 to 65535"


def _engine_problems(site: Site) -> Iterator[Finding]:
    """What the servers beside us, and the protection of their links, need."""
    uses = [("link.tls", site.link.tls)] + [(f"banks.{name}.tls", b.tls) for name, b in site.banks.items()]
    if site.broker is not None:
        uses.append(("broker.tls", site.broker.tls))
        for index, host in enumerate(site.broker.hosts):
            try:
                parse_address(host)
            except ValueError:
                yield f"broker.hosts.{index}", repr(host), "HOST:PORT with a port of 1 to 65535"
        if len(site.broker.hosts) > 1 and not site.broker.cluster:
            yield "broker.cluster", "''", "the name of the one cluster that all hosts are members of"
    for key, name in uses:
        if name and name not in site.tls:
            yield key, repr(name), f"one of {_names(site.tls)}"
    for name, bank in site.banks.items():
        if bank.engine == "rabbitmq" and site.broker is None:
            yield f"banks.{name}.engine", "'rabbitmq'", "a table [broker] in this site, or another engine"
        if bank.engine == "ibmmq" and site.ibmmq is None:
            yield f"banks.{name}.engine", "'ibmmq'", "a table [ibmmq] in this site, or another engine"
        for title, networks in (("allow", bank.allow), ("proxies", bank.proxies)):
            for index, network in enumerate(networks):
                try:
                    ip_network(network)
                except ValueError:
                    yield f"banks.{name}.{title}.{index}", repr(network), "a network such as 10.1.0.0/16"
    yield from maintenance_problems(site.maintenance, list(site.banks))


def _route_problems(site: Site) -> Iterator[Finding]:
    if not site.routes:
        yield "routes", "none", "at least one"
    targets = {"bridges", "nowhere", *site.banks}
    for index, route in enumerate(site.routes):
        if route.to not in targets:
            yield f"routes.{index}.to", repr(route.to), f"bridges, nowhere or one of {_names(site.banks)}"
        for kind in route.kinds:
            if kind != "*" and kind not in _KINDS:
                yield f"routes.{index}.kinds", repr(kind), f"* or one of {_names(_KINDS)}"


def _port_problems(site: Site) -> Iterator[Finding]:
    """A port serves one listener of a machine, whatever address it binds: some of them bind them all."""
    holders: dict[tuple[str, int], str] = {}
    for machine, port, key in _ports(site):
        holder = holders.setdefault((machine, port), key)
        if holder != key:
            yield key, f"port {port}, which {holder} has on machine {machine!r}", "a port of its own"


def _ports(site: Site) -> Iterator[tuple[str, int, str]]:
    for title, places in (("bridges", site.bridges), ("nodes", site.nodes)):
        for name, place in places.items():
            yield place.machine, place.port, f"{title}.{name}.port"
            yield place.machine, place.metrics_port, f"{title}.{name}.metrics_port"
    for name, bank in site.banks.items():
        places_of_bank = [(f"banks.{name}", bank.at(1))]
        places_of_bank += [(f"banks.{name}.others.{i}", place) for i, place in enumerate(bank.others)]
        for at, place_of_front in places_of_bank:
            yield place_of_front.machine, place_of_front.metrics_port, f"{at}.metrics_port"
            for key in ("listen", "control"):
                text = getattr(place_of_front, key)
                try:
                    yield place_of_front.machine, parse_address(text)[1], f"{at}.{key}"
                except ValueError:
                    continue  # empty, or reported as no address


def _addresses(name: str, bank: BankPlace) -> Iterator[tuple[str, str]]:
    places = [(f"banks.{name}", bank.at(1))]
    places += [(f"banks.{name}.others.{index}", place) for index, place in enumerate(bank.others)]
    for at, place in places:
        for key, text in (("listen", place.listen), ("control", place.control)):
            if text:
                yield f"{at}.{key}", text
    if bank.entry:
        yield f"banks.{name}.entry", bank.entry


def _names(names: Any) -> str:
    return ", ".join(sorted(names)) or "none"
