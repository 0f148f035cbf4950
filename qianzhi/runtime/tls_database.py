"""Why PostgreSQL's TLS did not come about: its driver refuses by itself, and says so in words."""

import re

from qianzhi.runtime import metrics

NAME = "database"
# Words of libpq, of OpenSSL behind it and of the server, in the order in which they are looked for.
_WORDS = (
    ("does not match host name", "wrong_name"),
    ("certificate verify failed", "unverified"),
    ("protocol version", "old_version"),
    ("unsupported protocol", "old_version"),
    ("version too low", "old_version"),
    ("server does not support ssl", "not_tls"),
    ("valid client certificate", "refused_by_peer"),
    ("certificate required", "refused_by_peer"),
    ("no encryption", "no_encryption"),
    ("certificate file", "own_files"),
    ("private key", "own_files"),
    ("ssl syscall error", "ended_early"),
)


def count_refusals(said: str) -> None:
    """Count, for each server that an attempt to connect tried, whether TLS was what it failed for."""
    for part in re.split(r"(?=connection to server)", said):
        if reason := reason_of(part):
            metrics.count("qianzhi_tls_refused_total", (NAME, reason))


def reason_of(said: str) -> str:
    """Name the reason for which TLS did not come about; empty where the connection failed for another."""
    text = said.lower()
    found = next((reason for words, reason in _WORDS if words in text), "")
    if not found and "ssl error" in text:
        return "refused_by_peer" if "alert" in text else "handshake_failed"
    return found
