"""Judging the other end of a TLS connection: which error is which reason, and whose certificate it is.

Decides only; the callbacks that ask it are `tls`'s.  A reason is a stable name that is counted.
"""

import ipaddress
from collections.abc import Iterable

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.hashes import SHA256
from service_identity import CertificateError, VerificationError
from service_identity.cryptography import extract_patterns
from service_identity.hazmat import DNS_ID, IPAddress_ID, ServiceID, verify_service_identity

WRONG_NAME = "wrong_name"
BAD_CERTIFICATE = "bad_certificate"
PIN = "pin"
ENDED_EARLY = "ended_early"
REFUSED_BY_PEER = "refused_by_peer"

# What reading a certificate may raise; OpenSSL lets through more than `cryptography` understands.
UNREADABLE = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
    CertificateError,
)

# X509_V_ERR_… of openssl/x509_vfy.h
_VERIFY_REASONS = {
    2: "unknown_ca",
    3: "no_crl",
    9: "not_yet_valid",
    10: "expired",
    11: "crl_not_yet_valid",
    12: "crl_expired",
    18: "unknown_ca",
    19: "unknown_ca",
    20: "unknown_ca",
    21: "unknown_ca",
    23: "revoked",
    24: "unknown_ca",
    26: "wrong_purpose",
    27: "unknown_ca",
    66: "weak_key",
    67: "weak_key",
    68: "weak_key",
    79: "unknown_ca",
}
NO_ISSUER = frozenset({2, 18, 19, 20, 21, 27})  # what a pinned certificate need not have

# Words of OpenSSL's error texts, in the order in which they are looked for.
_WORDS = (
    ("peer did not return a certificate", "no_certificate"),
    ("unsupported protocol", "old_version"),
    ("version too low", "old_version"),
    ("alert protocol version", "old_version"),
    ("alert", REFUSED_BY_PEER),
    ("http request", "not_tls"),
    ("wrong version number", "not_tls"),
    ("packet length too long", "not_tls"),
    ("record layer failure", "not_tls"),
    ("bad record type", "not_tls"),
    ("no shared cipher", "no_shared_cipher"),
    ("no suitable signature", "no_shared_cipher"),
    ("no suitable key share", "no_shared_cipher"),
    ("unexpected eof", ENDED_EARLY),
)


def reason_of_verification(number: int) -> str:
    """Name what OpenSSL found wrong with a certificate."""
    return _VERIFY_REASONS.get(number, BAD_CERTIFICATE)


def reason_of_error(texts: Iterable[str]) -> str:
    """Name a failed handshake by the texts of its errors."""
    text = " ".join(texts).lower()
    return next((reason for words, reason in _WORDS if words in text), "handshake_failed")


def fingerprint(certificate: x509.Certificate) -> str:
    """Return the SHA-256 sum of a whole certificate in small hex digits."""
    return certificate.fingerprint(SHA256()).hex()


def carries_one_of(certificate: x509.Certificate, names: Iterable[str]) -> bool:
    """Tell whether a certificate is for one of these host names or IP addresses (RFC 6125).

    The common name of a certificate counts where it has no names of the newer kind at all.  Raises one of
    UNREADABLE.
    """
    patterns = extract_patterns(certificate)
    if not patterns:
        common = [str(a.value) for a in certificate.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)]
        return any(name.lower() == one.lower() for name in names for one in common)
    for name in names:
        try:
            verify_service_identity(patterns, [_service(name)], [])
        except VerificationError:
            continue
        return True
    return False


def _service(name: str) -> ServiceID:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return DNS_ID(name)
    return IPAddress_ID(name)
