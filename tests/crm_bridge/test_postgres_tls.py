"""PostgreSQL over TLS, live, by the parameters of the URL that docs/OPERATIONS.md gives."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from simulators.servers.postgres import Postgres, give, run_as

SERVER = """\
ssl = on
ssl_ca_file = '{folder}/ca.pem'
ssl_cert_file = '{folder}/server.pem'
ssl_key_file = '{folder}/server.key'
ssl_min_protocol_version = 'TLSv1.2'
ssl_max_protocol_version = 'TLSv1.2'
"""
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
        with psycopg.connect(url, connect_timeout=10) as connection:
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
    ("parameters", "words"),
    [
        ({"sslmode": "disable", "sslcert": "", "sslkey": ""}, "no encryption"),
        ({"sslrootcert": "{folder}/other.pem"}, "certificate verify failed"),
        ({"sslcrl": "{folder}/crl.pem"}, "certificate verify failed"),
        ({"ssl_min_protocol_version": "TLSv1.3"}, "protocol version"),
        ({"sslcert": "{folder}/stranger.pem", "sslkey": "{folder}/stranger.key"}, "unknown ca"),
        ({"sslcert": "/nonexistent", "sslkey": "/nonexistent"}, "client certificate"),
    ],
    ids=["plain", "unknown_ca", "revoked", "old_version", "our_own_unknown", "our_own_none"],
)
def test_what_is_not_as_it_should_be_is_refused(place: Place, parameters: dict[str, str], words: str) -> None:
    place.ca.revoke("crl", place.certificate)
    given = {key: value.format(folder=place.folder) for key, value in parameters.items()}
    with pytest.raises(psycopg.OperationalError, match=words):
        place.answer(**given)


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
