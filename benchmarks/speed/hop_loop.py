"""One interface node in process, without sockets: link, core, event file, metrics.

    python hop_loop.py [--list 64] [--messages 40000] [--calls]

A front's and a bridge's end of a link stand around it; what they do is not counted.  Prints the node's CPU
for each request, the least of five runs, or with --calls how many functions were called for one.
"""

import argparse
import cProfile
import pstats
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

from interface_layer.dispatcher import Dispatcher
from interface_layer.node import Node
from qianzhi.link.events import Answers, Hello, Requests, deliver
from qianzhi.link.messages import Answer, Envelope, Status
from qianzhi.link.mux import NONCE_BYTES, Mux
from qianzhi.link.shell import Link
from qianzhi.link.tables import BankLimits, Route
from qianzhi.runtime import clock, metrics
from qianzhi.runtime.effects import Send
from qianzhi.runtime.events import EventWriter
from qianzhi.runtime.shell import Interpreter
from qianzhi.saf.policies import Policy

KEY = bytes(32)
RUNS = 5
FRONT, BRIDGE = 1, 2  # connections


class Idle:
    """A reactor whose timers never come due."""

    def callLater(self, seconds: float, call: Callable[..., object], *arguments: object) -> "Idle":
        """Take a timer."""
        return self

    def active(self) -> bool:
        """Every timer runs."""
        return True

    def cancel(self) -> None:
        """None is kept."""


class End:
    """What the node wrote to a connection since it was last looked at."""

    def __init__(self) -> None:
        self.data = b""

    def send(self, conn: int, data: bytes) -> None:
        """Keep it."""
        self.data += data

    def close(self, conn: int, reason: str) -> None:
        """Nobody is cut off here."""
        raise SystemExit(f"a connection was closed: {reason}")

    def take(self) -> bytes:
        """Return it."""
        data, self.data = self.data, b""
        return data


class Site:
    """The node, and the others' ends of its links."""

    def __init__(self, folder: Path) -> None:
        limits = {"hz": BankLimits(in_flight=4000)}
        dispatcher = Dispatcher(
            "node", ["bridge"], [Route(numbers=("*",), kinds=("*",), to="bridges")], limits
        )
        self.core = Node(dispatcher, Policy(), UTC)
        reactor: Any = Idle()
        self.link = Link(self.core.hello, KEY, self._on_events, reactor=reactor)
        handlers: Any = {Send: lambda effect: self.link.send(effect.to[1], effect.items)}
        self.run = Interpreter(self.core, handlers, reactor, EventWriter(folder)).run
        self.ends = {FRONT: End(), BRIDGE: End()}
        front = Hello("front-hz-1", "front", banks=("hz",), numbers=("0302",))
        self.front = self._meet(FRONT, front, b"\1" * NONCE_BYTES)
        self.bridge = self._meet(BRIDGE, Hello("bridge", "bridge", window=4000), b"\2" * NONCE_BYTES)

    def pass_on(self, conn: int, data: bytes) -> float:
        """Give the node what a connection has brought; return the CPU seconds that it took."""
        began = time.process_time()
        self.link.received([(conn, data)])
        return time.process_time() - began

    def _on_events(self, items: list[Any]) -> None:
        """As the node's daemon does it."""
        self.run(deliver(self.core, items, clock.now()))
        for bank, in_flight in self.core.take_loads().items():
            metrics.gauge("qianzhi_in_flight", (bank,), in_flight)

    def _meet(self, conn: int, hello: Hello, nonce: bytes) -> Mux:
        """Let one come whom the node has let dial in."""
        now, end = clock.now(), self.ends[conn]
        mux = Mux("client", hello, KEY, nonce)
        whole: Any = end
        self.link.opened(conn, whole, "server", "")
        self.link.received([(conn, mux.start(now))])
        while data := end.take():
            mux.receive_data(data, now)
            if said := mux.take_bytes():
                self.link.received([(conn, said)])
        return mux


def one_list(site: Site, first: int, size: int) -> float:
    """Carry a list to the bridge and its answers back; return the node's CPU seconds."""
    now = clock.now()
    site.front.requests(
        [
            Envelope(
                first + at,
                1,
                "0302",
                1,
                7,
                15_000,
                0,
                f"{first + at:016x}",
                b"b" * 90,
                f"hz/1/{first + at:06d}",
            )
            for at in range(size)
        ]
    )
    taken = site.pass_on(FRONT, site.front.take_bytes())
    for event in site.bridge.receive_data(site.ends[BRIDGE].take(), now):
        if isinstance(event, Requests):
            site.bridge.answers([Answer(item.id, Status.OK, b"r" * 40) for item in event.items])
    taken += site.pass_on(BRIDGE, site.bridge.take_bytes())
    found = 0
    for event in site.front.receive_data(site.ends[FRONT].take(), now):
        if isinstance(event, Answers):
            found += sum(answer.status is Status.OK for answer in event.items)
    if found != size:
        raise SystemExit(f"{found} of {size} requests were answered")
    return taken


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--list", type=int, default=64)
    parser.add_argument("--messages", type=int, default=40_000)
    parser.add_argument("--calls", action="store_true")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        site = Site(Path(folder))
        if args.calls:
            profile = cProfile.Profile()
            site.pass_on = lambda conn, data: profile.runcall(Site.pass_on, site, conn, data)  # type: ignore
            one_list(site, 1, args.list)
            profile.clear()
            for at in range(20):
                one_list(site, 1000 + at * args.list, args.list)
            stats: Any = pstats.Stats(profile)
            print(f"{stats.total_calls / 20 / args.list:.1f} calls of functions for a request")
            stats.sort_stats("tottime").print_stats(28)
            return
        best = min(
            sum(
                one_list(site, 1 + (run * args.messages) + at, args.list)
                for at in range(0, args.messages, args.list)
            )
            for run in range(RUNS)
        )
        print(f"{best / args.messages * 1e6:.2f} µs of CPU for a request, lists of {args.list}")


if __name__ == "__main__":
    main()
