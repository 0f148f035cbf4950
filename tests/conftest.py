"""One reactor on a thread of its own for all tests that need sockets; tests talk to it and wait for it."""

import contextlib
import datetime
import fcntl
import os
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from twisted.internet.threads import blockingCallFromThread

from qianzhi.runtime import clock
from qianzhi.runtime.daemon import install_reactor
from simulators.servers.postgres import Postgres
from simulators.servers.rabbitmq import Broker

install_reactor()  # before anything imports Twisted's default one


SAID_MAX = 4_000  # characters


class AtOnce:
    """Names each failing test where it fails: a run that is cut off has said what it found."""

    def __init__(self, terminal: Any) -> None:
        self._terminal = terminal

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self._terminal.write_line("")
            self._terminal.write_line(f"{report.nodeid}: {report.when} failed")
            crash = getattr(report.longrepr, "reprcrash", None)
            if crash is not None:
                self._terminal.write_line(f"{crash.path}:{crash.lineno}: {crash.message[:SAID_MAX]}")


def pytest_sessionstart(session: pytest.Session) -> None:
    terminal = session.config.pluginmanager.getplugin("terminalreporter")
    if terminal is not None and not hasattr(session.config, "workerinput"):
        session.config.pluginmanager.register(AtOnce(terminal), "at-once")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Spread the modules that take turns (`processors`), or processes would wait for each other."""
    modules: dict[Path, list[pytest.Item]] = {}
    for item in items:
        modules.setdefault(item.path, []).append(item)
    turns = [path for path, own in modules.items() if "processors" in getattr(own[0], "fixturenames", ())]
    others = [path for path in modules if path not in turns]
    for number, path in enumerate(turns):
        others.insert(number + number * (len(modules) - len(turns)) // len(turns), path)
    items[:] = [item for path in others for item in modules[path]]


class ReactorThread:
    """The running reactor, seen from the test's thread."""

    def __init__(self) -> None:
        self.reactor: Any = install_reactor()
        if self.reactor.running:
            return
        started = threading.Event()
        self.reactor.callWhenRunning(started.set)
        self._thread = threading.Thread(
            target=self.reactor.run, kwargs={"installSignalHandlers": False}, daemon=True
        )
        self._thread.start()
        assert started.wait(10)

    def run(self, work: Callable[[], Any]) -> Any:
        """Call `work` on the reactor's thread and return its result, or that of its Deferred."""
        return blockingCallFromThread(self.reactor, work)

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Keep the reactor busy inside the block, so that it sees all that happens there at one wake-up."""
        holding, release = threading.Event(), threading.Event()

        def hold() -> None:
            holding.set()
            release.wait(10)

        self.reactor.callFromThread(hold)
        assert holding.wait(10)
        try:
            yield
        finally:
            release.set()


@pytest.fixture(scope="session")
def reactor_thread() -> ReactorThread:
    """The process's one reactor; it cannot be started twice, so it runs until the tests end."""
    return ReactorThread()


class Authority:
    """A certificate authority in a folder; what it issues lies there as NAME.pem and NAME.key."""

    def __init__(self, folder: Path, name: str = "ca") -> None:
        self.folder = folder
        self.name = name
        self._ca = trustme.CA()
        self._ca.cert_pem.write_to_path(str(folder / f"{name}.pem"))

    def issue(self, name: str, *names: str, days: float = 100, common_name: str | None = None) -> Any:
        """Issue a certificate for these names, good from yesterday for so many days (past ones too)."""
        now = datetime.datetime.fromtimestamp(clock.now().wall_us // 1_000_000, datetime.UTC)
        begins, ends = now + datetime.timedelta(days=min(days, 0) - 1), now + datetime.timedelta(days=days)
        made = self._ca.issue_cert(*names, common_name=common_name, not_before=begins, not_after=ends)
        chain = b"".join(pem.bytes() for pem in made.cert_chain_pems)
        (self.folder / f"{name}.pem").write_bytes(chain)
        (self.folder / f"{name}.key").write_bytes(made.private_key_pem.bytes())
        (self.folder / f"{name}.key").chmod(0o600)
        return x509.load_pem_x509_certificate(chain)

    def sign(self, name: str, key: Any, *, names: bytes = b"") -> Any:
        """Sign a certificate as no authority should: for any key, with any bytes as its names."""
        now = datetime.datetime.fromtimestamp(clock.now().wall_us // 1_000_000, datetime.UTC)
        ca = x509.load_pem_x509_certificate(self._ca.cert_pem.bytes())
        signer: Any = load_pem_private_key(self._ca.private_key_pem.bytes(), None)
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        made = x509.CertificateBuilder().issuer_name(ca.subject).subject_name(subject)
        made = made.public_key(key.public_key()).serial_number(x509.random_serial_number())
        made = made.not_valid_before(now - datetime.timedelta(days=1))
        made = made.not_valid_after(now + datetime.timedelta(days=100))
        if names:
            alternative = x509.UnrecognizedExtension(x509.ExtensionOID.SUBJECT_ALTERNATIVE_NAME, names)
            made = made.add_extension(alternative, critical=False)
        certificate = made.sign(signer, SHA256())
        (self.folder / f"{name}.pem").write_bytes(certificate.public_bytes(Encoding.PEM))
        form = (Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        (self.folder / f"{name}.key").write_bytes(key.private_bytes(*form))
        (self.folder / f"{name}.key").chmod(0o600)
        return certificate

    def revoke(self, name: str, *certificates: Any, days: float = 7) -> None:
        """Write the list NAME.pem of revoked certificates, good for so many days."""
        now = datetime.datetime.fromtimestamp(clock.now().wall_us // 1_000_000, datetime.UTC)
        ca = x509.load_pem_x509_certificate(self._ca.cert_pem.bytes())
        key: Any = load_pem_private_key(self._ca.private_key_pem.bytes(), None)
        made = x509.CertificateRevocationListBuilder().issuer_name(ca.subject)
        made = made.last_update(now - datetime.timedelta(days=30))
        made = made.next_update(now + datetime.timedelta(days=days))
        for certificate in certificates:
            row = x509.RevokedCertificateBuilder().serial_number(certificate.serial_number)
            made = made.add_revoked_certificate(row.revocation_date(now).build())
        pem = made.sign(key, SHA256()).public_bytes(Encoding.PEM)
        (self.folder / f"{name}.pem").write_bytes(pem)


@pytest.fixture
def authority(tmp_path: Path) -> Callable[..., Authority]:
    """Makes certificate authorities in the test's own folder."""
    return lambda name="ca": Authority(tmp_path, name)


@pytest.fixture(scope="session")
def authority_in() -> Callable[[Path, str], Authority]:
    """Makes certificate authorities in any folder, for fixtures that outlive a test."""
    return Authority


@pytest.fixture(scope="module")
def processors() -> Iterator[None]:
    """This machine's processors, for a module that starts dozens of daemons: one such module at a time.

    Several at once, each in a process of the tests, starve each other of what they wait for with patience.
    """
    with Path(tempfile.gettempdir(), "qianzhi-whole-site.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@pytest.fixture(scope="session")
def broker() -> Iterator[Broker]:
    """A running RabbitMQ node for all tests; each of them asks it for a virtual host of its own."""
    shared = os.environ.get("QIANZHI_TEST_SERVERS")
    if shared:
        yield Broker.attach(Path(shared) / "broker")
        return
    server = Broker.create()
    try:
        server.start()
        yield server
    finally:
        server.close()


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A running PostgreSQL for all tests; each of them asks it for a database of its own."""
    shared = os.environ.get("QIANZHI_TEST_SERVERS")
    if shared:
        yield Postgres.attach(Path(shared) / "postgres")
        return
    server = Postgres.create()
    try:
        server.start()
        yield server
    finally:
        server.close()
