"""A site's [ibmmq] as a front-end uses it: the queue manager, and the names of one bank's queues."""

from typing import Any

from bankmq.ibmmq import IbmmqLimits, IbmmqQueueServer
from bankmq.ibmmq_client import Manager
from bankmq.ibmmq_names import ibmmq_names
from bankmq.queue import QueueServer
from frontends.limits import share
from frontends.profile import Profile
from qianzhi.link.protection import config_folder
from qianzhi.link.tables import Site
from qianzhi.runtime.daemon import DaemonError
from qianzhi.runtime.secrets import KeyReferenceError, resolve_password


def ibmmq_server(site: Site, profile: Profile, reactor: Any) -> tuple[QueueServer, str]:
    """Return what serves this bank's queues, and the main queue's name; raises DaemonError."""
    table = site.ibmmq
    if table is None:
        raise DaemonError(f"{profile.name} is on IBM MQ, but {site.file} has no table [ibmmq]")
    try:
        names = ibmmq_names(table.prefix, profile.name)
        base = config_folder(site)
        password = (
            resolve_password(table.password, production=site.production, base=base) if table.password else ""
        )
    except (KeyReferenceError, ValueError) as error:
        raise DaemonError(f"[ibmmq] of {site.file}: {error}") from error
    manager = Manager(
        name=table.queue_manager,
        channel=table.channel,
        connections=table.connections,
        user=table.user,
        password=password,
        cipher=table.cipher,
        key_repository=str(base / table.key_repository) if table.key_repository else "",
    )
    limits = IbmmqLimits(
        prefetch=share(profile.limits.in_flight, profile.instances),
        message_bytes_max=profile.frame.frame_bytes_max,
        workers=table.workers,
    )
    server = IbmmqQueueServer(names, manager, limits, reactor, one_queue=profile.transport.one_queue)
    return server, names.main
