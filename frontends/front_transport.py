"""The right end towards the bank for a profile: a socket, the queues or a folder of files."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from bankmq.queue import QueueServer
from bankmq.zeromq import ZmqLimits, ZmqQueueServer
from frontends.alone import Alone
from frontends.files_folder import Folder
from frontends.files_front import FilesFront
from frontends.limits import share
from frontends.processor import Processor
from frontends.profile import Profile
from frontends.queue_front import QueueFront
from frontends.queue_manager import ibmmq_server
from frontends.socket_front import SocketFront
from qianzhi.link.protection import protection_of
from qianzhi.link.site import data_folder, fronts, parse_address
from qianzhi.link.tables import FrontPlace, Site
from qianzhi.runtime import clock
from qianzhi.runtime.effects import Effects


def _rabbitmq(site: Site, profile: Profile, reactor: Any) -> tuple[QueueServer, str]:
    from frontends.broker import rabbit_server  # loads pika, which other fronts do without

    return rabbit_server(site, profile, reactor)


BROKERS: dict[str, Callable[[Site, Profile, Any], tuple[QueueServer, str]]] = {
    "rabbitmq": _rabbitmq,
    "ibmmq": ibmmq_server,
}


def make_transport(
    profile: Profile,
    place: FrontPlace,
    core: Processor,
    run: Callable[[Effects], None],
    reactor: Any,
    site: Site | None = None,
) -> SocketFront | QueueFront | FilesFront:
    """Return what listens for this bank at this place; nothing is opened yet.

    `site` says how the line is protected, and which balancers stand before it.  Raises TlsError.
    """
    if profile.transport.kind == "socket":
        bank = site.banks.get(profile.name) if site is not None else None
        tls = protection_of(site, bank.tls) if site is not None and bank is not None else None
        address = parse_address(place.listen)
        proxies = bank.proxies if bank is not None else ()
        return SocketFront(profile, address, core, run, reactor, tls=tls, proxies=proxies)
    if profile.transport.kind == "files":
        base = data_folder(site) if site is not None else Path()
        return FilesFront(profile, Folder(base / place.folder), core, run, reactor)
    if profile.engine in BROKERS and site is not None:
        name = next(daemon for daemon, _, _, where in fronts(site) if where == place)
        alone = Alone(data_folder(site) / "fronts" / f"{name}.alone", reactor)
        server, queue = BROKERS[profile.engine](site, profile, reactor)
        return QueueFront(queue, server, core, run, clock.now, alone)
    in_flight = share(profile.limits.in_flight, profile.instances)
    limits = ZmqLimits(prefetch=in_flight, message_bytes_max=profile.frame.frame_bytes_max)
    direct = ZmqQueueServer(profile.name, place.listen, place.control, limits, reactor)
    return QueueFront(profile.name, direct, core, run, clock.now)
