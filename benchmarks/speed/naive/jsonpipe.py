"""JSON messages, one by one, between the processes of the naive implementation."""

import json
from typing import Any

from twisted.internet import reactor
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP4ServerEndpoint
from twisted.internet.protocol import Factory, Protocol
from twisted.protocols.basic import Int16StringReceiver


class JsonLine(Int16StringReceiver):
    """One connection."""

    def send_json(self, message: dict[str, Any]) -> None:
        """Send one message."""
        self.sendString(json.dumps(message).encode())

    def stringReceived(self, string: bytes) -> None:
        """Take one message."""
        self.on_json(json.loads(string))

    def on_json(self, message: dict[str, Any]) -> None:
        """Handle one message."""
        raise NotImplementedError


class Dialled:
    """A connection that is dialled until it stands."""

    line: Any = None


def dial(port: int, protocol: type[Protocol]) -> Dialled:
    """Connect to a port of this machine, however long it takes the other side to be there."""
    dialled = Dialled()

    def connect() -> None:
        pending = TCP4ClientEndpoint(reactor, "127.0.0.1", port).connect(Factory.forProtocol(protocol))
        pending.addCallbacks(
            lambda line: setattr(dialled, "line", line), lambda _: reactor.callLater(0.1, connect)
        )

    connect()
    return dialled


def serve(port: int, protocol: type[Protocol]) -> None:
    """Listen on a port of this machine, and run."""
    TCP4ServerEndpoint(reactor, port, interface="127.0.0.1").listen(Factory.forProtocol(protocol))
    reactor.run()
