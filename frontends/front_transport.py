"""The right end towards the bank for a profile: a socket or the queues."""

from collections.abc import Callable
from typing import Any

from bankmq.zeromq import ZmqLimits, ZmqQueueServer
from frontends.processor import Processor
from frontends.profile import Profile
from frontends.queue_front import QueueFront
from frontends.socket_front import SocketFront
from qianzhi.link.site import parse_address
from qianzhi.link.tables import FrontPlace
from qianzhi.runtime.effects import Effects


def make_transport(
    profile: Profile, place: FrontPlace, core: Processor, run: Callable[[Effects], None], reactor: Any
) -> SocketFront | QueueFront:
    """Return what listens for this bank at this place; nothing is opened yet."""
    if profile.transport.kind == "socket":
        return SocketFront(profile, parse_address(place.listen), core, run, reactor)
    limits = ZmqLimits(prefetch=profile.limits.in_flight, message_bytes_max=profile.frame.frame_bytes_max)
    server = ZmqQueueServer(profile.name, place.listen, place.control, limits, reactor)
    return QueueFront(profile.name, server, core, run)
