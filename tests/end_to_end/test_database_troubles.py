"""The core's database in every kind of trouble, under whole daemons: what status and log say, what the bank
gets, and that all is well again by itself once the cause has gone.
"""

import contextlib
import os
import shutil
import signal
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psycopg
import pytest

from crm_bridge.migrations.schema import HEAD
from simulators.free_ports import free_ports
from simulators.servers.packages import postgres_programs
from simulators.servers.postgres import Postgres, as_user, run_as
from simulators.servers.processes import give, private_folder, wait_until
from tests.bankmq.conftest import ZmqBank
from tests.end_to_end.troubled import BANK, BRIDGE, FRONT, SmallSite

NAME = "qianzhi"
CONNECTIONS_MAX = 16
SETTINGS = (f"max_connections = {CONNECTIONS_MAX}", "min_wal_size = 32MB")
TABLES = """
[core]
database = "{url}"
password = "test:app-password"
owner_password = "test:owner-password"

[banks.icbc]
listen = "tcp://127.0.0.1:{0}"
control = "tcp://127.0.0.1:{1}"
metrics_port = {2}
"""


class Place(SmallSite):
    """The small site on a database of a server that its tests own."""

    def __init__(self, server: Postgres, name: str) -> None:
        self.server, self.name = server, name
        ports = free_ports(3)
        super().__init__(TABLES.format(*ports, url=server.url("qianzhi_app", name)))
        self.bank = ZmqBank(
            {BANK: f"tcp://127.0.0.1:{ports[0]}", f"{BANK}.ctl": f"tcp://127.0.0.1:{ports[1]}"}
        )

    def prepare(self) -> None:
        """What an operator does before the first start."""
        admin = self.server.url("postgres", "postgres", self.server.admin_password)
        for words in (("database", "init", "--admin", admin), ("seed", "--subscribers", "400")):
            code, said = self.run(*words)
            assert code == 0, said

    def sql(self, statement: str) -> str:
        return self.server.psql(statement, self.name)

    def cut_off(self) -> None:
        """End all connections to the database, so that what was set for new ones counts."""
        ended = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE usename = 'qianzhi_app'"
        self.server.psql(ended)

    @contextmanager
    def troubled(self, state: str, *words: str) -> Iterator[None]:
        """The trouble has been made: it is told, and holds; at the end of the block it has been ended, and
        the bank's recharge of that time is done."""
        self.wait(BRIDGE, lambda status: status["database"]["state"] == state)
        assert not self.status(BRIDGE)["ready"]
        self.says(BRIDGE, f"NOT READY: {state}", *words)
        line = self.told_once(BRIDGE, state, "no new money requests until that is over")
        assert (line["level"], line["do"] != "", NAME in line["database"]) == ("error", True, True)
        self.wait(FRONT, lambda status: "up" not in status["nodes"].values())
        waiting = self.recharge()
        self.send(waiting)
        yield
        self.is_credited(waiting)
        assert self.told_once(BRIDGE, "the database is ready")["was"] == state
        self.is_well()
        self.recharges()


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    """A server that these tests may stop and starve."""
    made = Postgres.create(settings=SETTINGS)
    try:
        made.start()
        yield made
    finally:
        made.close()


@pytest.fixture(scope="module")
def running(server: Postgres) -> Iterator[Place]:
    made = Place(server, NAME)
    try:
        made.prepare()
        server.stop()
        made.start()  # without its database
        yield made
        made.is_well()
        assert made.ask("audit-books")["balanced"]
    finally:
        made.close()


@pytest.fixture
def place(running: Place) -> Place:
    """The running site, with what was logged before forgotten."""
    if running.server.alive:
        running.is_well()
        running.mark()
    return running


def test_a_database_that_is_down_at_the_start(place: Place) -> None:
    with place.troubled("the database is not reachable", "refused"):
        place.server.start()


def test_a_database_that_takes_no_writes(place: Place) -> None:
    place.sql(f"ALTER DATABASE {NAME} SET default_transaction_read_only = on")
    place.cut_off()
    with place.troubled("the database takes no writes", "read-only"):
        reset = f"ALTER DATABASE {NAME} RESET default_transaction_read_only"
        place.sql(f"SET transaction_read_only = off; {reset}")


def take_all(url: str, others: ExitStack) -> None:
    """Hold connections until there is none left, which is refused."""
    for _ in range(CONNECTIONS_MAX + 1):
        others.enter_context(psycopg.connect(url))


def test_a_server_whose_connections_are_all_taken(place: Place) -> None:
    url = place.server.url("qianzhi_app", NAME, "app-password")
    with ExitStack() as others:
        place.process(BRIDGE).send_signal(signal.SIGSTOP)
        place.cut_off()
        with pytest.raises(psycopg.OperationalError, match="connection"):
            take_all(url, others)
        place.process(BRIDGE).send_signal(signal.SIGCONT)
        with place.troubled("the database has too many connections", "connection"):
            others.close()


def test_a_migration_that_is_missing_and_one_that_is_too_new(place: Place) -> None:
    place.kill(BRIDGE)
    code, said = place.run("database", "downgrade", "0006")
    assert code == 0, said
    place.start(BRIDGE)
    state = "the database has not the schema that is needed"
    with place.troubled(state, f"is 0006, this version needs {HEAD}: run `qianzhi database migrate`"):
        place.sql("UPDATE alembic_version SET version_num = '9999'")
        place.wait(BRIDGE, lambda status: "9999" in status["database"]["detail"])
        place.says(BRIDGE, "is 9999, newer than this version knows", "install the newer one")
        place.sql("UPDATE alembic_version SET version_num = '0006'")
        code, said = place.run("database", "migrate")
        assert code == 0, said


@contextmanager
def second_disk(place: Place) -> Iterator["subprocess.Popen[bytes]"]:
    """Somebody who takes every commit onto a disk of his own, and for whom every commit waits."""
    folder = private_folder("wal", run_as())
    login = f"host={place.server.host} port={place.server.port} user=postgres application_name=second"
    command = [str(postgres_programs() / "pg_receivewal"), "-D", str(folder), "--synchronous", "-d", login]
    environment = {**os.environ, "PGPASSWORD": place.server.admin_password}
    taker = subprocess.Popen([*as_user(run_as()), *command], env=environment, cwd=folder)
    try:
        place.server.configure([*SETTINGS, "synchronous_standby_names = 'second'"])
        place.server.reload()
        kept = "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'"
        wait_until(lambda: place.server.psql(kept) == "1", 20, "nobody takes the log")
        yield taker
    finally:
        place.server.configure(SETTINGS)
        place.server.reload()
        taker.send_signal(signal.SIGCONT)
        taker.terminate()
        taker.wait()
        shutil.rmtree(folder)


def test_a_disk_that_is_slow(place: Place) -> None:
    """Commits wait for more than two seconds, and are waited for: nothing is refused."""
    waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND usename = 'qianzhi_app'"
    with second_disk(place) as disk:
        disk.send_signal(signal.SIGSTOP)
        slow = place.recharge()
        place.send(slow)
        wait_until(
            lambda: place.sql(f"{waits} AND now() - state_change > interval '2.2 s'") == "1", 20, "no wait"
        )
        disk.send_signal(signal.SIGCONT)
        place.wait(BRIDGE, lambda status: status["database"]["state"] == "the database is too slow")
        assert place.status(BRIDGE)["ready"], "money is still taken"
        place.says(BRIDGE, "the database is too slow: a batch took ")
        line = place.told_once(BRIDGE, "the database is too slow", "a batch took")
        assert (line["level"], "disks" in line["do"]) == ("warning", True)
        place.is_credited(slow)
        assert place.told_once(BRIDGE, "the database is ready")["was"] == "the database is too slow"
    place.is_well()


@contextmanager
def small_disk(place: Place) -> Iterator[Path]:
    """A disk of 48 MB that holds the database, though not the server's log of transactions."""
    if os.geteuid():
        pytest.fail("a small disk of its own (tmpfs) needs root: sudo env PATH=$PATH make test")
    folder = private_folder("disk")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=48m,mode=755", "tmpfs", folder], check=True)
    try:
        (folder / "tables").mkdir()
        give(folder / "tables", run_as())
        place.server.psql(f"CREATE TABLESPACE small LOCATION '{folder}/tables'")
        move(place, "small")
        yield folder
    finally:
        (folder / "filler").unlink(missing_ok=True)
        move(place, "pg_default")
        place.server.psql("DROP TABLESPACE small")
        subprocess.run(["umount", "--lazy", folder], check=True)
        folder.rmdir()


def move(place: Place, tablespace: str) -> None:
    """Move the database, which nobody may be connected to meanwhile."""
    place.server.psql(f"ALTER DATABASE {NAME} ALLOW_CONNECTIONS false")
    place.cut_off()
    place.server.psql(f"ALTER DATABASE {NAME} SET TABLESPACE {tablespace}")
    place.server.psql(f"ALTER DATABASE {NAME} ALLOW_CONNECTIONS true")


def test_a_disk_that_is_full(place: Place) -> None:
    """Its tables cannot grow while its log of transactions still can, as it is with files made beforehand."""
    with small_disk(place) as disk:
        place.is_well()
        place.mark()
        filler = disk / "filler"
        with filler.open("wb") as file, contextlib.suppress(OSError):
            while True:
                file.write(bytes(1 << 16))
                file.flush()
        papers = [place.recharge() for _ in range(200)]
        for paper in papers:
            place.send(paper)
        with place.troubled("the database's disk is full", "No space left on device"):
            filler.unlink()
        ends = Counter(place.answer(paper).name for paper in papers)
        assert ends == {"APPROVED": len(papers)}, "there was time enough"
        assert {place.credits(paper) for paper in papers[::20]} == {1}
