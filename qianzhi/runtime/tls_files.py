"""The files of a [tls.NAME] table: reading them, and finding everything that is wrong with them at once.

No message of this module shows a key or any part of one.
"""

import datetime
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from qianzhi.runtime import clock
from qianzhi.runtime.process import DaemonError
from qianzhi.runtime.tls_peer import UNREADABLE
from qianzhi.runtime.tls_table import TlsTable

T = TypeVar("T")
FILE_BYTES_MAX = 1 << 20


class Finding(NamedTuple):
    """What is wrong with one key of the table: what was found there, and what was expected."""

    key: str
    found: str
    expected: str


class TlsError(DaemonError):
    """Files that cannot be used; `findings` holds everything that is wrong with them."""

    def __init__(self, name: str, findings: list[Finding]) -> None:
        super().__init__(
            "; ".join(f"tls.{name}.{f.key}: found {f.found}, expected {f.expected}" for f in findings)
        )
        self.findings = findings


class Material(NamedTuple):
    """What the files of one table hold: our own chain (leaf first) and its key, and how to know a peer."""

    chain: tuple[x509.Certificate, ...] = ()
    key: Any = None
    authorities: tuple[x509.Certificate, ...] = ()
    revoked: tuple[x509.CertificateRevocationList, ...] = ()

    def ends(self) -> dict[str, datetime.datetime]:
        """Return when the first of each kind ceases to be good."""
        lists = [crl.next_update_utc for crl in self.revoked if crl.next_update_utc is not None]
        ends = {
            "own": [certificate.not_valid_after_utc for certificate in self.chain],
            "ca": [certificate.not_valid_after_utc for certificate in self.authorities],
            "crl": lists,
        }
        return {what: min(times) for what, times in ends.items() if times}


Stamp = tuple[tuple[str, int, int, int], ...]


def stamp_of(table: TlsTable, base: Path) -> Stamp:
    """Return what changes whenever one of the files does; a file that is missing counts as empty."""
    found = []
    for key in ("certificate", "key", "ca", "crl"):
        if text := getattr(table, key):
            try:
                status = (base / text).stat()
            except OSError:
                found.append((key, 0, 0, 0))
            else:
                found.append((key, status.st_mtime_ns, status.st_size, status.st_ino))
    return tuple(found)


def read_material(name: str, table: TlsTable, base: Path) -> Material:
    """Read the files of a table; raises TlsError with everything that is wrong with them."""
    material, findings = look_at(table, base)
    if findings:
        raise TlsError(name, findings)
    return material


def look_at(table: TlsTable, base: Path) -> tuple[Material, list[Finding]]:
    """Read the files as far as they can be read; return what they hold and all that is wrong with it."""
    findings: list[Finding] = []
    lists = "a file of PEM certificates"
    chain = _read(table.certificate, "certificate", base, x509.load_pem_x509_certificates, lists, findings)
    key = _read(table.key, "key", base, _private_key, "a private key in PEM without a password", findings)
    authorities = _read(table.ca, "ca", base, x509.load_pem_x509_certificates, lists, findings)
    revoked = _read(table.crl, "crl", base, _revocation_lists, "a file of PEM revocation lists", findings)
    material = Material(tuple(chain or ()), key, tuple(authorities or ()), tuple(revoked or ()))
    now = datetime.datetime.fromtimestamp(clock.now().wall_us / 1_000_000, datetime.UTC)
    findings += _pair_findings(material)
    findings += _time_findings(material, now)
    findings += _signer_findings(material)
    return material, findings


def _read(
    text: str, key: str, base: Path, load: Callable[[bytes], T], expected: str, findings: list[Finding]
) -> T | None:
    if not text:
        return None
    path = base / text
    try:
        with path.open("rb") as file:
            data = file.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        findings.append(Finding(key, f"{path}: {error.strerror}", expected))
        return None
    if key == "key" and stat.S_IMODE(path.stat().st_mode) & 0o007:
        findings.append(
            Finding(key, f"{path}, which everybody on this machine may read", "mode 0600 or 0640")
        )
        return None
    try:
        if len(data) > FILE_BYTES_MAX:
            raise ValueError("too long")
        return load(data)
    except UNREADABLE:
        findings.append(Finding(key, f"{path}, which is none", expected))
        return None


def _private_key(data: bytes) -> Any:
    return load_pem_private_key(data, None)


def _revocation_lists(data: bytes) -> list[x509.CertificateRevocationList]:
    end = b"-----END X509 CRL-----"
    parts = [part + end for part in data.split(end)[:-1]]
    if not parts:
        raise ValueError("none")
    return [x509.load_pem_x509_crl(part) for part in parts]


def _pair_findings(material: Material) -> Iterator[Finding]:
    if not material.chain or material.key is None:
        return
    form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    try:
        public = material.chain[0].public_key()
    except UNREADABLE:
        yield Finding("certificate", "one with a key of an unknown kind", "RSA or an elliptic curve")
        return
    if public.public_bytes(*form) != material.key.public_key().public_bytes(*form):
        yield Finding("key", "the key of another certificate", "the key of the first one in certificate")


def _time_findings(material: Material, now: datetime.datetime) -> Iterator[Finding]:
    for what, end in material.ends().items():
        if end <= now:
            key = "certificate" if what == "own" else what
            found = "a list that was to be renewed by" if what == "crl" else "one that expired on"
            yield Finding(key, f"{found} {end:%Y-%m-%d %H:%M} UTC", "one that is good now")
    for certificate in material.chain:
        if certificate.not_valid_before_utc > now:
            start = certificate.not_valid_before_utc
            yield Finding(
                "certificate", f"one that begins on {start:%Y-%m-%d %H:%M} UTC", "one that is good now"
            )


def _signer_findings(material: Material) -> Iterator[Finding]:
    if not material.authorities:
        return
    signers = {certificate.subject for certificate in material.authorities}
    for crl in material.revoked:
        if crl.issuer not in signers:
            issuer = crl.issuer.rfc4514_string()
            yield Finding("crl", f"a list of {issuer}", "lists that the authorities in ca have signed")
