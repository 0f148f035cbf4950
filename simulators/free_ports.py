"""Ports for a system of its own, as tests and benchmarks start beside whatever runs on the machine.

They lie below the range from which the kernel takes the near ends of connections, so that none of them is
gone again before a daemon listens on it.  A process draws from blocks that it holds for itself: between the
drawing of a port and the start of its daemon nobody listens there, and another process must not draw it.
"""

import atexit
import itertools
import os
import socket
from collections import deque
from collections.abc import Iterator

FIRST, LAST, WIDTH = 20_000, 32_000, 200
HELD_MAX = 10
BLOCKS = (LAST - FIRST) // WIDTH

_held: deque[socket.socket] = deque()


def _hold(block: int) -> bool:
    """Take a block, which ends with the process: a name in the kernel that only one socket can have."""
    holder = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        holder.bind(f"\0qianzhi-ports-{block}")
    except OSError:
        holder.close()
        return False
    _held.append(holder)
    return True


def _candidates() -> Iterator[int]:
    """The ports of one block after the other; each process begins at another place."""
    misses = 0
    for block in itertools.count(os.getpid()):
        # The oldest is given back first: what was drawn from it listens by now, or has ended.
        if len(_held) == HELD_MAX:
            _held.popleft().close()
        if not _hold(block % BLOCKS):
            misses += 1
            if misses == BLOCKS:
                message = f"all ports from {FIRST} to {LAST} are held by running tests or demonstrations"
                raise RuntimeError(message)
            continue
        misses = 0
        start = FIRST + block % BLOCKS * WIDTH
        yield from range(start, start + WIDTH)


def _let_go() -> None:
    """Close what is held, in order: at the very end the interpreter would complain."""
    while _held:
        _held.pop().close()


atexit.register(_let_go)
_next = _candidates()


def free_ports(count: int) -> list[int]:
    """Return ports that nobody listens on now; the same port comes again only after many others.

    Raises RuntimeError when other processes hold them all.
    """
    found: list[int] = []
    while len(found) < count:
        port = next(_next)
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
