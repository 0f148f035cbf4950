"""A daemon's link in the simulated world: real muxes on the model network, wake-ups as lists.  Pure.

It stands where `qianzhi.link.shell.Link` stands in a daemon, and does the same: what one wake-up completed
goes to the core as one list, and what the core sends in answer leaves as one write per peer.
"""

from collections.abc import Callable, Sequence
from typing import Any

from qianzhi.link.events import Hello, LinkEvent, PeerDown, PeerUp
from qianzhi.link.mux import NONCE_BYTES, Mux, MuxEvent, Side, add_event
from qianzhi.link.stalls import AFTER_US, TICK_US, Stalls, shortened
from qianzhi.link.tables import LinkTable
from simulators.world.network import Network
from simulators.world.parts import Wire
from simulators.world.process import Process

OnEvents = Callable[[list[tuple[str, LinkEvent]]], None]
KEY = b"the simulated world's link key.."
WAKE_US = 300  # in which what arrives is taken as one list
LOOK_US = 250_000
# Whoever dialled asks for a sign of life where nothing is said, and seldom: runs have many quiet minutes.
DIALLED = LinkTable(ping_seconds=4, dead_seconds=9)
LISTENED = LinkTable(ping_seconds=6, dead_seconds=9)
RETRY_US, RETRY_US_MAX = 200_000, 3_000_000


class LinkEnd:
    """One life's connections of a process to its peers; made in `Process.begin`."""

    def __init__(
        self,
        process: Process,
        network: Network,
        hello: Callable[[], Hello],
        on_events: OnEvents,
    ) -> None:
        """`hello` is asked anew for each connection; `on_events` gets each wake-up's (peer, event) list."""
        self._process = process
        self._network = network
        self._hello = hello
        self._on_events = on_events
        self._dice = process.kernel.dice(f"link/{process.name}/{process.life}")
        self._muxes: dict[int, tuple[Mux, Wire, str]] = {}
        self._conns: dict[str, int] = {}  # of the peers that have proved themselves
        self._inbox: list[tuple[int, bytes]] = []
        self._turn = False
        self._waiting: dict[str, list[Any]] = {}
        self._timer: Any = None
        self._retries: dict[str, int] = {}

    def listen(self) -> None:
        """Take peers at the process's own name."""
        self._network.listen(self._process, self._process.name, _Ends(self, "server", ""))

    def dial(self, peer: str) -> None:
        """Keep a connection to a peer: dialled again whenever it is gone."""
        self._network.dial(self._process, peer, _Ends(self, "client", peer))

    def send(self, peer: str, items: Sequence[Any]) -> None:
        """Carry a Send to ("peer", peer); to one that is gone it is lost."""
        if not items:
            return
        if self._turn:
            self._waiting.setdefault(peer, []).extend(items)
        else:
            self._write(peer, items)

    def close(self, peer: str, reason: str) -> None:
        """Cut a peer off."""
        number = self._conns.get(peer)
        if number is not None:
            _, wire, dialled = self._muxes[number]
            wire.close()
            self.shut(number, dialled, reason)

    def peers(self) -> list[str]:
        """Return the names of the peers that are connected now."""
        return list(self._conns)

    # -- what the wires tell

    def opened(self, wire: Wire, side: Side, peer: str) -> None:
        """A connection stands: begin its handshake."""
        limits = DIALLED if side == "client" else LISTENED
        mux = Mux(side, self._hello(), KEY, self._dice.bytes(NONCE_BYTES), limits, peer)
        self._muxes[wire.number] = (mux, wire, peer)
        wire.send(mux.start(self._process.now))
        self._set_timer()

    def received(self, wire: Wire, data: bytes) -> None:
        """Keep what came for the wake-up that is to follow."""
        if not self._inbox:
            self._process.later(WAKE_US, "wake", self._wake)
        self._inbox.append((wire.number, data))

    def shut(self, number: int | None, dialled: str, reason: str) -> None:
        """A connection is gone or was not to be had; one of ours is dialled again."""
        if dialled:
            wait_us = self._retries.get(dialled, RETRY_US)
            self._retries[dialled] = min(2 * wait_us, RETRY_US_MAX)
            self._process.later(wait_us // 2 + self._dice.below(wait_us), "redial", self.dial, dialled)
        mux, _, _ = self._muxes.pop(number, (None, None, "")) if number is not None else (None, None, "")
        if mux is not None and mux.peer is not None and self._conns.get(mux.peer.name) == number:
            del self._conns[mux.peer.name]
            self._tell([(mux.peer.name, PeerDown(mux.closed or reason))])

    # -- a wake-up

    def _wake(self) -> None:
        items, self._inbox = self._inbox, []
        now = self._process.now
        found: dict[int, list[MuxEvent]] = {}
        for number, data in items:
            known = self._muxes.get(number)
            if known is None or known[0].closed:
                continue
            events = found.setdefault(number, [])
            for event in known[0].receive_data(data, now):
                add_event(events, event)
            self._after(number)
        told = [pair for number, events in found.items() for pair in self._named(number, events)]
        late_us = late_after(self._process, now.mono_us)
        self._tell(list(shortened(told, late_us)) if late_us else told)

    def _named(self, number: int, events: list[MuxEvent]) -> list[tuple[str, LinkEvent]]:
        """Put the peer's name to its events; a new connection of a peer takes the place of its former one."""
        known = self._muxes.get(number)
        peer = known[0].peer if known is not None else None
        if peer is None:
            return []
        named: list[tuple[str, LinkEvent]] = []
        for event in events:
            if isinstance(event, PeerUp):
                former = self._conns.get(peer.name)
                if former is not None:
                    self._muxes.pop(former)[1].close()
                    named.append((peer.name, PeerDown("replaced")))
                self._conns[peer.name] = number
                self._retries.pop(peer.name, None)
            elif self._conns.get(peer.name) != number:
                continue
            elif isinstance(event, PeerDown):
                del self._conns[peer.name]
            named.append((peer.name, event))
        return named

    def _tell(self, events: list[tuple[str, LinkEvent]]) -> None:
        if not events:
            return
        self._turn = True
        self._on_events(events)
        self._turn = False
        waiting, self._waiting = self._waiting, {}
        if self._process.up:
            for peer, items in waiting.items():
                self._write(peer, items)

    def _write(self, peer: str, items: Sequence[Any]) -> None:
        number = self._conns.get(peer)
        if number is not None:
            mux, wire, _ = self._muxes[number]
            mux.send(items)
            wire.send(mux.take_bytes())

    def _after(self, number: int) -> None:
        """Write what the mux itself has to say, and close what it gave up."""
        mux, wire, dialled = self._muxes[number]
        data = mux.take_bytes()
        if data:
            wire.send(data)
        if mux.closed:
            wire.close()
            self._process.later(0, "given up", self.shut, number, dialled, mux.closed)

    # -- time

    def _set_timer(self) -> None:
        self._process.kernel.cancel(self._timer)
        due = [d for mux, _, _ in self._muxes.values() if (d := mux.deadline) is not None]
        if due:
            delay_us = max(min(due) - self._process.mono_us, LOOK_US)  # pings are gathered
            self._timer = self._process.later(delay_us, "link time", self._on_timer)

    def _on_timer(self) -> None:
        events: list[tuple[str, LinkEvent]] = []
        now = self._process.now
        for number, (mux, _, _) in list(self._muxes.items()):
            due_us = mux.deadline
            if due_us is not None and due_us <= now.mono_us:
                found = mux.on_time(now)
                self._after(number)
                events += self._named(number, found)
        self._tell(events)
        self._set_timer()


def late_after(process: Process, now_us: int) -> int:
    """Return how late what is read now may be, as a `Stalls` says that was told of every tick until then."""
    if now_us - process.thawed_us >= AFTER_US:
        return 0
    stalls = Stalls(process.stopped_us - process.stopped_us % TICK_US)
    stalls.late_us(process.thawed_us)
    return stalls.late_us(now_us)


class _Ends:
    """The wires of one side: those that peers dial, or the one to a peer that we dial."""

    def __init__(self, link: LinkEnd, side: Side, peer: str) -> None:
        self._link = link
        self._side: Side = side
        self._peer = peer

    def on_open(self, wire: Wire) -> None:
        self._link.opened(wire, self._side, self._peer)

    def on_data(self, wire: Wire, data: bytes) -> None:
        self._link.received(wire, data)

    def on_shut(self, wire: Wire | None, reason: str) -> None:
        self._link.shut(wire.number if wire is not None else None, self._peer, reason)
