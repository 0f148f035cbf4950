"""A simulated bank on a TCP connection: the shell that carries a pure core's frames; it decides nothing."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from qianzhi.runtime import clock
from qianzhi.runtime.effects import Effects, Send
from qianzhi.runtime.shell import Interpreter
from simulators.framing import PoolReader, framed
from simulators.line import SETTLED, Incoming
from simulators.simulated import SimulatedBank
from socket_pool.client import SocketClient
from socket_pool.limits import SocketLimits

if TYPE_CHECKING:
    from qianzhi.runtime.tls import Protection
    from qianzhi.wire.framing import FrameSpec

LONGEST_PAUSE_SECONDS = 1.0  # between attempts to connect: a bank is back soon after its front-end


class SocketBank:
    """One connection to a front-end, made again whenever it is lost.

    `before_send` is called before bytes go out; what must be stored first is stored there.
    """

    def __init__(
        self,
        core: SimulatedBank,
        host: str,
        port: int,
        spec: "FrameSpec",
        before_send: Callable[[], None],
        reactor: Any,
        tls: "Protection | None" = None,
    ) -> None:
        """Nothing is opened yet."""
        self._core = core
        self._spec = spec
        self._before_send = before_send
        self._conn = 0
        self._interpreter = Interpreter(core, {Send: self._send}, reactor)
        name = f"simulator-{core.model.identity.bank}"
        self._client = SocketClient(
            host,
            port,
            SocketLimits(),
            lambda: PoolReader(spec),
            self,
            name=name,
            reactor=reactor,
            longest_pause_seconds=LONGEST_PAUSE_SECONDS,
            tls=tls,
        )

    def start(self) -> None:
        """Connect, and stay connected."""
        self._client.start()

    def stop(self) -> Any:
        """Close the connection; the result is a Deferred that fires when it is closed."""
        self._conn = 0
        self._interpreter.stop()
        return self._client.stop()

    def ask(self, effects: Effects) -> None:
        """Carry out what the core was asked for outside its schedule."""
        self._run(effects)

    def wake(self) -> None:
        """Let the core do what is due, and set its timer anew (after `stop` or a change of rate)."""
        self._run(self._core.on_time(clock.now()))

    def on_connected(self, conn: int, _: str) -> None:
        """The connection stands."""
        self._conn = conn
        self._run(self._core.on_connected(clock.now()))

    def on_frames(self, items: list[tuple[int, bytes]]) -> None:
        """Frames came."""
        frames = [Incoming(data) for conn, data in items if conn == self._conn]
        self._run(self._core.on_frames(frames, clock.now()))

    def on_closed(self, conn: int, _: str) -> None:
        """The connection is gone."""
        if conn == self._conn:
            self._conn = 0
            self._run(self._core.on_closed(clock.now()))

    def _run(self, effects: Effects) -> None:
        self._before_send()
        self._interpreter.run(effects)

    def _send(self, effect: Send) -> None:
        if self._conn and effect.to != SETTLED:
            self._client.send(self._conn, b"".join([framed(self._spec, item.frame) for item in effect.items]))
