"""Reading a ZeroMQ socket on Twisted's reactor without losing a wake-up.

A ZeroMQ socket's descriptor is edge-triggered: it becomes readable when the socket's *events* may have
changed, and stays silent while messages wait.  Three habits follow, and leaving out any of them stalls a line
sooner or later: read until nothing is left; look again after every send, because a send takes note of the
edge too; and when a turn's cap is reached, come back by oneself.
"""

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import zmq
from twisted.internet.interfaces import IReadDescriptor
from twisted.python.failure import Failure
from zope.interface import implementer  # type: ignore[import-untyped]

MESSAGES_PER_TURN_MAX = 256


@implementer(IReadDescriptor)
class ZmqReader:
    """Feeds the multipart messages of one socket to `take`, at most a turn's cap at a time.

    `room` says how many may be taken now; at 0 the socket is left alone until `look` is called.
    """

    def __init__(
        self,
        socket: "zmq.Socket[bytes]",
        reactor: Any,
        take: Callable[[list[list[bytes]]], None],
        room: Callable[[], int],
        writable: Callable[[], None] | None = None,
    ) -> None:
        """Nothing is read before `start`; `writable` is called whenever the socket is seen to take
        messages."""
        self._socket = socket
        self._reactor = reactor
        self._take = take
        self._room = room
        self._writable = writable
        self._looking: Any = None
        self._stopped = False

    def start(self) -> None:
        """Read from now on."""
        self._reactor.addReader(self)
        self.look()

    def stop(self) -> None:
        """Read no more; the socket may be closed after this."""
        self._stopped = True
        self._reactor.removeReader(self)
        if self._looking is not None and self._looking.active():
            self._looking.cancel()

    def look(self) -> None:
        """Look for messages at the next turn: after a send, after a pause, or when there is room again."""
        if self._looking is None and not self._stopped:
            self._looking = self._reactor.callLater(0, self._look_now)

    def _look_now(self) -> None:
        self._looking = None
        self.doRead()

    def fileno(self) -> int:
        """Return the descriptor on which ZeroMQ reports edges; -1 when closed."""
        return -1 if self._stopped else int(self._socket.getsockopt(zmq.FD))

    def doRead(self) -> None:
        """Drain the socket up to the room there is and the turn's cap."""
        if self._stopped:
            return
        # Asking for EVENTS takes note of the edge; without it the descriptor would stay readable while there
        # is no room, and the reactor would spin.
        events = int(self._socket.getsockopt(zmq.EVENTS))
        if self._writable is not None and events & zmq.POLLOUT:
            self._writable()
        wanted = min(self._room(), MESSAGES_PER_TURN_MAX)
        messages = list(itertools.islice(self._waiting(), wanted))
        if wanted and len(messages) == wanted:
            self.look()
        if messages:
            self._take(messages)

    def _waiting(self) -> Iterator[list[bytes]]:
        """Yield messages until none waits."""
        while True:
            try:
                yield self._socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return

    def connectionLost(self, reason: Failure) -> None:
        """The reactor is going down."""

    def logPrefix(self) -> str:
        """Name this reader for Twisted's logs."""
        return "zmq"
