"""The bridge's database in every bad state, live: what is said, once per change, and that it heals."""

import threading
from contextlib import ExitStack, closing

import pytest

from crm_bridge import keeper as keeper_module
from crm_bridge.database import store
from crm_bridge.database.store import connect
from crm_bridge.gateway_errors import LockedError, RetryableError, Trouble
from crm_bridge.gateway_lock import held
from crm_bridge.keeper import Keeper
from crm_bridge.migrations.schema import HEAD, migrate
from qianzhi.runtime import clock
from qianzhi.runtime.now import SECOND_US
from qianzhi.runtime.urls import database_of, with_user
from simulators.servers.postgres import Postgres

WAIT_SECONDS = 30
BUSY = b"SELECT pg_sleep(3600)"


class Heard:
    """What a keeper told, in order."""

    def __init__(self, url):
        self.told = []
        self._changed = threading.Condition()
        self.keeper = Keeper(url, self._tell)

    def _tell(self, standing):
        with self._changed:
            self.told.append(standing)
            self._changed.notify_all()

    def wait(self, trouble, count=1):
        """Wait until this was told so many times; return what was told last of it."""
        with self._changed:
            found = lambda: [each for each in self.told if each.trouble is trouble]  # noqa: E731
            assert self._changed.wait_for(lambda: len(found()) >= count, WAIT_SECONDS), self.told
            return found()[-1]


@pytest.fixture
def watch(monkeypatch):
    """Watch a database until the end of the test."""
    monkeypatch.setattr(keeper_module, "LOOK_SECONDS", 0.05)
    monkeypatch.setattr(keeper_module, "PROVE_SECONDS", 0.05)
    watched = []

    def start(url):
        watched.append(Heard(url))
        watched[-1].keeper.start()
        return watched[-1]

    yield start
    for heard in watched:
        heard.keeper.stop()


@pytest.fixture
def url(postgres):
    return postgres.new_database()


@pytest.fixture
def user(postgres, url):
    """The URL of a user who is no superuser."""
    name = f"user_{database_of(url)}"
    postgres.psql(f"CREATE ROLE {name} LOGIN PASSWORD 'right'")
    postgres.psql(f"GRANT pg_write_all_data, pg_read_all_data TO {name}")
    migrate(url)
    return with_user(url, name, "right")


def run(url, statement):
    with connect(url, writing=False) as other:
        other.autocommit = True
        other.execute(statement)


def test_a_missing_migration_is_waited_for(watch, url):
    heard = watch(url)
    assert "run `qianzhi database init`" in heard.wait(Trouble.SCHEMA).detail
    assert not heard.keeper.standing.ready
    migrate(url)
    assert heard.wait(None).ready
    assert [each.trouble for each in heard.told] == [Trouble.SCHEMA, None]


def test_a_schema_that_is_too_new_is_told_and_its_return_seen(watch, url):
    migrate(url)
    run(url, "UPDATE alembic_version SET version_num = '9999'")
    heard = watch(url)
    assert "9999, newer than this version knows" in heard.wait(Trouble.SCHEMA).detail
    run(url, f"UPDATE alembic_version SET version_num = '{HEAD}'")  # noqa: S608
    heard.wait(None)


@pytest.fixture
def own_server():
    """A server that only this test stops."""
    server = Postgres.create()
    server.start()
    yield server
    server.close()


def test_a_server_that_is_down_at_start_and_again_later(own_server, watch):
    postgres = own_server
    url = postgres.new_database()
    migrate(url)
    postgres.stop()
    try:
        heard = watch(url)
        assert "refused" in heard.wait(Trouble.DOWN).detail
    finally:
        postgres.start()
    heard.wait(None)
    postgres.stop()
    postgres.start()
    heard.keeper.hurt(Trouble.DOWN, "server closed the connection")
    heard.wait(None, 2)
    assert [each.trouble for each in heard.told] == [Trouble.DOWN, None, Trouble.DOWN, None]
    assert heard.keeper.standing.status()["state"] == "ready"


def test_a_database_that_takes_no_writes(watch, url):
    migrate(url)
    name = database_of(url)
    run(url, f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    heard = watch(url)
    assert heard.wait(Trouble.READ_ONLY).status()["state"] == "the database takes no writes"
    run(url, f"SET transaction_read_only = off; ALTER DATABASE {name} RESET default_transaction_read_only")
    heard.wait(None)


def test_a_standby_that_is_missing(watch, url, monkeypatch):
    """Its commits wait for it, so money waits too; the look gives up waiting and says so."""
    monkeypatch.setitem(store._SESSION, "statement_timeout", "300")
    migrate(url)
    heard = watch(url)
    heard.wait(None)
    try:
        run(url, "ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
        run(url, "SELECT pg_reload_conf()")
        heard.keeper.hurt(Trouble.NO_STANDBY, "COMMIT was not confirmed")
        heard.wait(Trouble.NO_STANDBY)
        assert not heard.keeper.standing.ready
    finally:
        run(url, "ALTER SYSTEM RESET synchronous_standby_names")
        run(url, "SELECT pg_reload_conf()")
    heard.wait(None, 2)


@pytest.mark.parametrize(("hours", "words"), [(48, "172800 s ahead of"), (-3, "10800 s behind")])
def test_nothing_is_carried_out_by_a_clock_that_is_not_the_databases(watch, url, monkeypatch, hours, words):
    migrate(url)
    heard = watch(url)
    heard.wait(None)
    right = store.clock.now
    wrong = lambda: right()._replace(wall_us=right().wall_us + hours * 3_600_000_000)  # noqa: E731
    monkeypatch.setattr(store.clock, "now", wrong)
    standing = heard.wait(Trouble.CLOCK)
    assert not standing.ready
    assert words in standing.detail
    with pytest.raises(RetryableError, match=words):
        heard.keeper.require_clock()
    monkeypatch.setattr(store.clock, "now", right)
    heard.wait(None, count=2)
    heard.keeper.require_clock()


def test_too_many_connections(watch, url, user):
    run(url, f"ALTER DATABASE {database_of(url)} CONNECTION LIMIT 0")
    heard = watch(user)
    heard.wait(Trouble.TOO_MANY_CONNECTIONS)
    run(url, f"ALTER DATABASE {database_of(url)} CONNECTION LIMIT 20")
    heard.wait(None)


def test_a_refused_user(watch, user):
    assert (
        "password authentication failed"
        in watch(with_user(user, "", "wrong")).wait(Trouble.NO_PERMISSION).detail
    )


def test_slowness_is_told_and_passes(watch, url):
    migrate(url)
    heard = watch(url)
    heard.wait(None)
    heard.keeper.took(3.5)
    assert heard.wait(Trouble.SLOW).detail == "a batch took 3.5 s"
    assert heard.told[1].ready
    heard.wait(None, 2)


def test_what_passes_by_itself_is_no_trouble(watch, url):
    migrate(url)
    heard = watch(url)
    heard.wait(None)
    heard.keeper.hurt(Trouble.CONFLICT, "deadlock detected")
    assert heard.keeper.standing.trouble is None


def test_sqlite_is_held_migrated_and_watched(watch, tmp_path):
    url = f"sqlite:///{tmp_path}/core.db"
    heard = watch(url)
    heard.wait(None)
    with pytest.raises(LockedError), held(url):
        pass


def test_a_session_that_holds_locks_half_sent_is_ended_and_no_other(watch, url, user, monkeypatch):
    """Its process stands still in the middle of a pipeline; PostgreSQL itself would let it hold its locks."""
    monkeypatch.setattr(store, "FROZEN_SECONDS", 0.2)
    with ExitStack() as open_until:
        written, locked, reading, busy, other, asking = (
            open_until.enter_context(closing(connect(one))) for one in (user, user, user, user, url, user)
        )
        write, lock = b"SELECT pg_current_xact_id()", b"SELECT pg_advisory_xact_lock(77)"
        sent = {written: (write,), locked: (lock,), reading: (), busy: (write, BUSY), other: (write,)}
        sessions = {session.info.backend_pid: session for session in sent}
        for session, commands in sent.items():
            session.pgconn.enter_pipeline_mode()
            for sql in (b"BEGIN", b"SELECT 1", *commands):
                session.pgconn.send_query_params(sql, None)
            session.pgconn.send_flush_request()
            session.pgconn.flush()
        heard = watch(user)
        heard.wait(None)
        asking.autocommit = True
        until = clock.now().after(WAIT_SECONDS * SECOND_US).mono_us
        left = set(sessions)
        while len(left) > len(sessions) - 2 and clock.now().mono_us < until:
            sql = "SELECT pid FROM pg_stat_activity WHERE pid = ANY(%s)"
            left = {pid for (pid,) in asking.execute(sql, [list(sessions)])}
        assert {sessions[pid] for pid in left} == {reading, busy, other}
        assert heard.keeper.standing.trouble is None
