"""Link on real sockets: all of a daemon's peers, those that dial it and those that it dials, under their
names.

What one wake-up completed goes to the daemon as one list; what the daemon sends in answer leaves as one
write per peer.  Which peer may do what is the core's business, who a peer is is `mux`'s: here bytes are
only carried.
"""

import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, DeferredList

from qianzhi.link.events import Answers, DrainNotice, Hello, LinkEvent, PeerDown, PeerUp, Requests
from qianzhi.link.messages import Answer, Envelope
from qianzhi.link.mux import NONCE_BYTES, Mux, MuxEvent, Side, add_event
from qianzhi.link.stalls import TICK_US, Stalls, shortened
from qianzhi.link.tables import LinkTable
from qianzhi.runtime import clock, metrics
from qianzhi.runtime.log import get_logger
from qianzhi.runtime.now import SECOND_US, Now
from socket_pool.client import SocketClient
from socket_pool.limits import SocketLimits
from socket_pool.server import SocketServer

if TYPE_CHECKING:
    from qianzhi.runtime.tls import Protection

OnEvents = Callable[[list[tuple[str, LinkEvent]]], None]
Items = Sequence[Envelope | Answer | DrainNotice]  # one list is of one kind

_WHAT: dict[type, str] = {Envelope: "requests", Answer: "answers", DrainNotice: "notices"}
WRITE_BUFFER_BYTES_MAX = 64 << 20  # a full window of the longest usual bodies fits several times


class Link:
    """A daemon's connections to its peers: `on_events` gets lists of (peer, event), `send` carries a Send."""

    def __init__(
        self,
        hello: Callable[[], Hello],
        key: bytes,
        on_events: OnEvents,
        *,
        reactor: Any,
        limits: LinkTable | None = None,
        tls: "Protection | None" = None,
    ) -> None:
        """`hello` is asked anew for each connection, because it says whether the daemon drains; `tls` goes
        around all of them, and whom it lets in still has to prove itself to the mux.
        """
        self._hello = hello
        self._key = key
        self._on_events = on_events
        self._reactor = reactor
        self._limits = limits or LinkTable()
        self.tls = tls
        self._log = get_logger("link")
        self._ends: list[LinkServer | LinkClient] = []
        self._muxes: dict[int, tuple[Mux, LinkServer | LinkClient]] = {}
        self._conns: dict[str, int] = {}  # of the peers that have proved themselves
        self._turn = False
        self._waiting: dict[str, list[Any]] = {}
        self._timer: Any = None
        self._stalls = Stalls(clock.now().mono_us)
        self._ticker: Any = None

    def listen(self, host: str, port: int) -> "LinkServer":
        """Listen for peers; `port` 0 takes a free one.  Raises twisted's CannotListenError."""
        server = LinkServer(self, host, port, socket_limits(self._limits), self._reactor)
        self._ends.append(server)
        return server

    def dial(self, name: str, host: str, port: int) -> "LinkClient":
        """Keep a connection to the peer `name`; whoever else answers there is refused."""
        client = LinkClient(self, name, host, port, socket_limits(self._limits), self._reactor)
        self._ends.append(client)
        return client

    def send(self, peer: str, items: Items) -> None:
        """Send messages to a peer; to one that has gone they are lost, and the core hears of that by
        PeerDown.
        """
        if not items:
            return
        metrics.count("qianzhi_link_messages_total", (peer, "out", _WHAT[type(items[0])]), len(items))
        if self._turn:
            self._waiting.setdefault(peer, []).extend(items)
        else:
            self._write(peer, items)

    def close(self, peer: str, reason: str) -> None:
        """Cut a peer off; the core hears PeerDown."""
        conn = self._conns.get(peer)
        if conn is not None:
            self._muxes[conn][1].close(conn, reason)

    def peers(self) -> list[str]:
        """Return the names of the peers that are connected now."""
        return list(self._conns)

    def stop(self) -> "Deferred[Any]":
        """Close everything, after what waits has been written."""
        for timer in (self._timer, self._ticker):
            if timer is not None and timer.active():
                timer.cancel()
        return DeferredList([end.stop() for end in self._ends])

    def opened(self, conn: int, end: "LinkServer | LinkClient", side: Side, expected: str) -> None:
        """A connection stands; begin its handshake."""
        mux = Mux(side, self._hello(), self._key, os.urandom(NONCE_BYTES), self._limits, expected)
        self._muxes[conn] = (mux, end)
        end.send(conn, mux.start(clock.now()))
        self._set_timer()
        if self._ticker is None:
            self._stalls = Stalls(clock.now().mono_us)
            self._tick()

    def received(self, items: list[tuple[int, bytes]]) -> None:
        """Take one wake-up's bytes, whole, to the daemon, and write what it sends in answer."""
        now = clock.now()
        found: dict[int, list[MuxEvent]] = {}
        for conn, data in items:
            mux, end = self._muxes[conn]
            if not mux.closed:
                for event in mux.receive_data(data, now):
                    add_event(found.setdefault(conn, []), event)
                self._after(conn, mux, end)
        told = [pair for conn, events in found.items() for pair in self._named(conn, events)]
        late_us = self._stalls.late_us(now.mono_us)
        self._tell(list(shortened(told, late_us)) if late_us else told)

    def closed(self, conn: int, reason: str) -> None:
        """A connection has gone."""
        mux, _ = self._muxes.pop(conn)
        if mux.peer is not None and self._conns.get(mux.peer.name) == conn:
            self._tell(self._named(conn, [PeerDown(mux.closed or reason)], mux))

    def _named(
        self, conn: int, events: list[MuxEvent], mux: Mux | None = None
    ) -> list[tuple[str, LinkEvent]]:
        """Put the peer's name to its events; a new connection of a peer takes the place of its former one."""
        peer = (mux or self._muxes[conn][0]).peer
        if peer is None:
            return []  # refused before it had proved anything; counted, and not the core's business
        named: list[tuple[str, LinkEvent]] = []
        for event in events:
            if isinstance(event, PeerUp):
                former = self._conns.get(peer.name)
                if former is not None:
                    self._muxes[former][1].close(former, "replaced")
                    named.append((peer.name, PeerDown("replaced")))
                self._conns[peer.name] = conn
                self._show(peer.role)
                self._log.info("peer up", peer=peer.name, role=peer.role, version=peer.version)
            elif self._conns.get(peer.name) != conn:
                continue  # the last words of a connection that has been replaced or is down already
            elif isinstance(event, PeerDown):
                del self._conns[peer.name]
                self._show(peer.role)
                self._log.warning("peer down", peer=peer.name, reason=event.reason)
            named.append((peer.name, event))
        return named

    def _tell(self, events: list[tuple[str, LinkEvent]]) -> None:
        """Hand a list over; what the daemon sends meanwhile is joined to one write per peer."""
        if not events:
            return
        for peer, event in events:
            if isinstance(event, Requests | Answers):
                what = "requests" if isinstance(event, Requests) else "answers"
                metrics.count("qianzhi_link_messages_total", (peer, "in", what), len(event.items))
        self._turn = True
        self._on_events(events)
        self._turn = False
        waiting, self._waiting = self._waiting, {}
        for peer, items in waiting.items():
            self._write(peer, items)

    def _show(self, role: str) -> None:
        roles = [mux.peer.role for mux, _ in map(self._muxes.__getitem__, self._conns.values()) if mux.peer]
        metrics.gauge("qianzhi_peers_up", (role,), roles.count(role))

    def _write(self, peer: str, items: Items) -> None:
        conn = self._conns.get(peer)
        if conn is None:
            return
        mux, end = self._muxes[conn]
        mux.send(items)
        end.send(conn, mux.take_bytes())

    def _after(self, conn: int, mux: Mux, end: "LinkServer | LinkClient") -> None:
        """Write what the mux itself has to say, and close what it gave up."""
        data = mux.take_bytes()
        if data:
            end.send(conn, data)
        if mux.closed:
            metrics.count("qianzhi_link_refused_total", (mux.closed,))
            end.close(conn, mux.closed)

    def _set_timer(self) -> None:
        """Keep one timer that fires no later than the earliest deadline of all connections."""
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        due = min((d for mux, _ in self._muxes.values() if (d := mux.deadline) is not None), default=None)
        if due is not None:
            delay_us = max(0, due - clock.now().mono_us)
            self._timer = self._reactor.callLater(delay_us / SECOND_US, self._on_timer)

    def _tick(self) -> None:
        self._stalls.tick(clock.now().mono_us)
        self._ticker = self._reactor.callLater(TICK_US / SECOND_US, self._tick)

    def _on_timer(self) -> None:
        now: Now = clock.now()
        events: list[tuple[str, LinkEvent]] = []
        for conn, (mux, end) in list(self._muxes.items()):
            if not mux.closed:
                found = mux.on_time(now)
                self._after(conn, mux, end)
                events += self._named(conn, found)
        self._tell(events)
        self._set_timer()


class LinkServer:
    """The end where peers dial in."""

    def __init__(self, link: Link, host: str, port: int, limits: SocketLimits, reactor: Any) -> None:
        """Nothing is opened yet; made by `Link.listen`."""
        self._link = link
        self._server = SocketServer(
            host, port, limits, _Chunks, self, name="link", reactor=reactor, tls=link.tls
        )

    def start(self) -> int:
        """Listen and return the port."""
        return self._server.start()

    def stop(self) -> "Deferred[Any]":
        """Close the port and the connections."""
        return self._server.stop()

    def send(self, conn: int, data: bytes) -> None:
        """Write bytes."""
        self._server.send(conn, data)

    def close(self, conn: int, reason: str) -> None:
        """Close a connection."""
        self._server.close(conn, reason)

    def on_connected(self, conn: int, peer: str) -> None:
        """Begin as the side that lets the other prove itself first."""
        self._link.opened(conn, self, "server", "")

    def on_frames(self, items: list[tuple[int, bytes]]) -> None:
        """Pass on what came."""
        self._link.received(items)

    def on_closed(self, conn: int, reason: str) -> None:
        """Pass on the end."""
        self._link.closed(conn, reason)


class LinkClient:
    """The end that dials one peer, again and again."""

    def __init__(
        self, link: Link, name: str, host: str, port: int, limits: SocketLimits, reactor: Any
    ) -> None:
        """Nothing is opened yet; made by `Link.dial`."""
        self._link = link
        self._name = name
        self._client = SocketClient(
            host, port, limits, _Chunks, self, name=f"link_{name}", reactor=reactor, tls=link.tls
        )

    def start(self) -> None:
        """Begin to dial."""
        self._client.start()

    def stop(self) -> "Deferred[Any]":
        """Hang up for good."""
        return self._client.stop()

    def send(self, conn: int, data: bytes) -> None:
        """Write bytes."""
        self._client.send(conn, data)

    def close(self, conn: int, reason: str) -> None:
        """Close the connection; it is dialled again."""
        self._client.close(conn, reason)

    def on_connected(self, conn: int, peer: str) -> None:
        """Begin as the side that proves itself first."""
        self._link.opened(conn, self, "client", self._name)

    def on_frames(self, items: list[tuple[int, bytes]]) -> None:
        """Pass on what came."""
        self._link.received(items)

    def on_closed(self, conn: int, reason: str) -> None:
        """Pass on the end."""
        self._link.closed(conn, reason)


class _Chunks:
    """The reader of a connection whose frames the mux cuts, because their bound depends on the handshake."""

    partial = False
    fault = None

    def receive_data(self, data: bytes) -> list[bytes]:
        """Return the bytes as they came."""
        return [data]


def socket_limits(limits: LinkTable) -> SocketLimits:
    """Return the bounds of link's sockets; slow and silent peers are the mux's to cut.

    Both ends ask on one connection, so that neither may stop reading until the other has read.  What waits
    for a peer is bounded by the windows, and a peer that is dead is cut at the write buffer's bound.
    """
    return SocketLimits(allow=limits.allow, unread_bytes_max=0, write_buffer_bytes_max=WRITE_BUFFER_BYTES_MAX)
