"""The retry rules on a live PostgreSQL: each way to fail provoked there, with the books audited after it."""

import threading
from contextlib import contextmanager
from zoneinfo import ZoneInfo

import pytest

from crm_bridge.audit import audit_books
from crm_bridge.bridge import Work
from crm_bridge.database.store import connect
from crm_bridge.direct.store import Session
from crm_bridge.gateway import CommitUnknownError, Gateway, OutOfSpaceError, RetryableError
from crm_bridge.gateway_errors import Trouble
from crm_bridge.lookup import find_journal, totals
from crm_bridge.migrations.schema import migrate
from crm_bridge.seed import seed
from crm_bridge.settings import CoreSettings
from crm_bridge.store import Transaction
from crm_bridge.writer import Writer
from qianzhi.domain.requests import Kind, Reply
from qianzhi.domain.results import Result
from qianzhi.link.messages import Status
from qianzhi.runtime import clock
from qianzhi.runtime.urls import database_of, with_database

ZONE = ZoneInfo("Asia/Shanghai")
PHONE = "13800000007"
RAISE = """CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN IF {condition} THEN RAISE EXCEPTION 'provoked' USING ERRCODE = '{code}'; END IF;
    RETURN NEW; END $$"""
TRIGGER = "CREATE TRIGGER fail BEFORE INSERT ON journal FOR EACH ROW EXECUTE FUNCTION fail()"


@pytest.fixture(scope="module")
def seeded(postgres):
    """A database with sixty people, which tests take as their template."""
    url = postgres.new_database()
    migrate(url)
    seed(url, 60, 1, zone=ZONE)
    return url


@pytest.fixture
def url(postgres, seeded, request):
    fresh = postgres.new_database()
    name = database_of(fresh)
    postgres.psql(f'DROP DATABASE "{name}"')
    postgres.psql(f'CREATE DATABASE "{name}" TEMPLATE "{database_of(seeded)}"')
    return with_database(seeded, name)


@pytest.fixture
def sql(url):
    """Run statements beside the core, each its own transaction."""
    with connect(url, writing=False) as other:
        other.autocommit = True
        yield lambda statement: other.execute(statement)


@pytest.fixture
def open_core(url):
    made = []

    def opened(bridge="bridge1", lane=0):
        made.append(Gateway(url, CoreSettings(database=url), ZONE, bridge, lane))
        return made[-1]

    yield opened
    for core in made:
        core.close()
    assert audit_books(url).violations == []


@pytest.fixture
def credit(ask):
    """Build recharges of today with the serials first … first + count - 1."""
    today = int(f"{clock_today()}")

    def build(first, count=1, **more):
        given = {"date": today} | more
        return [
            ask(Kind.RECHARGE, str(first + i), f"138000000{(first + i) % 40:02d}", 5_000, **given)
            for i in range(count)
        ]

    return build


def clock_today():
    from qianzhi.domain.dates import business_date

    return business_date(clock.now().wall_us, ZONE)


def settle(core, requests, seconds=20):
    """Let a writer carry a list out, as in the bridge; return (status, reply) of each, and its retries."""
    deadline = clock.now().mono_us + seconds * 1_000_000
    writer = Writer(0, core, 500, lambda number, batch: None)
    batch = writer.settle([Work(number, one, deadline) for number, one in enumerate(requests)])
    return [(done.status, done.reply) for done in batch.done], batch.retries


def approved(settled):
    return [isinstance(reply, Reply) and reply.result is Result.APPROVED for _, reply in settled]


def test_a_deadlock_is_executed_again(open_core, credit, sql, url):
    core, requests = open_core(), credit(1, 2)
    core.execute(credit(100, 1), clock.now())  # so that the accounts of the house exist
    locked, done = threading.Event(), threading.Event()
    real = Transaction.save

    def save(transaction, changes, part):
        """Hold the books' rows, then want a key that the other has claimed while it waits for the books."""
        if not locked.is_set():
            locked.set()
            assert done.wait(10)
        return real(transaction, changes, part)

    with connect(url, writing=False) as other:

        def oppose():
            assert locked.wait(10)
            key = requests[0].key
            other.execute(
                "INSERT INTO journal SELECT space, %s, %s, kind, content, 2, result, reply, NULL, phone, "
                "amount_fen, bank, bank_number, bill, received_us, decided_us, part FROM journal LIMIT 1",
                [key.date, key.serial],
            )
            done.set()
            other.execute("SET deadlock_timeout = '1min'")  # the core's own runs out first
            other.execute("SELECT id FROM ledger_accounts FOR UPDATE")
            other.rollback()

        with patched(Transaction, "save", save):
            thread = threading.Thread(target=oppose)
            thread.start()
            settled, retries = settle(core, requests)
            thread.join()
    assert (approved(settled), retries) == ([True, True], {"RetryableError": 1})
    assert totals(url).orders == 3


@pytest.mark.parametrize(
    ("code", "error", "trouble"),
    [
        ("40001", RetryableError, Trouble.CONFLICT),
        ("40P01", RetryableError, Trouble.CONFLICT),
        ("55P03", RetryableError, Trouble.CONFLICT),
        ("57014", RetryableError, Trouble.SLOW),
        ("25006", RetryableError, Trouble.READ_ONLY),
        ("53200", RetryableError, Trouble.CONFLICT),
        ("53100", OutOfSpaceError, Trouble.DISK_FULL),
        ("53300", RetryableError, Trouble.TOO_MANY_CONNECTIONS),
        ("42501", RetryableError, Trouble.NO_PERMISSION),
        ("42P01", RetryableError, Trouble.SCHEMA),
        ("58030", RetryableError, Trouble.DISK),
    ],
)
def test_what_is_not_the_batchs_fault_is_executed_again(open_core, credit, sql, url, code, error, trouble):
    core = open_core()
    sql(RAISE.format(condition="true", code=code))
    sql(TRIGGER)
    with pytest.raises(error) as caught:
        core.execute(credit(1, 3), clock.now())
    assert caught.value.trouble is trouble
    assert totals(url).orders == 0
    sql("DROP TRIGGER fail ON journal")
    assert approved(settle(core, credit(1, 3))[0]) == [True] * 3


def test_a_serialization_failure_is_executed_again_within_the_deadline(open_core, credit, sql):
    sql("CREATE SEQUENCE tries")
    sql(RAISE.format(condition="nextval('tries') <= 2", code="40001"))
    sql(TRIGGER)
    settled, retries = settle(open_core(), credit(1, 5))
    assert approved(settled) == [True] * 5
    assert retries == {"RetryableError": 2, "halved": 1}


def test_one_bad_row_in_a_batch_of_two_hundred_is_blocked_alone(open_core, credit, sql, url):
    core, requests = open_core(), credit(1, 200)
    sql(RAISE.format(condition="NEW.serial = '77' AND NEW.state = 1", code="22012"))
    sql(TRIGGER)
    settled, retries = settle(core, requests)
    assert approved(settled).count(True) == 199
    status, reply = settled[76]
    assert (status, reply.result) == (Status.OK, Result.QUARANTINED)
    assert retries["halved"] >= 7
    row = next(each for each in find_journal(url, "77") if each.key == requests[76].key.text)
    assert (row.state, totals(url).orders) == ("quarantined", 199)


@pytest.mark.parametrize("what", ["NUL", "too large"])
def test_what_the_checks_let_pass_fails_alone(open_core, credit, ask, monkeypatch, what):
    """The checks refuse both before a database sees them; should they ever not, the neighbours go on."""
    monkeypatch.setattr("crm_bridge.wanted.refusal", lambda request: None)
    monkeypatch.setattr("crm_bridge.journal_decide.refusal", lambda request: None)
    good = credit(1, 8)
    wrong = {"serial": "a\0b"} if what == "NUL" else {"received_us": 2**70}
    usual = {"kind": Kind.RECHARGE, "serial": "9", "phone": PHONE, "amount_fen": 1, "date": good[0].date}
    bad = ask(**usual | wrong)
    settled, _ = settle(open_core(), [*good[:4], bad, *good[4:]])
    assert approved(settled) == [True] * 4 + [False] + [True] * 4
    assert settled[4][0] is Status.UNKNOWN, settled[4]  # not even its key could be written down


@pytest.mark.parametrize("reached", [True, False])
def test_a_connection_lost_during_commit_leaves_nothing_doubled(open_core, credit, url, reached):
    core, requests = open_core(), credit(1, 3)
    real = Session.commit
    lost = []

    def commit(session):
        """Cut the connection as COMMIT goes out, or after the server has carried it out."""
        if lost:
            return real(session)
        lost.append(session.driver_connection.info.backend_pid)
        if reached:
            real(session)
        cut(url, lost[0])
        session._open = True
        return real(session)

    with patched(Session, "commit", commit):
        with pytest.raises(CommitUnknownError):
            core.execute(requests, clock.now())
        settled, _ = settle(core, requests)
    assert approved(settled) == [True] * 3
    assert [reply.stored for _, reply in settled] == [reached] * 3
    assert totals(url).orders == 3


def test_a_connection_lost_before_commit_is_executed_again(open_core, credit, url):
    core, requests = open_core(), credit(1, 3)
    real, lost = Transaction.save, []

    def save(transaction, changes, part):
        if not lost:
            lost.append(transaction._connection.driver_connection.info.backend_pid)
            cut(url, lost[0])
        return real(transaction, changes, part)

    with patched(Transaction, "save", save):
        settled, retries = settle(core, requests)
    assert approved(settled) == [True] * 3
    assert (retries, totals(url).orders) == ({"RetryableError": 1}, 3)


def test_a_commit_without_its_standby_is_unknown_until_it_is_there(open_core, credit, url, sql):
    """A server that stops waiting says COMMIT with a warning; a repeat of what it has must wait as well."""
    core, requests = open_core(), credit(1, 2)
    core.execute(credit(100, 1), clock.now())
    try:
        sql("ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
        sql("SELECT pg_reload_conf()")
        wait_until_commits_wait(sql, url)
        for kind in (Kind.RECHARGE, Kind.RECHARGE, Kind.STATUS, Kind.TOTALS):
            asked = [with_kind(request, kind) for request in requests]
            with cancelled_waits(sql), pytest.raises(CommitUnknownError, match="standby"):
                core.execute(asked, clock.now())
    finally:
        sql("ALTER SYSTEM RESET synchronous_standby_names")
        sql("SELECT pg_reload_conf()")
    replies = core.execute(requests, clock.now())
    assert [(reply.result, reply.stored) for reply in replies] == [(Result.APPROVED, True)] * 2


def with_kind(request, kind):
    return type(request)(kind, *[getattr(request, name) for name in request.__struct_fields__[1:]])


def wait_until_commits_wait(sql, url):
    """The server's checkpointer tells the others of a new list of standbys, in its own time."""
    seen = []
    with connect(url, writing=False) as probe, cancelled_waits(sql):
        probe.autocommit = True
        probe.add_notice_handler(lambda notice: seen.append(notice.sqlstate))
        for _ in range(10_000):
            probe.execute("SELECT pg_logical_emit_message(true, 'probe', '')")
            if seen:
                return
    raise AssertionError("no commit waits for the standby")


@contextmanager
def cancelled_waits(sql):
    """Cancel whoever waits for a standby, as an administrator would."""
    over = threading.Event()

    def cancel():
        while not over.wait(0.02):
            sql("SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'")

    thread = threading.Thread(target=cancel)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def cut(url, pid):
    """End a server process, and wait until it is gone."""
    with connect(url, writing=False) as other:
        other.autocommit = True
        other.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])


@contextmanager
def patched(owner, name, replacement):
    real = getattr(owner, name)
    setattr(owner, name, replacement)
    try:
        yield
    finally:
        setattr(owner, name, real)
