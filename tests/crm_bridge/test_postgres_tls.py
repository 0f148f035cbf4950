"""PostgreSQL over TLS, live, by the parameters of the URL that docs/OPERATIONS.md gives."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from crm_bridge.database.store import connect
from frontends.store import open_url
from qianzhi.link.store import BeatsError, open_beats
from qianzhi.runtime import metrics, tls_open
from qianzhi.runtime.store import StateError
from qianzhi.runtime.tls_driver import DriverFiles
from simulators.servers.postgres import Postgres, give, run_as

SERVER = """\
ssl = on
ssl_ca_file = '{folder}/ca.pem'
ssl_cert_file = '{folder}/server.pem'
ssl_key_file = '{folder}/server.key'
ssl_min_protocol_version = 'TLSv1.2'
ssl_max_protocol_version = 'TLSv1.2'
"""
EXPIRES = "qianzhi_certificate_expires_seconds"
REASONS = ("unverified", "refused_by_peer", "own_files", "handshake_failed", "ended_early", "not_tls")
ONLY_TLS = "hostssl all all 127.0.0.1/32 scram-sha-256 clientcert=verify-ca\n"


class Place:
    """The running server, its files and ours."""

    def __init__(self, folder: Path, make: Any) -> None:
        self.folder = folder
        self.server = Postgres.create()
        self.ca, self.other = make(folder, "ca"), make(folder, "other")
        self.certificate = self.ca.issue("server", "127.0.0.1")
        self.ca.issue("own", "bridge.example")
        self.other.issue("stranger", "bridge.example")
        self.show("ca.pem", "server.pem", "server.key")
        settings = SERVER.format(folder=self.server.folder / "tls").splitlines()
        self.server.configure(settings)
        access = self.server.data / "pg_hba.conf"
        access.write_text("local all all trust\n" + ONLY_TLS, encoding="ascii")

    def show(self, *names: str) -> None:
        """Give the server the present state of some files."""
        there = self.server.folder / "tls"
        there.mkdir(exist_ok=True)
        give(there, run_as())
        for name in names:
            (there / name).write_bytes((self.folder / name).read_bytes())
            (there / name).chmod(0o600)
            give(there / name, run_as())

    def answer(self, **parameters: str) -> str:
        """Connect with these parameters and ask which protocol protects us."""
        given = {
            "sslmode": "verify-full",
            "sslrootcert": f"{self.folder}/ca.pem",
            "sslcert": f"{self.folder}/own.pem",
            "sslkey": f"{self.folder}/own.key",
            "ssl_min_protocol_version": "TLSv1.2",
            **parameters,
        }
        url = self.server.url("postgres", "postgres", self.server.admin_password)
        url += "?" + "&".join(f"{key}={value}" for key, value in given.items() if value)
        with connect(url, writing=False, connect_timeout="10") as connection:
            row: Any = connection.execute(
                "SELECT version FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
            ).fetchone()
            return str(row[0])

    def renewed(self, wanted: Callable[[str], bool]) -> str:
        """Let the server read its certificate anew; connect until what comes of it is what is wanted."""
        self.show("server.pem", "server.key")
        self.server.reload()
        for _ in range(2_000):
            try:
                said = self.answer()
            except psycopg.OperationalError as error:
                said = str(error)
            if wanted(said):
                return said
        raise AssertionError(f"the server goes on with {said}")


def refused(reason: str) -> float:
    return float(metrics.value("qianzhi_tls_refused_total", ("database", reason)))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, authority_in: Any) -> Iterator[Place]:
    made = Place(tmp_path_factory.mktemp("tls"), authority_in)
    try:
        made.server.start()
        yield made
    finally:
        made.server.close()


def test_the_database_is_reached_with_both_certificates(place: Place) -> None:
    assert place.answer() == "TLSv1.2"


@pytest.mark.parametrize(
    ("parameters", "words", "reason"),
    [
        ({"sslmode": "disable", "sslcert": "", "sslkey": ""}, "no encryption", "no_encryption"),
        ({"sslrootcert": "{folder}/other.pem"}, "certificate verify failed", "unverified"),
        ({"sslcrl": "{folder}/crl.pem"}, "certificate verify failed", "unverified"),
        ({"ssl_min_protocol_version": "TLSv1.3"}, "protocol version", "old_version"),
        (
            {"sslcert": "{folder}/stranger.pem", "sslkey": "{folder}/stranger.key"},
            "unknown ca",
            "refused_by_peer",
        ),
        ({"sslcert": "/nonexistent", "sslkey": "/nonexistent"}, "client certificate", "refused_by_peer"),
        ({"sslrootcert": "/nonexistent"}, "root certificate file", "own_files"),
    ],
    ids=["plain", "unknown_ca", "revoked", "old_version", "our_own_unknown", "our_own_none", "our_ca_none"],
)
def test_what_is_not_as_it_should_be_is_refused_and_counted(
    place: Place, parameters: dict[str, str], words: str, reason: str
) -> None:
    place.ca.revoke("crl", place.certificate)
    given = {key: value.format(folder=place.folder) for key, value in parameters.items()}
    before = refused(reason)
    with pytest.raises(psycopg.OperationalError, match=words):
        place.answer(**given)
    assert refused(reason) == before + 1


def test_heartbeats_and_fronts_that_are_refused_are_counted_too(place: Place) -> None:
    url = (
        f"{place.server.url('postgres', 'postgres')}?sslmode=verify-full&sslrootcert={place.folder}/other.pem"
    )
    before = refused("unverified")
    beats = open_beats(url, place.server.admin_password, place.folder)
    with pytest.raises(BeatsError):
        beats.read()
    with pytest.raises(StateError):
        open_url(url, place.server.admin_password).load("wenzhou")
    assert refused("unverified") == before + 2


def test_a_server_that_is_down_has_refused_no_tls(place: Place) -> None:
    before = {reason: refused(reason) for reason in REASONS}
    url = "postgresql://postgres@127.0.0.1:1/postgres?sslmode=verify-full"
    with pytest.raises(psycopg.OperationalError):
        connect(f"{url}&sslrootcert={place.folder}/ca.pem")
    assert {reason: refused(reason) for reason in REASONS} == before


def test_the_files_that_the_url_names_are_looked_at_for_their_ends(place: Place) -> None:
    place.ca.issue("soon", "bridge.example", days=6)
    url = f"postgresql://a@h/d?sslrootcert={place.folder}/ca.pem&sslcert={place.folder}/soon.pem"
    url += f"&sslkey={place.folder}/soon.key"
    alarms = metrics.value("qianzhi_alarms_total", ("certificate_expires",))
    files = DriverFiles(url)
    left = {what: metrics.value(EXPIRES, ("database", what)) for what in ("own", "ca")}
    assert 5 * 86_400 < left["own"] <= 6 * 86_400
    assert left["ca"] > left["own"]
    assert metrics.value("qianzhi_alarms_total", ("certificate_expires",)) == alarms + 1
    assert set(tls_open.status_all()["database"]["ends"]) == {"own", "ca"}
    place.ca.issue("soon", "bridge.example", days=60)
    assert files.reload()
    assert metrics.value(EXPIRES, ("database", "own")) > 59 * 86_400
    (place.folder / "soon.pem").write_bytes(b"nothing")
    assert not files.reload()
    assert "soon.pem, which is none" in files.status()["trouble"]


@pytest.mark.parametrize(
    ("name", "days", "words"),
    [("10.9.8.7", 10, "does not match host name"), ("127.0.0.1", -1, "certificate verify failed")],
    ids=["wrong_name", "expired"],
)
def test_a_server_that_shows_another_certificate_is_refused_until_it_is_mended(
    place: Place, name: str, days: int, words: str
) -> None:
    place.ca.issue("server", name, days=days)
    assert words in place.renewed(lambda said: said != "TLSv1.2")
    place.ca.issue("server", "127.0.0.1")
    assert place.renewed(lambda said: said == "TLSv1.2")
