"""The private servers: they end with their starter, keep what they were given, and name what is missing."""

import contextlib
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from qianzhi.cli.balancer import render
from qianzhi.link.site import load_site
from simulators.free_ports import free_ports
from simulators.servers import packages
from simulators.servers.haproxy import Haproxy
from simulators.servers.packages import PackagesMissing, require
from simulators.servers.postgres import Cluster, Postgres
from simulators.servers.processes import Process, ServerFailed
from simulators.servers.rabbitmq import Broker

ROOT = Path(__file__).parents[2]
END_SECONDS = 30

STARTER = """
import sys
from pathlib import Path
from simulators.servers.processes import Process
one = Process(Path(sys.argv[1]))
one.start(["sh", "-c", "echo up; exec sleep 1000"])
one.wait_ready(lambda: "up" in one.said(), 30)
sys.stdout.write(f"{one.pid}\\n")
sys.stdout.flush()
sys.stdin.read()
"""


def test_a_server_ends_with_whoever_started_it_even_when_that_is_killed(tmp_path: Path) -> None:
    command = [sys.executable, "-c", STARTER, str(tmp_path / "log")]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as starter:
        assert starter.stdout is not None
        handle = os.pidfd_open(int(starter.stdout.readline()))
        try:
            starter.kill()
            assert select.select([handle], [], [], END_SECONDS)[0], "it is still there"
        finally:
            os.close(handle)


def test_a_server_that_does_not_start_is_reported_with_what_it_said(tmp_path: Path) -> None:
    process = Process(tmp_path / "log")
    process.start(["sh", "-c", "echo no room; exit 1"])
    with pytest.raises(ServerFailed, match="no room"):
        process.wait_ready(lambda: False, END_SECONDS)


def test_a_missing_package_is_named_with_the_line_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "")
    monkeypatch.delenv("QIANZHI_INSTALL", raising=False)
    monkeypatch.setitem(packages.WHETHER, "haproxy", lambda: False)
    monkeypatch.setitem(packages.WHETHER, "postgresql", lambda: False)
    with pytest.raises(PackagesMissing, match=r"(sudo )?apt-get install haproxy postgresql$"):
        require("haproxy", "rabbitmq-server", "postgresql")


@pytest.fixture
def alone() -> Iterator[Postgres]:
    """A server of one test: others' databases would make its recovery long."""
    made = Postgres.create()
    try:
        made.start()
        yield made
    finally:
        made.close()


def test_a_database_keeps_what_it_was_given_over_a_crash_and_asks_for_passwords(alone: Postgres) -> None:
    postgres = alone
    name = postgres.new_database().rpartition("/")[2]
    postgres.psql("CREATE TABLE kept (what text)", name)
    postgres.psql("INSERT INTO kept VALUES ('this')", name)
    postgres.kill()
    assert not postgres.alive
    postgres.start()
    assert postgres.psql("SELECT what FROM kept", name) == "this"
    import psycopg

    for password in ("", "wrong"):
        with pytest.raises(psycopg.OperationalError, match="password"):
            psycopg.connect(postgres.url(postgres.admin_user, name, password))


def test_a_standby_has_what_was_committed_and_takes_over_when_it_is_promoted() -> None:
    cluster = Cluster.create()
    try:
        cluster.primary.psql("CREATE TABLE kept (what text)")
        cluster.primary.psql("INSERT INTO kept VALUES ('this')")
        cluster.primary.stop()
        cluster.standby.promote()
        cluster.standby.psql("INSERT INTO kept VALUES ('that')")
        renewed = Postgres.copied(cluster.standby)  # as docs/OPERATIONS.md makes the old primary a standby
        folders = [server.folder for server in (cluster.primary, cluster.standby, renewed)]
        try:
            renewed.start()
            Cluster(cluster.standby, renewed).join()
            assert renewed.psql("SELECT string_agg(what, ' ') FROM kept") == "this that"
        finally:
            renewed.close()
    finally:
        cluster.close()
    assert not [folder for folder in folders if folder.exists()]


def test_a_broker_s_user_has_what_it_was_permitted(broker: Broker) -> None:
    vhost = broker.new_vhost()
    broker.add_user("one", "secret")
    broker.permit(vhost, "one", "^$", "^x$", "^y$")
    assert broker.manage("GET", f"/permissions/{vhost}/one")["write"] == "^x$"
    assert broker.alive


@pytest.fixture
def pair() -> Iterator[list[socket.socket]]:
    """Two listeners that stand for a bank's two fronts."""
    servers = [socket.create_server(("127.0.0.1", port)) for port in free_ports(2)]
    yield servers
    for server in servers:
        server.close()


def answer(server: socket.socket, text: bytes) -> None:
    """Answer every connection with a text, until the listener is closed."""

    def serve() -> None:
        while True:
            try:
                connection = server.accept()[0]
            except OSError:
                return
            with connection, contextlib.suppress(OSError):  # who only looks whether we are there resets it
                connection.sendall(text)

    threading.Thread(target=serve, daemon=True).start()


def test_the_balancer_as_rendered_finds_the_front_that_is_there(pair: list[socket.socket]) -> None:
    site, problems = load_site(ROOT / "config", "carrier")
    assert site is not None, problems
    (entry,) = free_ports(1)
    first, second = (f"127.0.0.1:{server.getsockname()[1]}" for server in pair)
    psbc = site.banks["psbc"]
    place = replace(
        psbc,
        entry=f"127.0.0.1:{entry}",
        listen=first,
        others=(replace(psbc.others[0], listen=second),),
        proxies=(),
    )
    pair[0].close()
    answer(pair[1], b"second")
    balancer = Haproxy.create(
        render(replace(site, banks={"psbc": place}), service=False), [("127.0.0.1", entry)]
    )
    try:
        balancer.start()
        for _ in range(5):
            with socket.create_connection(("127.0.0.1", entry), END_SECONDS) as bank:
                assert bank.recv(100) == b"second"
    finally:
        balancer.close()
    assert not balancer.folder.exists()


def test_a_configuration_that_haproxy_refuses_is_told_in_its_words() -> None:
    with pytest.raises(ValueError, match="unknown keyword 'nonsense'"):
        Haproxy.create("nonsense here\n", [])


def test_a_signal_to_a_server_that_has_ended_is_nothing(tmp_path: Path) -> None:
    process = Process(tmp_path / "log")
    process.start(["true"])
    process.stop()
    process.send(signal.SIGTERM)
    assert not process.alive
