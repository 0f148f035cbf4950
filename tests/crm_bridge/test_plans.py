"""PostgreSQL's planner held every table for empty: lists still read what they name, and nothing besides."""

import pytest

from crm_bridge.database.store import connect
from crm_bridge.gateway import Gateway
from crm_bridge.migrations.schema import migrate
from crm_bridge.seed import seed
from crm_bridge.settings import CoreSettings
from qianzhi.domain.dates import business_date
from qianzhi.domain.requests import Kind
from qianzhi.domain.results import Result
from qianzhi.runtime import clock
from tests.crm_bridge.conftest import ZONE

LISTS, SIZE, PEOPLE = 12, 50, 200
ROWS_EACH_MAX = 12  # that one request may read: its account and the house's, its phone, book, customer, bills


@pytest.fixture
def url(postgres):
    made = postgres.new_database()
    migrate(made)
    with connect(made, writing=False) as session:
        session.autocommit = True
        session.execute("VACUUM ANALYZE")
    seed(made, PEOPLE, zone=ZONE)
    return made


def rows_read(url):
    """How many rows were read by indexes and by reading whole tables, by table; no session is left."""
    sql = """SELECT relname, coalesce(idx_tup_fetch, 0) + seq_tup_read FROM pg_stat_user_tables"""
    with connect(url, writing=False) as session:
        return dict(session.execute(sql).fetchall())


def test_a_list_reads_what_it_names_though_the_tables_were_empty_when_it_was_planned(url, ask):
    today = business_date(clock.now().wall_us, ZONE)
    before = rows_read(url)
    core = Gateway(url, CoreSettings(database=url), ZONE)
    for first in range(0, LISTS * SIZE, SIZE):
        credits = [
            ask(Kind.RECHARGE, str(n), f"138000{n % PEOPLE:05d}", 100, date=today)
            for n in range(first, first + SIZE)
        ]
        reversals = [ask(Kind.REVERSAL, one.serial, date=today) for one in credits[::10]]
        told = core.execute(credits, clock.now()) + core.execute(reversals, clock.now())
        assert {reply.result for reply in told} <= {Result.APPROVED, Result.PHONE_CLOSED}
    core.close()
    read = {table: count - before.get(table, 0) for table, count in rows_read(url).items()}
    assert sum(read.values()) > LISTS * SIZE
    assert {table: count for table, count in read.items() if count > ROWS_EACH_MAX * LISTS * SIZE} == {}
