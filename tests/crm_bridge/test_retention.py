"""Days that leave: opening balances in their place, the same answers, books that balance; on both engines."""

from zoneinfo import ZoneInfo

import psycopg
import pytest

from crm_bridge.audit import audit_books
from crm_bridge.database import store
from crm_bridge.database.store import connect, fetch, reading, writing
from crm_bridge.gateway import Gateway
from crm_bridge.gateway_errors import RetryableError
from crm_bridge.lookup import find_account
from crm_bridge.migrations.roles import APP, AUDITOR, FRONT, OWNER
from crm_bridge.migrations.schema import downgrade, migrate
from crm_bridge.migrations.server import make_ready
from crm_bridge.retained.store import RetentionError, drop, kept_after, look, old_parts, run_round
from crm_bridge.retainer import Retainer
from crm_bridge.retention import Parts, Round, due, goes_through, wanted_days
from crm_bridge.seed import seed
from crm_bridge.settings import CoreSettings
from qianzhi.domain.dates import business_date, shift
from qianzhi.domain.requests import Kind, Request
from qianzhi.runtime import clock
from qianzhi.runtime.urls import is_postgres, with_database, with_user

ZONE = ZoneInfo("Asia/Shanghai")
RICH, TWO_BILLS, EMPTY = "13800000010", "13800000005", "13800000007"
KEEP_DAYS, ALL = 200, 10**6
HOUR_US = 3_600_000_000
# The server's own clock keeps young days from going: the tests' is ahead.
LATER = """CREATE OR REPLACE FUNCTION qianzhi_today() RETURNS date LANGUAGE sql STABLE
    AS 'SELECT current_date + {}'"""


def test_parts_are_wanted_from_today_on_and_for_rows_that_have_none():
    parts = Parts(attached=(20261124, 20261125), unplaced_dates=(20261101, 20261130))
    wanted = wanted_days(20261124, parts)
    assert wanted == [20261101, *range(20261126, 20261131), *range(20261201, 20261209)]
    assert wanted_days(20261124, Parts(attached=(20261208,))) == []


def test_a_part_goes_when_its_last_date_is_too_old_by_every_clock():
    assert goes_through(20261124, 200) == 20260506
    assert due(20261124, 200, (20260507, 20260506, 20260401)) == [20260401, 20260506]


class Site:
    """A core with its money requests, whose day is `days` after it was made."""

    def __init__(self, url):
        self.url, self.start = url, clock.now()
        self.first = business_date(self.start.wall_us, ZONE)
        self.core = Gateway(url, CoreSettings(database=url), ZONE)

    def day(self, days):
        return shift(self.first, days)

    def now(self, days):
        return self.start.after(days * 24 * HOUR_US)

    def ask(self, days, *asked):
        """Carry (kind, serial, phone, fen, date …) out on a day; return the results' names."""
        made = []
        for kind, serial, phone, fen, date, more in asked:
            given = {"bank": "hz_citic", "bank_number": "00101", "phone": phone, "amount_fen": fen} | more
            made.append(Request(kind, given.pop("space", "citic"), self.day(date), serial, **given))
        return [reply.result.name for reply in self.core.execute(made, self.now(days))]

    def round(self, days, rows_max=ALL):
        if is_postgres(self.url):
            with connect(self.url, writing=False) as session:
                session.execute(LATER.format(days))
        return run_round(self.url, self.day(days), KEEP_DAYS, self.now(days), rows_max)

    def close_through(self, days, through):
        spaces = {"citic", "unet"}
        asked = [Request(Kind.CLOSE, one, self.day(through), "-", "", "", reason="t") for one in spaces]
        assert {reply.result.name for reply in self.core.execute(asked, self.now(days))} == {"APPROVED"}

    def balance(self, phone):
        return find_account(self.url, phone, zone=ZONE).balance_fen

    def violations(self):
        return [(one.check, one.detail) for one in audit_books(self.url).violations]


def asked(kind, serial, phone="", fen=0, date=0, **more):
    return kind, serial, phone, fen, date, more


@pytest.fixture(params=["sqlite", "postgresql"])
def site(request, tmp_path):
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path}/core.db"
    else:
        url = request.getfixturevalue("postgres").new_database()
        migrate(url)
    seed(url, 60, 1, zone=ZONE)
    made = Site(url)
    yield made
    made.core.close()


def test_days_leave_with_their_balances_written_and_answers_and_books_stay(site):
    """Bills paid, a reversal on the day and one five days later, an open break; then 206 and 230 days go."""
    site.round(0)
    first = [
        asked(Kind.RECHARGE, "1", RICH, 1_000),
        asked(Kind.RECHARGE, "2", TWO_BILLS, 500_000),
        asked(Kind.RECHARGE, "3", TWO_BILLS, 3_000),
        asked(Kind.REVERSAL, "1"),
        asked(Kind.STATUS, "4"),
        asked(Kind.BREAK, "1", fen=900, space="unet", reason="manual"),
    ]
    assert site.ask(0, *first) == ["APPROVED"] * 4 + ["NOT_FOUND", "APPROVED"]
    late = [asked(Kind.RECHARGE, "5", EMPTY, 700, 5), asked(Kind.REVERSAL, "3")]
    assert site.ask(5, *late) == ["APPROVED"] * 2
    before = [site.balance(phone) for phone in (RICH, TWO_BILLS, EMPTY)]

    held = site.round(206)
    assert (held.closed, {one.why.split()[0] for one in held.held}) == ((), {"open", "serial"})
    assert site.ask(206, asked(Kind.MEND, "1", space="unet", fen=900)) == ["APPROVED"]
    assert [one.why.split()[0] for one in site.round(206).held] == ["serial"]
    site.close_through(206, 4)
    gone = site.round(206)
    assert (gone.held, len(gone.closed) >= 1, kept_after(site.url)) == ((), True, gone.closed[-1])
    assert site.day(0) <= gone.closed[-1] < site.day(5)
    assert site.violations() == []
    assert [site.balance(phone) for phone in (RICH, TWO_BILLS, EMPTY)] == before
    old = [first[0], asked(Kind.STATUS, "2"), asked(Kind.REVERSAL, "2"), asked(Kind.BLOCK, "9")]
    assert site.ask(206, *old) == ["TOO_OLD"] * 4

    assert site.ask(206, asked(Kind.RECHARGE, "6", EMPTY, 40, 206)) == ["APPROVED"]
    site.close_through(230, 20)
    assert site.round(230).closed[-1] >= site.day(5)
    assert site.violations() == []
    assert site.round(230).closed == ()
    assert [site.balance(phone) for phone in (RICH, TWO_BILLS, EMPTY)] == [*before[:2], before[2] + 40]


def test_an_opening_balance_that_is_wrong_is_found(site):
    site.ask(0, asked(Kind.RECHARGE, "1", RICH, 1_000))
    site.close_through(220, 3)
    site.round(220)
    account = "(SELECT min(account) FROM ledger_openings)"
    with writing(site.url) as connection:
        for trigger in ("ledger_openings_no_update",):
            table = " ON ledger_openings" if is_postgres(site.url) else ""
            connection.exec_driver_sql(f"DROP TRIGGER {trigger}{table}")
        change = "UPDATE ledger_openings SET balance_fen = balance_fen + 1, moved_fen = moved_fen + 1"
        connection.exec_driver_sql(f"{change} WHERE account = {account}")
    # Where the entries are still there, they say so too.
    expected = {"balance", "opening-total"} | ({"opening"} if not is_postgres(site.url) else set())
    assert {check for check, _ in site.violations()} == expected


def test_what_was_there_before_there_were_days_is_taken_over(site):
    """The schema before is put back under a filled core, and migrated again."""
    site.round(0)
    site.ask(0, asked(Kind.RECHARGE, "1", RICH, 1_000), asked(Kind.RECHARGE, "2", TWO_BILLS, 9_000))
    later = [asked(Kind.RECHARGE, "3", RICH, 500, 1), asked(Kind.REVERSAL, "2")]
    site.ask(1, *later, asked(Kind.STATUS, "f", date=90))
    site.core.close()
    downgrade(site.url, "0007")
    migrate(site.url)
    again = Site(site.url)
    assert again.violations() == []
    with reading(site.url) as connection:
        kept = fetch(connection, "SELECT serial, state FROM journal ORDER BY serial")
    assert kept == [("1", 1), ("2", 3), ("3", 1), ("f", 4)]
    assert again.ask(1, asked(Kind.REVERSAL, "1"), asked(Kind.RECHARGE, "4", RICH, 5, 1)) == ["APPROVED"] * 2
    assert again.violations() == []
    again.close_through(230, 9)
    assert again.round(230).closed
    assert again.violations() == []
    again.core.close()


def test_a_schema_with_opening_balances_is_not_taken_back(site):
    site.ask(0, asked(Kind.RECHARGE, "1", RICH, 1_000))
    site.close_through(220, 3)
    assert site.round(220).closed
    with pytest.raises(RuntimeError, match="opening balances"):
        downgrade(site.url, "0007")


@pytest.fixture
def server(postgres):
    url = postgres.new_database()
    migrate(url)
    seed(url, 60, 1, zone=ZONE)
    made = Site(url)
    yield made
    made.core.close()


def rows_in(url, part):
    with reading(url) as connection:
        return int(fetch(connection, f"SELECT count(*) FROM {part}")[0][0])  # noqa: S608


def test_money_of_a_date_without_a_part_is_taken_and_moved_there_later(server):
    money = asked(Kind.RECHARGE, "1", EMPTY, 1_000, 30)
    assert server.ask(30, money) == ["APPROVED"]
    assert (rows_in(server.url, "journal_default"), rows_in(server.url, "ledger_transfers_default")) == (1, 1)
    assert look(server.url, server.day(30)).unplaced == 3
    assert server.round(30, rows_max=0).unplaced == 3  # too many for a bridge beside its traffic
    done = server.round(30)
    assert (done.moved, done.unplaced, done.made[0]) == (3, 0, server.day(30))
    part = f"journal_d{server.day(30)}"
    assert (rows_in(server.url, "journal_default"), rows_in(server.url, part)) == (0, 1)
    assert server.ask(30, money) == ["APPROVED"]
    assert (server.balance(EMPTY), server.violations()) == (1_000, [])
    assert rows_in(server.url, part) == 1


def test_a_detached_day_lies_beside_until_its_owner_drops_it(server):
    server.ask(0, asked(Kind.RECHARGE, "1", RICH, 1_000))
    server.close_through(220, 3)
    gone = server.round(220).detached
    names = [name for name, _ in old_parts(server.url)]
    assert sorted(names)[:1] == ["billing_orders_before"]
    assert rows_in(server.url, "journal") == 0
    assert rows_in(server.url, "qianzhi_old.journal_before") == 1
    with writing(server.url) as connection, pytest.raises(Exception, match="takes nothing more"):
        connection.exec_driver_sql("INSERT INTO journal SELECT * FROM qianzhi_old.journal_before")
    assert drop(server.url, gone[0]) == [name for name in names if name.endswith("_before")]
    drop(server.url, gone[-1])
    assert (old_parts(server.url), server.violations()) == ([], [])


def test_no_day_goes_that_is_young_or_not_the_oldest(server):
    server.ask(0, asked(Kind.RECHARGE, "1", RICH, 1_000))
    last = look(server.url, server.day(0)).attached
    with connect(server.url, writing=False) as session:
        session.autocommit = True
        for day, why in ((last[0], "younger"), (last[1], "younger")):
            with pytest.raises(psycopg.errors.RaiseException, match=why):
                session.execute(f"SELECT qianzhi_close_day({day})")
        session.execute(LATER.format(400))
        with pytest.raises(psycopg.errors.RaiseException, match="not the oldest"):
            session.execute(f"SELECT qianzhi_close_day({last[1]})")
        with pytest.raises(psycopg.errors.RaiseException, match="no opening balances"):
            session.execute(f"SELECT qianzhi_detach_day({last[0]})")
        with pytest.raises(psycopg.errors.RaiseException, match="no partition"):
            session.execute("SELECT qianzhi_make_day(20991231, 0)")


def test_a_bridge_whose_clock_is_ahead_lets_no_date_go(server, monkeypatch):
    server.ask(0, asked(Kind.RECHARGE, "1", RICH, 1_000))
    server.close_through(220, 3)
    right = clock.now
    ahead = right()._replace(wall_us=right().wall_us + 220 * 24 * HOUR_US)
    monkeypatch.setattr(store.clock, "now", lambda: ahead)
    with pytest.raises(RetryableError, match="database's"):
        server.round(220)
    monkeypatch.setattr(store.clock, "now", right)
    assert (look(server.url, server.day(0)).opened, old_parts(server.url)) == (0, [])


def test_one_round_at_a_time(server):
    with connect(server.url, writing=False) as other:
        other.execute("SELECT pg_advisory_lock(3, 2)")
        assert server.round(30) == Round()
    assert server.round(30).made


def test_a_bridge_whose_round_is_refused_says_so_and_goes_on(server, capsys):
    keeper = Retainer(server.url, KEEP_DAYS, ZONE)
    with connect(server.url, writing=False) as session:
        session.execute("DROP FUNCTION qianzhi_make_day(bigint, bigint)")
    with pytest.raises(RetentionError):
        server.round(30)
    assert keeper.look(server.now(30)) == Round()


def test_the_bridges_role_keeps_days_and_can_do_no_more(postgres):
    admin = postgres.url("postgres", "postgres", postgres.admin_password)
    passwords = {OWNER: "o", APP: "a", FRONT: "f", AUDITOR: "r"}
    make_ready(admin, "days", passwords)
    try:
        owner = with_user(with_database(admin, "days"), OWNER, "o")
        migrate(owner)
        app = with_user(owner, APP, "a")
        seed(app, 60, 1, zone=ZONE)
        site = Site(app)
        site.ask(0, asked(Kind.RECHARGE, "1", RICH, 1_000))
        site.close_through(220, 3)
        with connect(owner, writing=False) as session:
            session.execute(LATER.format(220))
        done = run_round(app, site.day(220), KEEP_DAYS, site.now(220), ALL)
        assert done.made
        assert done.closed == done.detached
        assert site.ask(220, asked(Kind.RECHARGE, "2", RICH, 1_000, 220)) == ["APPROVED"]
        assert audit_books(with_user(owner, AUDITOR, "r")).violations == []
        with pytest.raises(RetryableError, match="permission denied"):
            drop(app, done.closed[-1])
        assert drop(owner, done.closed[-1])
        site.core.close()
    finally:
        postgres.psql('DROP DATABASE "days" WITH (FORCE)')
