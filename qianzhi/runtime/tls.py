"""TLS for every link of ours: contexts made from the site's [tls.NAME] tables, kept fresh, peers judged.

    protection = Protection("banks", site.tls["banks"], config_folder)     raises TlsError
    TLSMemoryBIOFactory(protection.server, False, factory)                 a listener of ours
    wrapClientTLS(protection.client("mq.example.net"), endpoint)           a connection that we make
    Agent(reactor, contextFactory=protection.https)                        HTTPS

What is made here is asked anew for each connection, so that new files take effect with the next one while
those that stand go on.  New files that cannot be used leave the old ones in force, with an alarm.  A peer
that is refused is counted under one reason (`tls_peer`) and named in the log, at most one line a reason and
ten seconds.

Sessions are never resumed: each connection is judged by the files of its own time.
"""

import ipaddress
import weakref
from pathlib import Path
from typing import Any

from cryptography import x509
from OpenSSL import SSL
from OpenSSL.crypto import X509, X509StoreFlags
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator, IOpenSSLServerConnectionCreator
from twisted.web.iweb import IPolicyForHTTPS
from zope.interface import implementer  # type: ignore[import-untyped]

from qianzhi.runtime import clock, metrics, tls_open
from qianzhi.runtime.log import get_logger
from qianzhi.runtime.now import SECOND_US
from qianzhi.runtime.tls_ends import Ends
from qianzhi.runtime.tls_files import Finding, Material, TlsError, read_material, stamp_of
from qianzhi.runtime.tls_peer import (
    BAD_CERTIFICATE,
    ENDED_EARLY,
    NO_ISSUER,
    PIN,
    UNREADABLE,
    WRONG_NAME,
    carries_one_of,
    fingerprint,
    reason_of_error,
    reason_of_verification,
)
from qianzhi.runtime.tls_table import TlsTable

LOG_SECONDS = 10
CIPHERS = b"ECDHE+AESGCM:ECDHE+CHACHA20:!aNULL"  # of TLS 1.2; those of 1.3 are all good
_VERSIONS = {"1.2": SSL.TLS1_2_VERSION, "1.3": SSL.TLS1_3_VERSION}


class Protection:
    """One [tls.NAME] table in use; `server`, `client(host)` and `https` are what Twisted asks for."""

    def __init__(self, name: str, table: TlsTable, base: Path) -> None:
        """Read the files; raises TlsError with everything that is wrong with them."""
        self.name = name
        self.table = table
        self._base = base
        self._log = get_logger("tls")
        self._stamp = stamp_of(table, base)
        self._fault = ""
        self._ends = Ends(name)
        self._logged_us: dict[str, int] = {}
        self._pins = frozenset(pin.lower() for pin in table.pins)
        self._use(read_material(name, table, base))
        self.https = _Https(self)
        self._ends.tell(self._material.ends())
        tls_open.add(self)

    @property
    def server(self) -> "_Server":
        """What makes the TLS of connections that we accept; raises TlsError without a certificate of ours."""
        if not self.table.certificate:
            raise TlsError(self.name, [Finding("certificate", "none", "one, for whom peers connect to")])
        return _Server(self)

    def client(self, host: str) -> "_Client":
        """Return what makes the TLS of connections to `host`, whose certificate must be for it unless the
        table has `names`; raises TlsError for a table that could not tell whom it reached.
        """
        if not self.table.knows_peer:
            raise TlsError(self.name, [Finding("ca", "none", "ca or pins, to know whom we have reached")])
        return _Client(self, host)

    def look(self) -> None:
        """Read the files again if they have changed; tell when what is in force ends."""
        stamp = stamp_of(self.table, self._base)
        if stamp != self._stamp:
            self._stamp = stamp
            self.reload()
        self._ends.tell(self._material.ends())

    def reload(self) -> bool:
        """Read the files and use them from the next connection on; False, with an alarm, when the old ones
        stay.
        """
        try:
            material = read_material(self.name, self.table, self._base)
            self._use(material)
        except TlsError as error:
            self._fault = str(error)
            metrics.count("qianzhi_tls_reloads_total", (self.name, "failed"))
            self._ends.alarm(
                "certificate_unusable", {"error": self._fault, "in_force": "what was read before"}
            )
            return False
        self._fault = ""
        metrics.count("qianzhi_tls_reloads_total", (self.name, "done"))
        self._log.info("certificates read", tls=self.name)
        self._ends.tell(self._material.ends())
        return True

    def status(self) -> dict[str, Any]:
        """Return when what is in force ends, and what was wrong with the files that were read last."""
        ends = {what: f"{end:%Y-%m-%d %H:%M} UTC" for what, end in self._material.ends().items()}
        return {"ends": ends, **({"trouble": self._fault} if self._fault else {})}

    def connection(self, host: str | None, protocol: Any) -> "WatchedConnection":
        """Make the TLS of one connection: to `host`, or of one that we accept (None)."""
        context = self._server_context if host is None else self._client_context
        connection = WatchedConnection(context, self, host, protocol)
        if host is None:
            connection.set_accept_state()
        else:
            connection.set_connect_state()
            if not _is_address(host):
                connection.set_tlsext_host_name(host.encode("idna"))
        return connection

    def judge(self, connection: "WatchedConnection", peer: X509, number: int, depth: int, good: int) -> bool:
        """Judge one certificate of a peer's chain as OpenSSL found it; the connection keeps the reason."""
        if not good and (self.table.ca or number not in NO_ISSUER) and (self.table.ca or depth == 0):
            connection.refused = connection.refused or reason_of_verification(number)
            return False
        if not good or depth:
            return True  # a pinned certificate needs no issuer, and of a chain the first one is the peer's
        try:
            connection.refused = self._judge_own(connection, peer.to_cryptography())
        except UNREADABLE:
            connection.refused = BAD_CERTIFICATE
        return not connection.refused

    def _judge_own(self, connection: "WatchedConnection", certificate: x509.Certificate) -> str:
        """Return why the peer's own certificate is not the one that we want, "" when it is."""
        connection.subject = certificate.subject.rfc4514_string()
        names = self.table.names or ((connection.host,) if connection.host and self.table.ca else ())
        if self._pins and fingerprint(certificate) not in self._pins:
            return PIN
        if names and not carries_one_of(certificate, names):
            return WRONG_NAME
        return ""

    def told(self, connection: "WatchedConnection", reason: str) -> None:
        """Count a connection that did not come about, and name it in the log."""
        metrics.count("qianzhi_tls_refused_total", (self.name, reason))
        if reason == ENDED_EARLY:
            return  # a health check, or one of us stopping: nothing that an operator should read of
        now_us = clock.now().mono_us
        if now_us - self._logged_us.get(reason, -LOG_SECONDS * SECOND_US) >= LOG_SECONDS * SECOND_US:
            self._logged_us[reason] = now_us
            self._log.warning(
                "TLS refused", tls=self.name, reason=reason, peer=connection.peer, subject=connection.subject
            )

    def _use(self, material: Material) -> None:
        self._server_context, self._client_context = _contexts(self.name, self.table, material)
        self._material = material


class WatchedConnection(SSL.Connection):
    """One connection's TLS, which knows why it was refused (`refused`, empty while it is not)."""

    def __init__(self, context: SSL.Context, owner: Protection, host: str | None, protocol: Any) -> None:
        """`host` is whom we call, None for a connection that we accept."""
        super().__init__(context, None)
        self.host = host
        self.refused = ""
        self.subject = ""
        self._owner = owner
        self._protocol = weakref.ref(protocol)
        self._told = False
        self._done = False

    @property
    def peer(self) -> str:
        """Return the address at the other end, for people."""
        transport = getattr(self._protocol(), "transport", None)
        address = transport.getPeer() if transport is not None else None
        return f"{address.host}:{address.port}" if address is not None else ""

    def do_handshake(self) -> None:
        """Go on with the handshake, and notice its end, good or bad."""
        try:
            super().do_handshake()
        except SSL.WantReadError:
            raise
        except SSL.Error as error:
            self._fail(error)
            raise
        self._done = True
        metrics.count("qianzhi_tls_handshakes_total", (self._owner.name, self.get_protocol_version_name()))

    def recv(self, bufsiz: int, flags: int | None = None) -> bytes:
        """Read, and notice a peer that refuses us only after our own side of the handshake is done."""
        try:
            return super().recv(bufsiz, flags)
        except (SSL.WantReadError, SSL.ZeroReturnError):
            raise
        except SSL.Error as error:
            if not self._done or "alert" in " ".join(_texts(error)):
                self._fail(error)
            raise

    def _fail(self, error: SSL.Error) -> None:
        if not self._told:
            self._told = True
            self.refused = self.refused or reason_of_error(_texts(error))
            self._owner.told(self, self.refused)


@implementer(IOpenSSLServerConnectionCreator)
class _Server:
    def __init__(self, owner: Protection) -> None:
        self._owner = owner

    def serverConnectionForTLS(self, protocol: Any) -> SSL.Connection:
        """Return the TLS of a connection that has come in."""
        return self._owner.connection(None, protocol)


@implementer(IOpenSSLClientConnectionCreator)
class _Client:
    def __init__(self, owner: Protection, host: str) -> None:
        self._owner = owner
        self._host = host

    def clientConnectionForTLS(self, protocol: Any) -> SSL.Connection:
        """Return the TLS of a connection that we have made."""
        return self._owner.connection(self._host, protocol)


@implementer(IPolicyForHTTPS)
class _Https:
    def __init__(self, owner: Protection) -> None:
        self._owner = owner

    def creatorForNetloc(self, hostname: bytes, port: int) -> _Client:
        """Return what makes the TLS of connections to a web server."""
        return self._owner.client(hostname.decode("ascii"))


def trial(name: str, table: TlsTable, base: Path) -> list[Finding]:
    """Read the files of a table and try them; return everything that is wrong with them."""
    try:
        _contexts(name, table, read_material(name, table, base))
    except TlsError as error:
        return error.findings
    return []


def _contexts(name: str, table: TlsTable, material: Material) -> tuple[SSL.Context, SSL.Context]:
    """Make the contexts of these files, for who is dialled and for who dials; raises TlsError for what
    OpenSSL does not take, as a weak key.
    """
    try:
        return _context(name, table, material, "server"), _context(name, table, material, "client")
    except SSL.Error as error:
        found = f"files that OpenSSL refuses ({_texts(error)[-1]})"
        raise TlsError(name, [Finding("certificate", found, "ones that it takes")]) from error


def _context(name: str, table: TlsTable, material: Material, mode: str) -> SSL.Context:
    context = SSL.Context(SSL.TLS_METHOD)
    context.set_min_proto_version(_VERSIONS[table.minimum])
    context.set_cipher_list(CIPHERS)
    context.set_options(SSL.OP_NO_TICKET | SSL.OP_NO_RENEGOTIATION | SSL.OP_NO_COMPRESSION)
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    context.set_session_id(name.encode()[:32])
    if material.chain:
        context.use_certificate(material.chain[0])
        context.use_privatekey(material.key)
        for certificate in material.chain[1:]:
            context.add_extra_chain_cert(certificate)
    if table.knows_peer:
        context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, _judge)
    store = context.get_cert_store()
    if store is not None:
        _fill(store, material)
    if mode == "server":
        for certificate in material.authorities:
            context.add_client_ca(certificate)
    return context


def _fill(store: Any, material: Material) -> None:
    """Say whom we trust: each certificate of `ca` alone suffices, be it a root or not.  With revocation
    lists every authority of a peer's chain needs one.
    """
    flags = X509StoreFlags.PARTIAL_CHAIN
    for certificate in material.authorities:
        store.add_cert(X509.from_cryptography(certificate))
    for crl in material.revoked:
        store.add_crl(crl)
    if material.revoked:
        flags |= X509StoreFlags.CRL_CHECK | X509StoreFlags.CRL_CHECK_ALL
    store.set_flags(flags)


def _judge(connection: SSL.Connection, peer: X509, number: int, depth: int, good: int) -> bool:
    watched: Any = connection
    return bool(watched._owner.judge(connection, peer, number, depth, good))


def _texts(error: SSL.Error) -> list[str]:
    queue = error.args[0] if error.args and isinstance(error.args[0], list | tuple) else [error.args]
    return [str(part) for entry in queue for part in (entry if isinstance(entry, tuple) else (entry,))]


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
