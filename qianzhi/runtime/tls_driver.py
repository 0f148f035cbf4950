"""The files of PostgreSQL's own TLS, which its driver reads by itself: they are looked at for their ends."""

from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from qianzhi.runtime.tls_database import NAME
from qianzhi.runtime.tls_ends import Ends
from qianzhi.runtime.tls_files import look_at
from qianzhi.runtime.tls_open import add
from qianzhi.runtime.tls_table import TlsTable
from qianzhi.runtime.urls import is_postgres

# In the home folder: what belongs to a file that is named, where it is not named itself.
_HOME = Path(".postgresql")
_BESIDE = {"sslcert": ("sslkey", "postgresql.key"), "sslcrl": ("sslrootcert", "root.crt")}


class DriverFiles:
    """The files that a URL names; the driver reads them for each connection, so that nothing is kept."""

    def __init__(self, url: str) -> None:
        self.name = NAME
        self._table = _table(url)
        self._ends = Ends(NAME)
        self._fault = ""
        self._shown: dict[str, str] = {}
        if self._table != TlsTable():
            self.look()
            add(self)

    def look(self) -> None:
        """Look when they end; raise an alarm where they cannot be used any more."""
        material, findings = look_at(self._table, Path())
        ends = material.ends()
        self._shown = {what: f"{end:%Y-%m-%d %H:%M} UTC" for what, end in ends.items()}
        self._ends.tell(ends)
        fault = "; ".join(f"{one.key}: found {one.found}, expected {one.expected}" for one in findings)
        if fault and fault != self._fault:
            self._ends.alarm("certificate_unusable", {"error": fault})
        self._fault = fault

    def reload(self) -> bool:
        """Look at them now; False when they cannot be used."""
        self.look()
        return not self._fault

    def status(self) -> dict[str, Any]:
        """Return when they end, and what is wrong with them."""
        return {"ends": self._shown, **({"trouble": self._fault} if self._fault else {})}


def _table(url: str) -> TlsTable:
    asked = dict(parse_qsl(urlsplit(url).query)) if is_postgres(url) else {}
    for key, (other, name) in _BESIDE.items():
        if key in asked:
            asked.setdefault(other, str(Path.home() / _HOME / name))
    if "sslcert" not in asked:
        asked.pop("sslkey", None)
    if asked.get("sslrootcert") == "system":  # those of the machine are not ours to watch
        asked = {key: path for key, path in asked.items() if key not in ("sslrootcert", "sslcrl")}
    certificate, key, ca, crl = (
        asked.get(name, "") for name in ("sslcert", "sslkey", "sslrootcert", "sslcrl")
    )
    return TlsTable(certificate=certificate, key=key, ca=ca, crl=crl)
