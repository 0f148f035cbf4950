"""A look at a broker for a command: connect, declare or only count, and leave."""

from typing import Any, NamedTuple

from twisted.internet.defer import Deferred
from twisted.internet.threads import blockingCallFromThread

from bankmq.amqp import AmqpSession, Broker, SessionState
from bankmq.amqp_messages import AmqpMessage, Settled, Topology
from qianzhi.runtime.process import install_reactor

# States in which waiting longer helps nobody who waits at a terminal, once every host has been tried.
FAILED = ("refused", "unreachable")


class Look(NamedTuple):
    """What was found: the broker's state, messages by queue, and the queues that are missing."""

    state: SessionState
    depths: dict[str, int]
    missing: list[str]

    @property
    def reached(self) -> bool:
        """Whether the broker let us do what was asked."""
        return self.state.name == "ready"


def look_at(broker: Broker, topology: Topology, seconds: float) -> Look:
    """Declare a topology (a passive one is only looked at) and return what was found, within `seconds`."""
    reactor: Any = install_reactor()
    visit = _Visit(broker, topology, seconds, reactor)
    if reactor.running:
        make: Any = visit.make
        found_there: Look = blockingCallFromThread(reactor, make)
        return found_there
    found: list[Look] = []

    def begin() -> None:
        visit.make().addCallback(found.append).addBoth(lambda _: reactor.stop())

    reactor.callWhenRunning(begin)
    reactor.run(installSignalHandlers=False)
    return found[0]


class _Visit:
    """One session from its start to its end."""

    def __init__(self, broker: Broker, topology: Topology, seconds: float, reactor: Any) -> None:
        self._session = AmqpSession(broker, topology, self, reactor, quiet=True)
        self._reactor = reactor
        self._seconds = seconds
        self._hosts_left = len(broker.hosts)
        self._done: Deferred[Look] = Deferred()

    def make(self) -> "Deferred[Look]":
        """Begin; fires with what was found."""
        late = self._reactor.callLater(self._seconds, self._end)

        def ended(look: Look) -> Look:
            if late.active():
                late.cancel()
            return look

        self._done.addCallback(ended)
        self._session.start()
        return self._done

    def on_open(self) -> None:
        self._reactor.callLater(0, self._end)

    def on_messages(self, items: list[AmqpMessage]) -> None:
        pass

    def on_settled(self, items: list[tuple[Any, Settled]]) -> None:
        pass

    def on_state(self, state: SessionState) -> None:
        if state.name in FAILED:
            self._hosts_left -= 1
            if self._hosts_left <= 0:
                self._reactor.callLater(0, self._end)

    def _end(self) -> None:
        if self._done.called:
            return
        session = self._session
        look = Look(session.state, session.depths, sorted(session.missing))
        session.stop()
        self._done.callback(look)
