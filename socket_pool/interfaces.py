"""What socket_pool asks of those who use it: a reader per connection, and one handler."""

from typing import Protocol

from qianzhi.wire.errors import RemoteProtocolError


class Reader(Protocol):
    """Cuts the bytes of one connection into frames."""

    @property
    def fault(self) -> RemoteProtocolError | None:
        """What has made these bytes unreadable from here on; the frames before it were returned."""

    @property
    def partial(self) -> bool:
        """Whether a frame has begun and is not whole yet."""

    def receive_data(self, data: bytes) -> list[bytes]:
        """Return the frames that these bytes complete; raises RemoteProtocolError."""


class Handler(Protocol):
    """Hears what happens on connections; `conn` is our number of a connection, never used twice."""

    def on_connected(self, conn: int, peer: str) -> None:
        """A connection stands; `peer` is its address for people."""

    def on_frames(self, items: list[tuple[int, bytes]]) -> None:
        """All frames that one wake-up completed on all connections, in the order of arrival."""

    def on_closed(self, conn: int, reason: str) -> None:
        """The connection is gone and its last frames have been handed over; `reason` is a stable name."""
