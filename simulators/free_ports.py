"""Ports for a system of its own, as tests and benchmarks start beside whatever runs on the machine.

They lie below the range from which the kernel takes the near ends of connections, so that none of them is
gone again before a daemon listens on it.
"""

import itertools
import os
import socket
from collections.abc import Iterator

FIRST, LAST = 20_000, 32_000


def _candidates() -> Iterator[int]:
    """All ports of the range, again and again; each process begins at another place."""
    width = LAST - FIRST
    for step in itertools.count(os.getpid() * 101):
        yield FIRST + step % width


_next = _candidates()


def free_ports(count: int) -> list[int]:
    """Return ports that nobody listens on now; the same port comes again only after all others."""
    found: list[int] = []
    for port in _next:
        if len(found) == count:
            break
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        found.append(port)
    return found


def free_port() -> int:
    """Return one such port."""
    return free_ports(1)[0]
