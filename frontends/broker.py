"""The queue engine that a site chooses for a bank, made from the site's tables."""

from typing import Any

from bankmq.amqp import Broker
from bankmq.amqp_names import bank_names
from bankmq.queue import QueueServer
from bankmq.rabbit import RabbitLimits, RabbitQueueServer
from frontends.flights import rooms
from frontends.limits import share
from frontends.profile import Profile
from qianzhi.link.protection import config_folder, protection_of
from qianzhi.link.site import parse_address
from qianzhi.link.tables import BrokerTable, Site
from qianzhi.runtime.daemon import DaemonError
from qianzhi.runtime.secrets import KeyReferenceError, resolve_password


def our_broker(site: Site, table: BrokerTable) -> Broker:
    """Return how our own daemons reach the site's broker; raises KeyReferenceError and TlsError."""
    protection = protection_of(site, table.tls)
    return Broker(
        hosts=tuple(parse_address(host) for host in table.hosts),
        vhost=table.vhost,
        user=table.user,
        password=resolve_password(table.password, production=site.production, base=config_folder(site)),
        heartbeat_seconds=table.heartbeat_seconds,
        blocked_seconds=table.blocked_seconds,
        confirms_max=table.confirms_max,
        tls=protection.client if protection is not None else None,
        cluster=table.cluster,
    )


def rabbit_server(site: Site, profile: Profile, reactor: Any) -> tuple[QueueServer, str]:
    """Return a bank's queues on the site's RabbitMQ, and the main one's name; raises DaemonError, and
    TlsError."""
    table = site.broker
    if table is None:
        raise DaemonError(f"{profile.name} is on RabbitMQ, but {site.file} has no table [broker]")
    try:
        broker = our_broker(site, table)
    except KeyReferenceError as error:
        raise DaemonError(f"broker.password: {error}") from error
    ordinary, reserved = rooms(share(profile.limits.in_flight, profile.instances))
    limits = RabbitLimits(
        # The prefetch is the bound of what is in flight; at the core's own bound, consuming would be paused.
        prefetch=min(max(1, ordinary - 1), 65_535),
        control_prefetch=min(reserved, 65_535),
        message_bytes_max=profile.frame.frame_bytes_max,
        delivery_limit=table.delivery_limit,
    )
    names = bank_names(table.prefix, profile.name)
    one_queue = profile.transport.one_queue
    return RabbitQueueServer(names, broker, limits, reactor, one_queue=one_queue), names.main
