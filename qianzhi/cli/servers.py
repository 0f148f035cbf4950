"""The servers that a site laid out on this machine needs: a broker, a database and its standby, a balancer.

All are private: folders, ports and passwords of their own, ended with this process.  Who has what rights is
made by the same commands that an operator uses.
"""

import contextlib
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from qianzhi.cli.balancer import entries, render
from qianzhi.cli.output import BROKEN, USAGE, CommandError, say

if TYPE_CHECKING:
    from qianzhi.cli.chosen import Chosen
    from qianzhi.link.tables import Site
    from simulators.servers.haproxy import Haproxy
    from simulators.servers.postgres import Listening, Postgres
    from simulators.servers.rabbitmq import Broker


@contextlib.contextmanager
def servers_of(chosen: "Chosen") -> Iterator[None]:
    """Start the servers of a site and make its users there; end them after the block.

    Raises CommandError for what is missing here and for what does not start.
    """
    from qianzhi.cli.daemons import site_of
    from simulators.servers.packages import PackagesMissing, require
    from simulators.servers.processes import ServerFailed

    site = site_of(chosen)
    try:
        require(*packages_of(site))
        with contextlib.ExitStack() as stack:
            say("\n".join(where(start_all(chosen, site, stack))))
            yield
    except PackagesMissing as error:
        raise CommandError(USAGE, "the servers of this site", str(error)) from error
    except ServerFailed as error:
        raise CommandError(BROKEN, f"a server of this site: {error}") from error


def packages_of(site: "Site") -> list[str]:
    """Return the Debian packages of the servers that a site names."""
    from qianzhi.runtime.urls import is_postgres

    wanted = {
        "rabbitmq-server": site.broker is not None,
        "postgresql": is_postgres(str(site.core.get("database", ""))),
        "haproxy": bool(entries(site)),
    }
    return [name for name, needed in wanted.items() if needed]


class Servers(NamedTuple):
    """What was started; None for what the site does not name."""

    broker: "Broker | None"
    database: "Postgres | None"
    standby: "Postgres | None"


def where(servers: Servers) -> Iterator[str]:
    """Say where each server listens and which process it is, for whoever wants to see it end."""
    if servers.broker is not None:
        broker = servers.broker
        yield f"RabbitMQ on {broker.host}:{broker.port}, process {broker.pid}"
    for name, server in (("PostgreSQL", servers.database), ("its standby", servers.standby)):
        if server is not None:
            yield f"{name} on {server.host}:{server.port}, process {server.pid}, data in {server.data}"


def start_all(chosen: "Chosen", site: "Site", stack: contextlib.ExitStack) -> Servers:
    """Start what the site names, the slowest first; each is closed when the stack is."""
    packages = packages_of(site)
    say(f"starting private servers: {', '.join(packages)}")
    broker = private_broker(site) if "rabbitmq-server" in packages else None
    if broker is not None:
        stack.callback(broker.close)
        broker.launch()
    database, standby = None, None
    if "postgresql" in packages:
        database, standby = private_database(site, stack)
        make_database(chosen, database)
    if broker is not None:
        broker.wait_ready()
        make_users(chosen, broker)
    if "haproxy" in packages:
        balancer = private_balancer(site)
        stack.callback(balancer.close)
        balancer.start()
    return Servers(broker, database, standby)


def private_broker(site: "Site") -> "Broker":
    """Make the broker at the first address of the site's table."""
    from qianzhi.link.site import parse_address
    from simulators.servers.rabbitmq import Broker

    assert site.broker is not None  # noqa: S101 - `packages_of` saw it
    host, port = parse_address(site.broker.hosts[0])
    return Broker.create(host=host, port=port)


def private_database(site: "Site", stack: contextlib.ExitStack) -> "tuple[Postgres, Postgres | None]":
    """Start PostgreSQL at the addresses of the core's URL, the second one as the standby of the first."""
    from simulators.servers.postgres import Cluster, Postgres

    places = [listening(host) for host in database_hosts(site)]
    if len(places) > 1:
        cluster = Cluster.create(at=places)
        stack.callback(cluster.close)
        return cluster.primary, cluster.standby
    server = Postgres.create(at=places[0])
    stack.callback(server.close)
    server.start()
    return server, None


def database_hosts(site: "Site") -> list[str]:
    """Return HOST:PORT of the core's database and its standby."""
    from qianzhi.runtime.urls import hosts_of

    return hosts_of(str(site.core["database"]))


def listening(address: str) -> "Listening":
    """Return where a private database listens, open to this machine."""
    from qianzhi.link.site import parse_address
    from simulators.servers.postgres import Listening

    host, port = parse_address(address)
    return Listening(host, port, "127.0.0.0/8")


def make_database(chosen: "Chosen", server: "Postgres") -> None:
    """Make roles, database, schemas and tables, as `qianzhi database init` does."""
    from qianzhi.cli.database import init_command

    init_command(chosen, server.url(server.admin_user, "postgres", server.admin_password))


def make_users(chosen: "Chosen", broker: "Broker") -> None:
    """Make our user and each bank's, with their rights, from what `qianzhi broker users` writes; name the
    cluster as the site does."""
    from qianzhi.cli.broker import users_command
    from qianzhi.cli.daemons import site_of

    table = site_of(chosen).broker
    if table is not None and table.cluster:
        broker.manage("PUT", "/cluster-name", {"name": table.cluster})
    file = broker.folder / "users.json"
    users_command(chosen, file, False)
    broker.manage("POST", "/definitions", json.loads(file.read_text(encoding="utf-8")))


def private_balancer(site: "Site") -> "Haproxy":
    """Make the balancer of the banks' entries."""
    from simulators.servers.haproxy import Haproxy

    return Haproxy.create(render(site, service=False), entries(site))
