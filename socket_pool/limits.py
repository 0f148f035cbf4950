"""What one listener or caller may cost us; the `[limits]` of a profile's socket and of link.  Pure.

A limit that is passed closes the connection with a reason of its own that is counted: a bank that floods or
stalls must not cost its neighbours anything.
"""

import ipaddress
from typing import Annotated

from annotated_types import Gt, Interval

from qianzhi.runtime.table import table


@table
class SocketLimits:
    """`allow` lists the networks (CIDR) that may connect; the others count connections, seconds and bytes.

    A frame that has begun must be whole within `partial_seconds`.  A peer that does not read its answers is
    no longer read from once more than `unread_bytes_max` wait for it, and is cut when more than
    `write_buffer_bytes_max` do.  With 0 for the first it is read from until it is cut: for a line on which
    both ends ask, because two ends that each stop reading until the other has read wait for each other.  The
    keepalive figures find connections whose other end has silently gone.
    """

    allow: tuple[str, ...] = ("127.0.0.0/8", "::1/128")
    connections_max: Annotated[int, Interval(ge=1, le=65_535)] = 256
    partial_seconds: Annotated[float, Gt(0)] = 10.0
    unread_bytes_max: Annotated[int, Interval(ge=0, le=1 << 30)] = 64 * 1024
    write_buffer_bytes_max: Annotated[int, Interval(ge=4096, le=1 << 30)] = 4 * 1024 * 1024
    close_seconds: Annotated[float, Gt(0)] = 5.0
    keepalive_idle_seconds: Annotated[int, Interval(ge=1, le=32_767)] = 30
    keepalive_interval_seconds: Annotated[int, Interval(ge=1, le=32_767)] = 10
    keepalive_probes: Annotated[int, Interval(ge=1, le=127)] = 3

    def __post_init__(self) -> None:
        """Raise ValueError for an entry of the allow list that is no network."""
        for entry in self.allow:
            try:
                ipaddress.ip_network(entry)
            except ValueError as error:
                raise ValueError(f'networks such as "10.1.0.0/16" in allow, not {entry!r}') from error


def is_allowed(limits: SocketLimits, address: str) -> bool:
    """Tell whether a peer's address lies in one of the allowed networks."""
    return lies_in(limits.allow, address)


def lies_in(networks: tuple[str, ...], address: str) -> bool:
    """Tell whether an address lies in one of these networks; an IPv4 address mapped into IPv6 counts."""
    try:
        peer = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(peer, ipaddress.IPv6Address) and peer.ipv4_mapped is not None:
        peer = peer.ipv4_mapped
    return any(peer in ipaddress.ip_network(entry) for entry in networks)
