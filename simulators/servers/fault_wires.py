"""What the fault proxy stands between, and what it may do there; pure data, and its way over a pipe as JSON.

    a program on `machine` dials host:port, an address of `server`
        ──▶ the proxy, which listens on that very address inside the client's machine
        ──▶ the client's own cable, from `source`, to the real host:port

So that no address of the site changes: where both ends are true machines, the proxy is only on the way.
"""

import json
from typing import Any, NamedTuple

HOLD, SWALLOW, DELAY, DRIBBLE, REFUSE = "hold", "swallow", "delay", "dribble", "refuse"
KINDS = (HOLD, SWALLOW, DELAY, DRIBBLE, REFUSE)


class Wire(NamedTuple):
    """One way of a client machine to one port of a server machine; `namespace` is the client's network."""

    machine: str
    namespace: str
    source: str
    server: str
    host: str
    port: int


class Trouble(NamedTuple):
    """What befalls the bytes of one direction between two machines.

    hold       they stay where they are, closings too, and come late when it is over
    swallow    they are taken and lost; what has lost any is reset when it is over
    delay      each comes `ms` milliseconds later
    dribble    at most `bytes_each` come every `ms` milliseconds
    refuse     new connections are refused; those that stand go on
    """

    kind: str
    ms: int = 0
    bytes_each: int = 1


class Order(NamedTuple):
    """One command: `what` is set (trouble None: mended), reset, stats or end, between two machines."""

    what: str
    sender: str = ""
    receiver: str = ""
    trouble: Trouble | None = None


def write_order(order: Order) -> str:
    """Write a command as one line."""
    return json.dumps([order.what, order.sender, order.receiver, order.trouble]) + "\n"


def read_order(line: str) -> Order:
    """Read a command; raises ValueError for what is none."""
    what, sender, receiver, trouble = json.loads(line)
    if trouble is not None and trouble[0] not in KINDS:
        raise ValueError(f"no such trouble: {trouble[0]}")
    return Order(what, sender, receiver, None if trouble is None else Trouble(*trouble))


def write_wires(wires: list[Wire]) -> str:
    """Write all wires as one line: the first that the proxy reads."""
    return json.dumps(wires) + "\n"


def read_wires(line: str) -> list[Wire]:
    """Read them."""
    rows: list[Any] = json.loads(line)
    return [Wire(*row) for row in rows]
