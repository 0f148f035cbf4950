"""The bank's own side of a protected line: its certificate, and whom it believes.

A site's table [tls.NAME] is our side, so it cannot be the bank's.  The simulators take [tls.NAME_bank] of the
same site for that; no daemon of ours reads it.
"""

import hashlib
import socket
import ssl
from pathlib import Path
from typing import TYPE_CHECKING

from qianzhi.link.tables import Site, TlsTable
from simulators.lines import NoLineError

if TYPE_CHECKING:
    from qianzhi.runtime.tls import Protection

SIDE = "_bank"
VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}


class BankTls:
    """How a simulated bank protects its lines to one kind of listener."""

    def __init__(self, name: str, table: TlsTable, config: Path) -> None:
        """`config` is the folder that relative paths start from; nothing is read yet."""
        self.table = table
        self._name = name
        self._config = config

    def protection(self) -> "Protection":
        """Return what makes the TLS of connections on the reactor; raises NoLineError."""
        from qianzhi.runtime.tls import Protection  # loads OpenSSL, which few lines need
        from qianzhi.runtime.tls_files import TlsError

        try:
            return Protection(self._name, self.table, self._config)
        except TlsError as error:
            raise NoLineError(str(error)) from error

    def context(self) -> ssl.SSLContext:
        """Return Python's own context, for connections that block; raises NoLineError."""
        table, context = self.table, ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = VERSIONS[table.minimum]
        try:
            if table.ca:
                context.load_verify_locations(self._config / table.ca)
            else:
                context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # the pin decides
            if table.certificate:
                context.load_cert_chain(self._config / table.certificate, self._config / table.key)
        except OSError as error:
            raise NoLineError(f"[tls.{self._name}] cannot be used: {error}") from error
        return context

    def server_name(self, host: str) -> str:
        """Return the name that the other side's certificate must be for."""
        return self.table.names[0] if self.table.names else host

    def wrap(self, plain: socket.socket, host: str) -> ssl.SSLSocket:
        """Protect a connection that stands; raises OSError and NoLineError."""
        made = self.context().wrap_socket(plain, server_hostname=self.server_name(host))
        shown = hashlib.sha256(made.getpeercert(binary_form=True) or b"").hexdigest()
        if self.table.pins and shown not in {pin.lower() for pin in self.table.pins}:
            made.close()
            raise ssl.SSLError("the certificate of the other side is not the one that is pinned")
        return made


def bank_tls(site: Site, name: str, config: Path) -> BankTls | None:
    """Return the bank's side of [tls.NAME]; None where the line is not protected (an empty name).

    Raises NoLineError where the site has no such table.
    """
    if not name:
        return None
    table = site.tls.get(name + SIDE)
    if table is None:
        raise NoLineError(f"the simulated banks have no certificates: add [tls.{name + SIDE}] to {site.file}")
    return BankTls(name + SIDE, table, config)
