"""A bank's socket as the front-end daemon sees it: whole frames in, whole frames out.

Thin: framing and limits are the socket pool's; what a frame means is the core's.  A short connection is
closed as soon as its one message has been answered, or is to hear nothing.
"""

from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, Any

from frontends.front import TO_BANK, Frame
from frontends.processor import Processor
from frontends.profile import Profile
from qianzhi.runtime import clock
from qianzhi.runtime.effects import Effects, Send
from qianzhi.wire.framing import FrameReader, frame
from socket_pool.limits import SocketLimits
from socket_pool.server import SocketServer

if TYPE_CHECKING:
    from qianzhi.runtime.tls import Protection

ANSWER_SPARE_SECONDS = 5  # beyond a request's own time, after which a short connection is cut
IDLE_LOOK_SECONDS = 0.02


def measure_of(profile: Profile) -> Callable[[bytes], int | None] | None:
    """Return what finds the end of a message on a line without length headers, None for other lines."""
    return profile.codec.measure if profile.frame.kind == "message" else None


class SocketFront:
    """The listener of one bank; `run` carries out what the core wants done."""

    def __init__(
        self,
        profile: Profile,
        address: tuple[str, int],
        core: Processor,
        run: Callable[[Effects], None],
        reactor: Any,
        *,
        tls: "Protection | None" = None,
        proxies: tuple[str, ...] = (),
    ) -> None:
        """`proxies` are the balancers that say who dials.  Nothing is opened before `start`."""
        self._spec = profile.frame
        self._short = profile.transport.connection == "short"
        self._core = core
        self._run = run
        self._reactor = reactor
        self._alone = profile.instances == 1
        self._standing_by = False
        self._began = self._open = False
        self._closing: Any = None  # fires when the port that was given up is free
        self._port = address[1]
        self._server = SocketServer(
            *address,
            profile.socket or SocketLimits(),
            lambda: FrameReader(profile.frame, measure_of(profile)),
            self,
            name=profile.name,
            reactor=reactor,
            short_seconds=profile.limits.reply_seconds + ANSWER_SPARE_SECONDS if self._short else 0,
            tls=tls,
            proxies=proxies,
        )

    def start(self) -> str:
        """Listen, unless it stands by, and return the port; raises CannotListenError."""
        self._began = True
        if self._standing_by:
            return str(self._port)
        self._open = True
        return str(self._server.start())

    def send(self, items: list[tuple[Any, bytes]]) -> None:
        """Send frames to their connections, one write for each; one that is gone gets nothing."""
        writes: dict[Any, bytearray] = {}
        for conn, body in items:
            writes.setdefault(conn, bytearray()).extend(frame(self._spec, body))
        for conn, data in writes.items():
            self._server.send(conn, bytes(data))
            if self._short:
                self._server.close(conn, "answered")

    def done(self, sources: list[Any]) -> None:
        """End the short connection of a frame without an answer; a long one goes on."""
        for conn in sources if self._short else []:
            self._server.close(conn, "no_answer")

    def finish(self, send: Send) -> None:
        """Carry out what is sent neither to the bank nor to a node."""
        self.done(send.items)

    def status(self) -> dict[str, Any]:
        """Return what stands beneath the line; a socket has nothing there that could be away."""
        return {}

    @property
    def idle(self) -> bool:
        """Whether all that was sent has left us: the pool sees to that."""
        return True

    def withhold(self, send: Send) -> None:
        """A bank that hears nothing asks again; nothing is kept for it."""
        self.done([conn for conn, _ in send.items] if send.to == TO_BANK else [])

    def close(self, source: Hashable, reason: str) -> None:
        """Close a connection once what waits for it is written."""
        if isinstance(source, int):
            self._server.close(source, reason)

    def pause(self, paused: bool) -> None:
        """A socket is paused by the pool alone, for a peer that does not read its answers."""

    def stop_accepting(self) -> None:
        """Take no new connection; those that stand are served on."""
        self._server.stop_listening()

    def stand_by(self, standing_by: bool) -> None:
        """Leave the bank to the other instance, or take it again; one without another keeps it.

        Nobody new is let in, and once nothing is under way the connections end, so that the bank dials anew
        and reaches the other one: left standing, they would only carry refusals.
        """
        if self._alone or standing_by is self._standing_by:
            return
        self._standing_by = standing_by
        if standing_by:
            if self._open:
                self._open = False
                self._closing = self._server.stop_listening()
            self._let_go()
        elif self._closing is not None:
            self._closing.addCallback(self._listen_again)
        else:
            self._listen_again(None)

    def _let_go(self) -> None:
        if not self._standing_by:
            return
        if self._core.idle:
            self._server.pool.close_all("standing_by")
        else:
            self._reactor.callLater(IDLE_LOOK_SECONDS, self._let_go)

    def _listen_again(self, _: object) -> None:
        if self._began and not self._standing_by and not self._open:
            self._open = True
            self._server.start()

    def stop(self) -> Any:
        """Close everything."""
        return self._server.stop()

    def on_connected(self, conn: int, peer: str) -> None:
        """A bank has connected."""
        self._run(self._core.on_connected(conn, peer, clock.now()))

    def on_frames(self, items: list[tuple[int, bytes]]) -> None:
        """Frames of one wake-up."""
        self._run(self._core.on_frames([Frame(conn, body) for conn, body in items], clock.now()))

    def on_closed(self, conn: int, reason: str) -> None:
        """A connection has gone."""
        self._run(self._core.on_closed(conn, reason, clock.now()))
