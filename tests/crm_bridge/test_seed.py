import re

import pytest

from crm_bridge.audit import audit_books
from crm_bridge.gateway_errors import LockedError
from crm_bridge.gateway_lock import acquire_lock, lock_path
from crm_bridge.lookup import find_account, totals
from crm_bridge.seed import past_months, person, seed
from crm_bridge.store import fetch, reading

DAY = 20261117


def everything(url):
    tables = ("billing_phones", "billing_customers", "billing_bills", "ledger_accounts", "ledger_transfers")
    with reading(url) as connection:
        return [fetch(connection, f"SELECT * FROM {table} ORDER BY 1") for table in tables]  # noqa: S608


def test_the_same_seed_gives_the_same_population(tmp_path, noon):
    urls = [f"sqlite:///{tmp_path}/{name}.db" for name in "abc"]
    reports = [seed(url, 200, number, now=noon) for url, number in zip(urls, (7, 7, 8), strict=True)]
    assert reports[0].created == 200
    assert everything(urls[0]) == everything(urls[1]) != everything(urls[2])
    assert audit_books(urls[0]).violations == []
    assert (totals(urls[0]).subscribers, totals(urls[0]).open_bills) == (200, reports[0].bills)


def test_a_population_is_left_alone(url, noon):
    before = everything(url)
    report = seed(url, 10, 2, now=noon)
    assert (report.subscribers, report.created) == (60, 0)
    assert everything(url) == before


def test_seeding_waits_for_no_bridge(url):
    with acquire_lock(lock_path(url)), pytest.raises(LockedError):
        seed(url, 10, 2)


@pytest.mark.parametrize("subscribers", [0, -1, 10**8])
def test_absurd_numbers_are_refused(tmp_path, subscribers):
    with pytest.raises(ValueError, match="subscribers"):
        seed(f"sqlite:///{tmp_path}/x.db", subscribers, 1)


def test_people_are_mixed(url):
    people = [person(index, 1, DAY) for index in range(1_000)]
    assert {len(one.bills) for one in people} == {0, 1, 2, 3}
    assert {one.state.name for one in people} == {"OPEN", "CLOSED"}
    assert 0.3 < sum(one.balance_fen == 0 for one in people) / 1_000 < 0.5
    assert all(re.fullmatch("[一-鿿]{2,3}", one.name) for one in people)
    assert len({one.phone for one in people}) == 1_000
    assert all(tuple(sorted(one.bills)) == one.bills for one in people)


def test_months_before_today_across_a_year():
    assert past_months(20270131) == (202610, 202611, 202612)
    assert past_months(20260331) == (202512, 202601, 202602)


def test_phones_follow_the_index(account):
    assert account("13800000000").state == "open"
    assert account("13800000049").state == "closed"
    assert account("13800000060") is None


def test_an_account_is_found_by_a_phone_that_exists(url):
    assert find_account(url, "'; DROP TABLE journal; --") is None
