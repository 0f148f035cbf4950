"""Two bridges before one remote core, on one PostgreSQL: copies of one request on both sides of midnight."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from crm_bridge.audit import audit_books
from crm_bridge.lookup import find_journal
from crm_bridge.remote.gateway import RemoteGateway
from crm_bridge.remote.store import ClaimTransaction, open_claims
from crm_bridge.settings import CoreSettings
from qianzhi.domain.dates import shift
from qianzhi.domain.requests import Kind
from qianzhi.domain.results import Result

PHONE = "13800000007"


@pytest.fixture
def journal(postgres):
    return postgres.new_database()


@pytest.fixture
def pair(url, journal, remote_core):
    with remote_core(CoreSettings(database=url), journal, call_seconds=20) as pair:
        yield pair
    assert audit_books(url).violations == []
    assert audit_books(journal, remote=True).violations == []


@pytest.fixture
def midnight(noon):
    return noon.after(12 * 3_600_000_000)


@pytest.fixture
def bridges(pair, ask, midnight):
    pair.at = midnight
    made = [RemoteGateway(pair.settings, pair.gateway._zone, pair.client, name) for name in ("b1", "b2")]
    for gateway in made * 2:  # so that both know of the dates that are closed, and neither holds the fence
        gateway.execute([ask(Kind.STATUS, "early", date_ours=True)], midnight)
    yield made
    for gateway in made:
        gateway.close()


@pytest.fixture
def held(monkeypatch):
    """Lets the first bridge stand still before it writes: events (it stands there, go on)."""
    inside, go_on = threading.Event(), threading.Event()
    real = ClaimTransaction.save

    def save(transaction, changes, claims, part, now_us):
        if part.startswith("b1/") and not inside.is_set():
            inside.set()
            go_on.wait(1)  # the other waits for this transaction, so nobody sets it
        return real(transaction, changes, claims, part, now_us)

    monkeypatch.setattr(ClaimTransaction, "save", save)
    return inside, go_on


@pytest.fixture
def copies(ask):
    """The request under today's date, and its copy under tomorrow's."""
    date, given = ask(Kind.STATUS, "x").date, {"phone": PHONE, "amount_fen": 700, "date_ours": True}
    return [ask(Kind.RECHARGE, "night", date=shift(date, days), **given) for days in (0, 1)]


def test_copies_under_our_own_date_that_reach_two_bridges_at_midnight_have_one_outcome(
    bridges, held, copies, journal, midnight, account
):
    """Approved; or blocked, where the second asks what became of the claim before the first one calls."""
    (first, second), (inside, go_on) = bridges, held
    with ThreadPoolExecutor(1) as pool:
        early = pool.submit(first.execute, [copies[0]], midnight)
        assert inside.wait(10)
        late = second.execute([copies[1]], midnight)[0]
        go_on.set()
        told = early.result(20)[0]
    again = [bridge.execute([copy], midnight)[0] for bridge in bridges for copy in copies]
    (result,) = {reply.result for reply in (told, late, *again)}
    assert result in (Result.APPROVED, Result.BLOCKED)
    assert {reply.order for reply in (told, late, *again)} == {told.order}
    assert [row.state for row in find_journal(journal, "night")] == [result.name.lower()]
    assert open_claims(journal) == 0
    assert account(PHONE).balance_fen == (700 if result is Result.APPROVED else 0)


def test_a_copy_that_fails_alone_at_one_bridge_is_not_credited_at_the_other(
    bridges, held, copies, journal, midnight, account
):
    (first, second), (inside, go_on) = bridges, held
    with ThreadPoolExecutor(1) as pool:
        early = pool.submit(first.quarantine, copies[0], midnight)
        assert inside.wait(10)
        late = second.execute([copies[1]], midnight)[0]
        go_on.set()
        told = early.result(20)
    assert told.result is late.result
    assert late.result is not Result.APPROVED
    assert [row.state for row in find_journal(journal, "night")] == ["quarantined"]
    assert account(PHONE).balance_fen == 0
