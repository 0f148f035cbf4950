"""[tls.NAME] of a site: how one kind of link is protected.  Pure; read and judged by `tls_files`.

Here and not beside the other tables of a site, because whoever makes TLS contexts stands below link.
"""

import re
from typing import Literal

from qianzhi.runtime.table import table

_NAME = re.compile(r"[0-9A-Za-z._:-]+")
_PIN = re.compile(r"[0-9A-Fa-f]{64}")


@table
class TlsTable:
    """[tls.NAME]: how one kind of link is protected; paths start at the configuration's folder.

    `certificate` and `key` are our own (PEM); `ca` is who may have signed the peer's, and with it the peer
    must show one; `names` are those of which the peer's certificate must carry one; `pins` are SHA-256 sums
    of whole peer certificates (hex), of which it must be one; `crl` lists what is revoked.
    """

    certificate: str = ""
    key: str = ""
    ca: str = ""
    crl: str = ""
    names: tuple[str, ...] = ()
    pins: tuple[str, ...] = ()
    minimum: Literal["1.2", "1.3"] = "1.2"

    def __post_init__(self) -> None:
        """Raise ValueError for what contradicts itself."""
        if bool(self.certificate) != bool(self.key):
            raise ValueError("certificate and key together, or neither of them")
        if self.crl and not self.ca:
            raise ValueError("ca beside crl: a list of what is revoked is signed by an authority")
        if self.names and not (self.ca or self.pins):
            raise ValueError("ca or pins beside names: a name that nobody vouches for proves nothing")
        for name in self.names:
            if not _NAME.fullmatch(name):
                raise ValueError(f"names such as pay.bank.example or 10.1.2.3, not {name[:80]!r}")
        for pin in self.pins:
            if not _PIN.fullmatch(pin):
                raise ValueError(
                    f"pins of 64 hex digits (openssl x509 -fingerprint -sha256), not {pin[:80]!r}"
                )

    @property
    def knows_peer(self) -> bool:
        """Whether a peer must show a certificate."""
        return bool(self.ca or self.pins)
