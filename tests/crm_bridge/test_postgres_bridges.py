"""Several writers of several bridges on one PostgreSQL at once: one answer per key, books that balance."""

import threading
import zlib
from concurrent.futures import ThreadPoolExecutor
from zoneinfo import ZoneInfo

import msgspec
import psycopg
import pytest

from crm_bridge.audit import audit_books
from crm_bridge.bridge import Work
from crm_bridge.database import store
from crm_bridge.database.store import connect
from crm_bridge.gateway import Gateway
from crm_bridge.gateway_errors import RetryableError, Trouble
from crm_bridge.journal_fences import EVERY_SPACE
from crm_bridge.lookup import find_breaks, find_fences, find_journal, totals
from crm_bridge.migrations.roles import APP, AUDITOR, FRONT, OWNER
from crm_bridge.migrations.schema import downgrade, migrate, require_schema, schema_revision
from crm_bridge.migrations.server import as_owner, make_ready, own
from crm_bridge.seed import seed
from crm_bridge.settings import CoreSettings
from crm_bridge.store import Transaction
from crm_bridge.writer import Writer
from qianzhi.domain.dates import business_date, closes_us
from qianzhi.domain.requests import Kind, Request
from qianzhi.domain.results import Result
from qianzhi.runtime import clock
from qianzhi.runtime.now import Now
from qianzhi.runtime.urls import database_of, with_database, with_user

ZONE = ZoneInfo("Asia/Shanghai")
PASSWORDS = {OWNER: "o", APP: "a", FRONT: "f", AUDITOR: "r"}


@pytest.fixture(scope="module")
def site(postgres):
    """A database made as an operator makes it, with its roles; used by all tests here, each with keys of its
    own.
    """
    admin = postgres.url("postgres", "postgres", postgres.admin_password)
    make_ready(admin, "roles", PASSWORDS)
    make_ready(admin, "roles", PASSWORDS)  # twice is as good as once
    owner = with_user(with_database(admin, "roles"), OWNER, "o")
    migrate(owner)
    own(with_database(admin, "roles"))
    seed(with_user(owner, APP, "a"), 60, 1, zone=ZONE)
    yield owner
    postgres.psql('DROP DATABASE "roles" WITH (FORCE)')


@pytest.fixture
def app(site):
    return with_user(site, APP, "a")


@pytest.fixture
def open_core(app, site):
    made = []

    def opened(bridge, lane=0, **more):
        made.append(Gateway(app, CoreSettings(database=app, **more), ZONE, bridge, lane))
        return made[-1]

    yield opened
    for core in made:
        core.close()
    assert audit_books(with_user(site, AUDITOR, "r")).violations == []


def today(shift=0):
    return business_date(clock.now().wall_us + shift * 86_400_000_000, ZONE)


def at_noon():
    """Today at noon, when yesterday may be closed whatever the time is."""
    return Now(clock.now().mono_us, closes_us(today(-1), 12 * 60, ZONE))


def fence(space, date):
    return Request(Kind.CLOSE, space, date, "-", "", "", reason="tester")


def test_two_bridges_of_two_writers_meet_on_keys_and_accounts(open_core, ask, app):
    """The same requests, shuffled, in lists of every size, to four writers; then their reversals."""
    before = totals(app)
    credits_ = [
        ask(Kind.RECHARGE, f"m{i}", f"1380000000{i % 7}", 1_000 + i % 7, date=today()) for i in range(400)
    ]
    undo = [ask(Kind.REVERSAL, one.serial, date=one.date) for one in credits_[::4]]
    cores = [open_core(bridge, lane) for bridge in ("b1", "b2") for lane in (0, 1)]

    def work(number, asked):
        asked = sorted(asked, key=lambda one: zlib.crc32(f"{number}{one.serial}".encode()))
        sizes = iter((1, 2, 90, 17, 33, 5, 61, 4, 88) * 99)
        writer = Writer(0, cores[number], 500, lambda _, batch: None)
        heard = {}
        while asked:
            part, asked = asked[: (size := next(sizes))], asked[size:]
            late = clock.now().mono_us + 60_000_000
            for done in writer.settle([Work(one, one, late) for one in part]).done:
                heard[done.ticket.key] = done.reply
        return heard

    with ThreadPoolExecutor(4) as pool:
        heard = list(pool.map(work, range(4), [credits_] * 4))
        undone = list(pool.map(work, range(4), [undo] * 4))
    for one in credits_:
        replies = [each[one.key] for each in heard]
        assert {(reply.result, reply.order, reply.settled_us) for reply in replies} == {
            (Result.APPROVED, replies[0].order, replies[0].settled_us)
        }
        assert [reply.stored for reply in replies].count(False) == 1
    for one in undo:
        assert {each[one.key].result for each in undone} == {Result.APPROVED}
    after = totals(app)
    assert (after.orders - before.orders, after.reversals - before.reversals) == (400, 100)


@pytest.mark.parametrize("days", [1, -1])
def test_a_bridge_whose_clock_has_just_gone_wrong_closes_nothing(open_core, ask, app, monkeypatch, days):
    """Its keeper looks every few seconds: a CLOSE in between is judged in its own transaction."""
    core, space, right = open_core("b1"), f"hasty{days}", clock.now
    core.execute([ask(Kind.STATUS, "early", date=today(), space=space)], clock.now())
    wrong = right()._replace(wall_us=right().wall_us + days * 86_400_000_000)
    monkeypatch.setattr(store.clock, "now", lambda: wrong)
    asked = [fence(space, today(-1)), fence(EVERY_SPACE, today(-1))]
    for one in asked:
        with pytest.raises(RetryableError, match="database's") as found:
            core.execute([one], wrong)
        assert found.value.trouble is Trouble.CLOCK
    monkeypatch.setattr(store.clock, "now", right)
    assert find_fences(app, space) == []


def test_two_copies_under_our_own_date_on_both_sides_of_midnight_are_one(open_core, ask, app):
    """One copy stands at one bridge before its commit while the other comes to the other bridge."""
    given = {"phone": "13800000003", "amount_fen": 700, "date_ours": True}
    copies = [ask(Kind.RECHARGE, "night", date=today(shift), **given) for shift in (0, 1)]
    inside, go_on = threading.Event(), threading.Event()
    real = Transaction.save

    def save(transaction, changes, part):
        if part.startswith("b1/") and not inside.is_set():
            inside.set()
            go_on.wait(1)  # the other waits for this transaction, so nobody sets it
        return real(transaction, changes, part)

    first, second = open_core("b1"), open_core("b2")
    for core in (first, second, first, second):  # so that both know of the dates that are closed
        core.execute([ask(Kind.STATUS, "early", date=today(), date_ours=True)], clock.now())
    Transaction.save = save
    try:
        with ThreadPoolExecutor(1) as pool:
            early = pool.submit(first.execute, [copies[0]], clock.now())
            assert inside.wait(10)
            late = second.execute([copies[1]], clock.now())[0]
            go_on.set()
    finally:
        Transaction.save = real
    assert (early.result()[0].order, late.stored) == (late.order, True)
    assert len([row for row in find_journal(app, "night") if row.state == "approved"]) == 1


def test_a_credit_whose_time_ran_out_while_others_held_its_account_blocks_its_key(open_core, ask, app):
    """One bridge stands still with the account locked; the other's request was in time when it began."""
    held, go_on = threading.Event(), threading.Event()
    real = Transaction.save

    def save(transaction, changes, part):
        if part.startswith("b1/") and not held.is_set():
            held.set()
            assert go_on.wait(10)
        return real(transaction, changes, part)

    first, second = open_core("b1"), open_core("b2")
    holding, late = (ask(Kind.RECHARGE, name, "13800000005", 700, date=today()) for name in ("hold", "spent"))
    writer = Writer(0, second, 500, lambda _, batch: None)
    Transaction.save = save
    try:
        with ThreadPoolExecutor(2) as pool:
            before = pool.submit(first.execute, [holding], clock.now())
            assert held.wait(10)
            deadline_us = clock.now().mono_us + 300_000
            done = pool.submit(writer.settle, [Work(late, late, deadline_us)])
            while clock.now().mono_us <= deadline_us:
                threading.Event().wait(0.05)
            go_on.set()
            assert before.result()[0].result is Result.APPROVED
            assert [one.reply.result for one in done.result().done] == [Result.BLOCKED]
    finally:
        Transaction.save = real
    assert [row.state for row in find_journal(app, "spent")] == ["blocked"]


def test_a_closed_date_is_closed_for_every_bridge(open_core, ask):
    """A query was told that nothing came of a key of a closed date; its late original comes to another
    bridge, and to one that was started anew since.
    """
    first, second = open_core("b1"), open_core("b2")
    key = {"date": today(-1), "serial": "late", "space": "closed"}
    closed = first.execute([fence("closed", today(-1)), ask(Kind.STATUS, **key)], at_noon())
    assert [reply.result for reply in closed] == [Result.APPROVED, Result.NOT_FOUND]
    original = ask(Kind.RECHARGE, phone="13800000003", amount_fen=700, **key)
    for core in (second, open_core("b3")):
        assert core.execute([original], at_noon())[0].result is Result.DATE_CLOSED
        assert core.execute([ask(Kind.REVERSAL, **key)], at_noon())[0].result is Result.NOT_FOUND
        assert core.execute([fence("closed", today(-1))], at_noon())[0].stored


def test_a_fence_waits_for_who_takes_a_key_of_its_space_and_for_no_other(open_core, ask, app):
    """One bridge has decided a credit and not committed; another is asked to close that space's date, and
    then the date of another space.
    """
    taken, go_on = threading.Event(), threading.Event()
    real = Transaction.save

    def save(transaction, changes, part):
        if part.startswith("b1/") and not taken.is_set():
            taken.set()
            assert go_on.wait(10)
        return real(transaction, changes, part)

    first, second = open_core("b1"), open_core("b2")
    credit = ask(Kind.RECHARGE, "slow", "13800000003", 700, date=today(-1), space="slow")
    night = at_noon()
    Transaction.save = save
    try:
        with ThreadPoolExecutor(2) as pool:
            taking = pool.submit(first.execute, [credit], night)
            assert taken.wait(10)
            closing = pool.submit(second.execute, [fence("slow", today(-1))], night)
            third = open_core("b3")
            assert third.execute([fence("other", today(-1))], night)[0].result is Result.APPROVED
            assert not closing.done()
            go_on.set()
            assert taking.result()[0].result is Result.APPROVED
            assert closing.result()[0].result is Result.APPROVED
    finally:
        Transaction.save = real
    late = msgspec.structs.replace(credit, serial="later")
    assert first.execute([late], night)[0].result is Result.DATE_CLOSED
    rows = [(one.space, one.closed_through) for one in find_fences(app) if one.space in ("slow", "other")]
    assert sorted(rows) == [("other", today(-1)), ("slow", today(-1))]


def test_two_bridges_that_close_many_spaces_at_once_wait_in_no_circle(open_core, ask, app):
    """Each list closes some spaces and takes keys of the others, in opposite order."""
    spaces = [f"ring{n}" for n in range(8)]
    cores = [open_core("b1"), open_core("b2")]
    night = at_noon()

    def lists(turn):
        mine = spaces if turn % 2 == 0 else spaces[::-1]
        closes = [fence(space, today(-1)) for space in mine[:4]]
        return closes + [ask(Kind.STATUS, f"r{turn}", date=today(), space=space) for space in mine[4:]]

    with ThreadPoolExecutor(2) as pool:
        for turn in range(0, 20, 2):
            running = [pool.submit(core.execute, lists(turn + n), night) for n, core in enumerate(cores)]
            for one in running:
                assert {reply.result for reply in one.result()} <= {Result.APPROVED, Result.NOT_FOUND}
    assert {one.space for one in find_fences(app)} >= set(spaces)


def test_two_bridges_note_and_mend_one_break_once(open_core, site, app):
    """Both get the same word that a key is open at once, then the same word that it is not."""
    cores = [open_core("b1"), open_core("b2")]

    def tell(kind, stamp, reason=""):
        more = {"stamp_us": stamp, "reason": reason}
        request = Request(kind, "both", today(-1), "1", "unet", "9001", "", 700, **more)
        with ThreadPoolExecutor(2) as pool:
            running = [pool.submit(core.execute, [request], clock.now()) for core in cores]
            return [one.result()[0] for one in running]

    for stamp in (10, 20):
        assert sorted(one.stored for one in tell(Kind.BREAK, stamp, "manual")) == [False, True]
        (row,) = find_breaks(app, space="both")
        assert (row.kind, row.amount_fen, row.suspense_fen) == ("manual", 700, 700)
        tell(Kind.MEND, stamp)
        assert find_breaks(app, space="both") == []
    assert audit_books(site).violations == []


FORBIDDEN = {
    APP: [
        "CREATE TABLE mine (id int)",
        "ALTER TABLE journal ADD COLUMN more text",
        "DROP TABLE journal",
        "TRUNCATE journal",
        "UPDATE ledger_transfers SET amount_fen = 1",
        "DELETE FROM ledger_transfers",
        "UPDATE billing_orders SET amount_fen = 1",
        "DELETE FROM journal",
        "UPDATE journal SET amount_fen = 1",
        "UPDATE ledger_accounts SET floor_fen = NULL",
        "UPDATE alembic_version SET version_num = '0000'",
        "CREATE TABLE state.mine (id int)",
        "CREATE TABLE qianzhi_old.mine (id int)",
        "INSERT INTO ledger_openings VALUES (1, 20260101, 0, 0)",
        "INSERT INTO ledger_opening_days VALUES (20260101, 1, 0)",
        "DROP TABLE journal_before",
        "INSERT INTO journal_before SELECT * FROM journal",
        "SELECT qianzhi_thin_openings(20260101)",
        "SELECT pg_promote()",
    ],
    AUDITOR: ["INSERT INTO billing_customers (name, opened_us) VALUES ('a', 1)", "DELETE FROM journal"],
    FRONT: ["SELECT 1 FROM journal", "UPDATE ledger_accounts SET balance_fen = 0", "CREATE TABLE a (b int)"],
}


WRONG = [(role, one) for role, statements in FORBIDDEN.items() for one in statements]


@pytest.mark.parametrize(("role", "statement"), WRONG)
def test_a_role_may_do_its_own_and_nothing_more(site, role, statement):
    refused = pytest.raises(psycopg.errors.InsufficientPrivilege)
    with connect(with_user(site, role, PASSWORDS[role]), writing=False) as session, refused:
        session.execute(statement)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE ledger_transfers SET amount_fen = 1",
        "DELETE FROM ledger_transfers",
        "TRUNCATE ledger_transfers CASCADE",
        "DELETE FROM journal",
        "UPDATE journal SET amount_fen = amount_fen + 1",
        "UPDATE journal SET state = 2 WHERE state = 3",
        "UPDATE journal_fence SET closed_through = -1",
        "UPDATE journal_fences SET closed_through = 0",
        "DELETE FROM journal_fences",
        "TRUNCATE journal_before",
        "UPDATE ledger_history SET business_date = 0",
        "DELETE FROM ledger_history",
        "DELETE FROM journal_breaks",
        "UPDATE journal_breaks SET serial = 'other'",
    ],
)
def test_history_is_kept_from_its_owner_too(site, open_core, ask, statement):
    core = open_core("b1")
    serial = str(abs(hash(statement)))
    recharge = ask(Kind.RECHARGE, serial, "13800000003", 700, date=today())
    core.execute([recharge, ask(Kind.REVERSAL, serial, date=today())], clock.now())
    core.execute([ask(Kind.STATUS, serial, date=today(-9))], clock.now())
    with connect(site) as session, pytest.raises(psycopg.errors.RaiseException):
        session.execute(statement)


def objects(url):
    sql = """SELECT table_name, column_name, data_type, is_nullable, column_default
        FROM information_schema.columns WHERE table_schema = 'public' AND table_name <> 'alembic_version'
        UNION ALL SELECT tgrelid::regclass::text, tgname, pg_get_triggerdef(oid), '', '' FROM pg_trigger
        WHERE NOT tgisinternal UNION ALL SELECT conrelid::regclass::text, conname,
        pg_get_constraintdef(oid), '', '' FROM pg_constraint
        WHERE connamespace = 'public'::regnamespace AND conrelid <> 0
        AND conrelid <> to_regclass('alembic_version') UNION ALL SELECT indexrelid::regclass::text, '',
        pg_get_indexdef(indexrelid), '', '' FROM pg_index
        WHERE indrelid::regclass::text ~ '^(journal|ledger|billing)' ORDER BY 1, 2, 3"""
    with connect(url, writing=False) as session:
        return session.execute(sql).fetchall()


def test_the_schema_up_down_and_up_again(postgres):
    url = postgres.new_database()
    migrate(url)
    first = objects(url)
    require_schema(url)
    downgrade(url)
    assert (schema_revision(url), objects(url)) == (None, [])
    migrate(url)
    assert objects(url) == first
    downgrade(url, "0001")
    migrate(url)
    assert objects(url) == first


def test_a_superuser_migrates_as_the_owner(postgres, site):
    name = database_of(postgres.new_database())
    admin = postgres.url("postgres", name, postgres.admin_password)
    make_ready(admin, name, {})
    migrate(as_owner(admin, name))
    with connect(admin, writing=False) as session:
        owners = session.execute("SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'public'")
        assert owners.fetchall() == [(OWNER,)]
