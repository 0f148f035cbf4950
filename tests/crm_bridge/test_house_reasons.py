"""A key that is open for several reasons at once: none of them hides another."""

import pytest

from crm_bridge.audit import audit_books
from crm_bridge.lookup import find_breaks
from qianzhi.domain.requests import Key, Kind
from qianzhi.domain.results import Result
from tests.crm_bridge.conftest import NOON
from tests.crm_bridge.test_house import EMPTY, EVE, both, broken, close, results, suspense


@pytest.fixture(autouse=True)
def books_stay_proved(url):
    yield
    assert audit_books(url).violations == []


@both
@pytest.mark.parametrize("first", ["told", "quarantine"])
@pytest.mark.parametrize("ended", ["told", "quarantine"])
def test_a_key_that_is_open_for_two_reasons_holds_its_date_until_both_are_mended(
    core, run, ask, journal_url, first, ended
):
    poisoned = ask(Kind.RECHARGE, "1", EMPTY, 500, date=EVE, space="citic")
    told = broken("1", "saf", stamp=10)
    for reason in (first, {"told": "quarantine", "quarantine": "told"}[first]):
        if reason == "told":
            assert results(run(told)) == ["APPROVED"]
        else:
            assert core.quarantine(poisoned, NOON).result is Result.QUARANTINED
    assert sorted(one.kind for one in find_breaks(journal_url)) == ["quarantine", "saf"]
    (held,) = find_breaks(journal_url, kind="quarantine")
    release = broken(Key.parse(held.key).serial, "seen", held.noted_us, kind=Kind.MEND)
    settled = broken("1", "saf", stamp=20, kind=Kind.MEND)
    both_ends = [settled, release] if ended == "told" else [release, settled]
    run(both_ends[0])
    assert results(run(close())) == ["BREAK_OPEN"], "the other reason stands"
    assert results(run(told, settled)) == ["APPROVED"] * 2, "late copies"
    run(both_ends[1])
    assert find_breaks(journal_url) == []
    assert results(run(close())) == ["APPROVED"]


def test_a_late_word_of_a_node_ends_no_quarantine_and_a_row_beside_can_always_be_named(
    core, run, ask, journal_url
):
    long = "9" * 40
    poisoned = ask(Kind.RECHARGE, long, EMPTY, 500, date=EVE, space="citic")
    assert core.quarantine(poisoned, NOON).result is Result.QUARANTINED
    run(broken(long, "saf", stamp=20, kind=Kind.MEND))
    assert [one.kind for one in find_breaks(journal_url)] == ["quarantine"]
    run(broken(long, "saf", stamp=10), broken(long, "manual", stamp=30))
    assert suspense(journal_url) == 700
    (manual,) = find_breaks(journal_url, kind="manual")
    run(broken(Key.parse(manual.key).serial, "by hand", manual.noted_us, kind=Kind.MEND))
    assert (suspense(journal_url), [one.kind for one in find_breaks(journal_url)]) == (0, ["quarantine"])
