"""A daemon's link in the simulated world: real muxes on the model network, wake-ups as lists.  Pure.

It stands where `qianzhi.link.shell.Link` stands in a daemon, and does the same.
"""

from collections.abc import Callable, Sequence
from typing import Any

from qianzhi.link.events import Hello, LinkEvent
from qianzhi.link.tables import LinkTable
from simulators.world.network import Network
from simulators.world.process import Process

OnEvents = Callable[[list[tuple[str, LinkEvent]]], None]


class LinkEnd:
    """One life's connections of a process to its peers; made in `Process.begin`."""

    def __init__(
        self,
        process: Process,
        network: Network,
        hello: Callable[[], Hello],
        on_events: OnEvents,
        limits: LinkTable | None = None,
    ) -> None:
        raise NotImplementedError

    def listen(self) -> None:
        """Take peers at the process's own name."""
        raise NotImplementedError

    def dial(self, peer: str) -> None:
        """Keep a connection to a peer: dialled again whenever it is gone."""
        raise NotImplementedError

    def send(self, peer: str, items: Sequence[Any]) -> None:
        """Carry a Send to ("peer", peer)."""
        raise NotImplementedError

    def close(self, peer: str, reason: str) -> None:
        """Cut a peer off."""
        raise NotImplementedError

    def peers(self) -> list[str]:
        """Return the names of the peers that are connected now."""
        raise NotImplementedError
