"""TLS beneath the connections of a pool."""

from typing import Any

from twisted.internet.protocol import Factory
from twisted.protocols.tls import TLSMemoryBIOFactory, TLSMemoryBIOProtocol

from qianzhi.runtime.tls import Protection
from socket_pool.connection import Connection


class TlsFactory(TLSMemoryBIOFactory):
    """TLS without gathering of small writes: each of ours is a whole list already and may leave at once."""

    protocol = TLSMemoryBIOProtocol

    def around(self, connection: Connection) -> TLSMemoryBIOProtocol:
        """Return the TLS of a connection that the gate has admitted."""
        return self.protocol(self, connection)  # type: ignore[no-untyped-call]


def accepting(protection: Protection) -> TlsFactory:
    """Return what puts TLS around connections that come in; raises TlsError without a certificate."""
    creator: Any = protection.server
    factory: Any = Factory()
    return TlsFactory(creator, False, factory)


def calling(protection: Protection, host: str, factory: Any) -> TlsFactory:
    """Return what puts TLS around the connections of `factory` to `host`; raises TlsError where nobody could
    tell who answers there.
    """
    creator: Any = protection.client(host)
    return TlsFactory(creator, True, factory)
