"""A simulated bank that makes a connection for each message: the shell of short lines; it decides nothing.

    connect ─▶ send one frame ─▶ (shut the sending side, or not) ─▶ read until the answer is whole ─▶ close

Whether the sending side is shut is a habit of the bank's, drawn from the randomness that it is given (never
under TLS, which has no half).  The connection says whose an answer is.
"""

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from qianzhi.runtime import clock
from qianzhi.runtime.effects import Effects, Send
from qianzhi.runtime.shell import Interpreter
from simulators.framing import Cutter, FramingError, framed
from simulators.line import SETTLED, Incoming, Outgoing
from simulators.scenario import Chance
from simulators.simulated import SimulatedBank

if TYPE_CHECKING:
    from qianzhi.runtime.tls import Protection
    from qianzhi.wire.framing import FrameSpec

OPEN_MAX = 64  # connections at once; other messages wait for one of them to end
CONNECT_SECONDS = 5
ANSWER_SECONDS = 10  # after which a connection without an answer is cut
WAITING_SECONDS = 5  # for a place among them; then the bank has given the message up, and asks in another way
RETRY_SECONDS = 0.2  # between attempts of one message to find somebody who listens
TRIES_MAX = 10  # in two seconds a front-end is back, or its bank asks in another way


class ShortBank:
    """One bank's connections; `before_send` is called before bytes go out, to store what must be first."""

    def __init__(
        self,
        core: SimulatedBank,
        host: str,
        port: int,
        spec: "FrameSpec",
        before_send: Callable[[], None],
        chance: Chance,
        reactor: Any,
        open_max: int = OPEN_MAX,
        tls: "Protection | None" = None,
    ) -> None:
        """Nothing is opened yet."""
        self._tls = tls
        self.spec = spec
        self._core = core
        self._address = (host, port)
        self._before_send = before_send
        self._chance = chance
        self._reactor = reactor
        self._open_max = open_max
        self._waiting: deque[tuple[float, Outgoing]] = deque()  # with the moment until which it is wanted
        self._open: set[Exchange] = set()
        self._retries: dict[Exchange, Any] = {}  # timers of messages for which nobody listened
        self._stopped = False
        self._interpreter = Interpreter(core, {Send: self._send}, reactor)
        self.failed = 0  # connections that ended without an answer

    def start(self) -> None:
        """Begin the session; a connection is made for each message."""
        self._run(self._core.on_connected(clock.now()))

    def stop(self) -> None:
        """Cut everything."""
        self._stopped = True
        self._interpreter.stop()
        self._waiting.clear()
        for timer in self._retries.values():
            timer.cancel()
        self._retries.clear()
        for exchange in list(self._open):
            exchange.cut()

    def ask(self, effects: Effects) -> None:
        """Carry out what the core was asked for outside its schedule."""
        self._run(effects)

    def wake(self) -> None:
        """Let the core do what is due, and set its timer anew (after `stop` or a change of rate)."""
        self._run(self._core.on_time(clock.now()))

    def ended(self, exchange: "Exchange", frames: list[bytes]) -> None:
        """Take what one connection brought; the next message may have its place."""
        self._open.discard(exchange)
        self.failed += not frames
        if self._stopped:
            return
        self._connect_waiting()
        if frames:
            items = [Incoming(frame, exchange.ticket) for frame in frames[:1]]
            self._run(self._core.on_frames(items, clock.now()))

    def nobody_there(self, exchange: "Exchange") -> None:
        """Try again soon with a message for which nobody listened: it cannot have been heard."""
        self._open.discard(exchange)
        if self._stopped or exchange.tries >= TRIES_MAX:
            self.failed += 1
            return
        again = Exchange(self, exchange.item, exchange.half_closes, self._reactor, exchange.tries + 1)
        self._retries[again] = self._reactor.callLater(RETRY_SECONDS, self._retry, again)
        self._connect_waiting()

    def _retry(self, exchange: "Exchange") -> None:
        del self._retries[exchange]
        self._connect(exchange)

    def _run(self, effects: Effects) -> None:
        self._before_send()
        self._interpreter.run(effects)

    def _send(self, effect: Send) -> None:
        if effect.to == SETTLED:
            for exchange in [one for one in self._retries if one.ticket in effect.items]:
                self._retries.pop(exchange).cancel()
            return
        until = self._reactor.seconds() + WAITING_SECONDS
        self._waiting.extend((until, item) for item in effect.items)
        self._connect_waiting()

    def _connect_waiting(self) -> None:
        while self._waiting and len(self._open) < self._open_max:
            until, item = self._waiting.popleft()
            if self._reactor.seconds() > until:
                self.failed += 1
                continue
            half_closes = bool(self._chance.randrange(0, 2)) and self._tls is None
            self._connect(Exchange(self, item, half_closes, self._reactor))

    def _connect(self, exchange: "Exchange") -> None:
        self._open.add(exchange)
        host, port = self._address
        self._reactor.connectTCP(host, port, self._protected(host, exchange), CONNECT_SECONDS)

    def _protected(self, host: str, exchange: "Exchange") -> Any:
        if self._tls is None:
            return exchange
        from socket_pool.tls import calling  # loads OpenSSL, which few lines need

        return calling(self._tls, host, exchange)


class Exchange:
    """One connection, as Twisted's factory and its only protocol: one frame out, one frame in."""

    noisy = False

    def __init__(
        self, owner: ShortBank, item: Outgoing, half_closes: bool, reactor: Any, tries: int = 1
    ) -> None:
        self.item = item
        self.ticket = item.ticket
        self.half_closes = half_closes
        self.tries = tries
        self._owner = owner
        self._data = framed(owner.spec, item.frame)
        self._cutter = Cutter(owner.spec)
        self._reactor = reactor
        self._frames: list[bytes] = []
        self._timer: Any = None
        self._connector: Any = None
        self._over = False
        self.transport: Any = None

    def cut(self) -> None:
        """End it at once."""
        if self.transport is not None:
            self.transport.abortConnection()
        elif self._connector is not None:
            self._connector.disconnect()

    # -- Twisted's names: the factory

    def doStart(self) -> None:
        """Nothing is to be prepared."""

    def doStop(self) -> None:
        """Nothing is to be cleared."""

    def startedConnecting(self, connector: Any) -> None:
        """The attempt has begun."""
        self._connector = connector

    def buildProtocol(self, _: Any) -> "Exchange":
        """Return what hears the connection."""
        return self

    def clientConnectionFailed(self, _connector: Any, _reason: Any) -> None:
        """Nobody listens."""
        if not self._over:
            self._over = True
            self._owner.nobody_there(self)

    def clientConnectionLost(self, _connector: Any, _reason: Any) -> None:
        """Said by `connectionLost` already."""

    # -- Twisted's names: the protocol

    def makeConnection(self, transport: Any) -> None:
        """Send the one frame."""
        self.transport = transport
        transport.setTcpNoDelay(True)
        self._timer = self._reactor.callLater(ANSWER_SECONDS, self.cut)
        transport.write(self._data)
        if self.half_closes:
            transport.loseWriteConnection()

    def dataReceived(self, data: bytes) -> None:
        """Read the answer; it ends the exchange when it is whole."""
        try:
            self._frames += self._cutter.receive(data)
        except FramingError:
            self.cut()
            return
        if self._frames:
            self.transport.loseConnection()

    def connectionLost(self, _: Any) -> None:
        """The other side has closed, or we have."""
        try:
            self._frames += self._cutter.end()
        except FramingError:
            self._frames.clear()
        self._end()

    def _end(self) -> None:
        if self._over:
            return
        self._over = True
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._owner.ended(self, self._frames)
