"""The gateway to a remote core, and all that can go wrong between the two, over real HTTP."""

import random  # noqa: TID251 - seeded

import pytest
import trustme

from crm_bridge.audit import audit_books
from crm_bridge.lookup import find_journal, find_keys, totals
from crm_bridge.remote.client import Client, Remote
from crm_bridge.remote.contract import Answered, Call, What
from crm_bridge.remote.settings import RemoteTable
from crm_bridge.remote.store import open_claims
from crm_bridge.settings import CoreSettings
from qianzhi.domain.requests import Kind, Request
from qianzhi.domain.results import Result
from qianzhi.runtime.tls import Protection
from qianzhi.runtime.tls_table import TlsTable
from simulators.core import serving
from simulators.core_faults import Fault

RECHARGE, STATUS, REVERSAL, BLOCK, OWED = Kind.RECHARGE, Kind.STATUS, Kind.REVERSAL, Kind.BLOCK, Kind.OWED
TOKEN = "secret"
PHONE, OTHER = "13800000007", "13800000020"  # nothing owed, nothing in the book

pytestmark = pytest.mark.parametrize("core_kind", ["remote"], indirect=True)


@pytest.fixture
def client_given():
    """What a test changes in [core.remote]."""
    return {"call_seconds": 20, "breaker_failures": 100}


@pytest.fixture
def core(url, journal_url, remote_core, client_given):
    settings = CoreSettings(database=url, late_fee_per_day=30)
    with remote_core(settings, journal_url, **client_given) as pair:
        yield pair
    assert audit_books(url).violations == []
    assert audit_books(journal_url, remote=True).violations == []


@pytest.fixture
def break_it(core):
    """Let the next call (of that name) go wrong."""
    return lambda name, seconds=0.0, call="any", times=1: core.core.arm(Fault(name, seconds, call), times)


def results(replies):
    return [reply.result.name for reply in replies]


@pytest.mark.parametrize(
    "fault", ["answer_lost", "late_error", "wrong_key", "wrong_amount", "garbage", "cut_body"]
)
def test_what_was_done_but_not_told_is_asked_for_and_told(run, ask, account, break_it, journal_url, fault):
    break_it(fault)
    reply = run(ask(RECHARGE, "1", PHONE, 5_000))[0]
    assert (reply.result, reply.amount_fen, bool(reply.order)) == (Result.APPROVED, 5_000, True)
    assert run(ask(RECHARGE, "1", PHONE, 5_000))[0].order == reply.order
    break_it(fault)
    assert results(run(ask(REVERSAL, "1"))) == ["APPROVED"]
    assert results(run(ask(REVERSAL, "1"), ask(STATUS, "1"))) == ["APPROVED", "REVERSED"]
    assert account(PHONE).balance_fen == 0
    assert open_claims(journal_url) == 0


def test_what_was_not_done_is_asked_for_and_refused_for_good(run, ask, account, break_it, journal_url):
    break_it("error")
    credit = ask(RECHARGE, "1", PHONE, 5_000)
    assert results(run(credit)) == ["BLOCKED"]
    assert results(run(credit, ask(STATUS, "1"))) == ["BLOCKED", "NOT_FOUND"]
    assert account(PHONE).balance_fen == 0
    assert open_claims(journal_url) == 0


impatient = pytest.mark.parametrize("client_given", [{"call_seconds": 1, "breaker_failures": 100}])


@impatient
@pytest.mark.parametrize(("fault", "after"), [("no_answer", "BLOCKED"), ("slow_drip", "APPROVED")])
def test_silence_is_unknown_until_somebody_asks(run, ask, account, break_it, journal_url, fault, after):
    break_it(fault, 0.3)
    credit = ask(RECHARGE, "1", PHONE, 5_000)
    assert results(run(credit)) == ["UNKNOWN"]
    assert open_claims(journal_url) == 1
    assert find_journal(journal_url, "1") == []
    assert results(run(credit)) == [after]
    assert open_claims(journal_url) == 0
    assert account(PHONE).balance_fen == (5_000 if after == "APPROVED" else 0)


def test_a_delay_within_the_time_is_no_fault(run, ask, break_it):
    break_it("delay", 0.2)
    assert results(run(ask(RECHARGE, "1", PHONE, 5_000))) == ["APPROVED"]


def test_an_unknown_key_is_touched_by_nothing_before_it_is_settled(run, ask, account, break_it, core):
    break_it("answer_lost")
    break_it("error", call="query", times=4)
    credit = ask(RECHARGE, "1", PHONE, 5_000)
    told = [run(one)[0].result.name for one in (credit, credit, ask(STATUS, "1"), ask(REVERSAL, "1"))]
    assert told == ["UNKNOWN"] * 4
    assert run(ask(RECHARGE, "2", OTHER, 100))[0].result is Result.APPROVED
    assert results(run(ask(REVERSAL, "1"))) == ["APPROVED"]
    assert results(run(ask(STATUS, "1"), credit)) == ["REVERSED", "REVERSED"]
    assert account(PHONE).balance_fen == 0


@impatient
@pytest.mark.parametrize("fault", ["no_answer", "slow_drip"])
def test_a_reversal_that_was_promised_is_carried_through(run, ask, account, break_it, journal_url, fault):
    run(ask(RECHARGE, "1", PHONE, 5_000))
    break_it(fault, 0.3)
    assert results(run(ask(REVERSAL, "1"))) == ["UNKNOWN"]
    assert open_claims(journal_url) == 1
    # Whoever asks now must not hear "approved": the reversal may still be on its way.
    assert results(run(ask(STATUS, "1"))) == ["REVERSED"]
    assert results(run(ask(REVERSAL, "1"))) == ["APPROVED"]
    assert account(PHONE).balance_fen == 0


def test_an_outcome_learnt_after_the_date_has_closed_counts_for_the_date(run, ask, account, break_it):
    eve = {"date": 20261116}  # closes at noon of the 17th
    break_it("answer_lost")
    break_it("error", call="query")
    assert results(run(ask(RECHARGE, "1", PHONE, 5_000, **eve), hours=-0.5)) == ["UNKNOWN"]
    break_it("error")
    break_it("error", call="query")
    assert results(run(ask(RECHARGE, "2", OTHER, 5_000, **eve), hours=-0.4)) == ["UNKNOWN"]
    late = run(ask(RECHARGE, "1", PHONE, 5_000, **eve), ask(RECHARGE, "2", OTHER, 5_000, **eve), hours=1)
    assert results(late) == ["APPROVED", "BLOCKED"]
    assert account(PHONE).balance_fen == 5_000


def test_what_nobody_asks_for_is_promised_and_asked_for(run, ask, core, break_it, journal_url, noon):
    break_it("error", call="query", times=2)
    break_it("answer_lost", call="credit")
    one = run(ask(RECHARGE, "1", PHONE, 5_000))[0]
    break_it("error", call="credit")
    two = run(ask(RECHARGE, "2", OTHER, 700))[0]
    assert (one.result, two.result) == (Result.UNKNOWN, Result.UNKNOWN)
    assert core.deliver() == ["APPROVED", "BLOCKED"]
    assert open_claims(journal_url) == 0
    found = find_keys(journal_url, [ask(STATUS, serial).key for serial in "12"])
    assert {key.serial: (view.state, view.kind) for key, view in found.items()} == {
        "1": ("approved", "recharge"),
        "2": ("blocked", "status"),
    }


class TestTheBreaker:
    """A core that does not answer is left alone."""

    @pytest.fixture
    def client_given(self):
        return {"call_seconds": 20, "breaker_failures": 2, "breaker_seconds": 600}

    def test_open_it_forwards_nothing_and_says_so_by_the_money_rules(self, core, run, ask, account, break_it):
        first = run(ask(RECHARGE, "1", PHONE, 5_000))[0]
        break_it("error", times=2)
        assert results(run(ask(RECHARGE, "2", OTHER, 500))) == ["UNKNOWN"]  # and so was the question after it
        assert (core.client.status()["state"], core.client.status()["reason"]) == ("open", "http_500")
        assert [alarm.name for alarm in core.take_alarms()] == ["core_not_answering"]
        calls = core.books.calls
        told = run(
            ask(RECHARGE, "3", PHONE, 300),
            ask(RECHARGE, "1", PHONE, 5_000),
            ask(STATUS, "2"),
            ask(STATUS, "4"),
            ask(OWED, "5", OTHER),
            ask(BLOCK, "6", OTHER, 1),
        )
        assert results(told) == ["BLOCKED", "APPROVED", "UNKNOWN", "NOT_FOUND", "UNAVAILABLE", "BLOCKED"]
        assert told[1].order == first.order
        assert results(run(ask(REVERSAL, "1"))) == ["UNKNOWN"]
        assert core.books.calls == calls
        assert account(PHONE).balance_fen == 5_000

    def test_it_closes_when_the_core_answers_again(self, core, run, ask, break_it, reactor_thread):
        break_it("error", times=2)
        break_it("error", call="terms")
        run(ask(RECHARGE, "1", PHONE, 5_000))
        assert not core.client.ready
        reactor_thread.run(core.client.start)  # as its own timer does, and an error meets the probe
        assert results(run(ask(RECHARGE, "2", OTHER, 500), ask(STATUS, "1"))) == ["BLOCKED", "UNKNOWN"]
        assert not core.client.ready
        reactor_thread.run(core.client.start)
        assert results(run(ask(RECHARGE, "3", OTHER, 500), ask(STATUS, "1"))) == ["APPROVED", "NOT_FOUND"]
        assert core.client.status()["state"] == "closed"


@pytest.fixture
def dial(reactor_thread):
    """Make clients that a test may throw away."""
    made = []

    def make(url, token=TOKEN, protection=None, keep_days=200, **given):
        table = RemoteTable(url=url, **{"call_seconds": 20, "breaker_seconds": 600} | given)
        client = Client(Remote(table, token, protection), keep_days, reactor_thread.reactor)
        made.append(client)
        reactor_thread.run(client.start)
        return client

    yield make
    for client in made:
        reactor_thread.run(client.stop)


def probed(client):
    """Wait for the first probe; return what came of it."""
    client.ask([Call(What.OWED, Request(OWED, "s", 20261117, "1", "b", "1", PHONE))])
    return client.status()["state"], client.status()["reason"]


def test_terms_that_cannot_be_lived_with_keep_it_from_being_asked(core, dial):
    with serving(core.core) as port:
        url = f"http://127.0.0.1:{port}"
        assert probed(dial(url)) == ("closed", "")
        assert probed(dial(url, keep_days=400)) == ("open", "keys are kept 200 days, not 400")
        assert probed(dial(url, token="guessed")) == ("open", "http_401")
        assert probed(dial(url + "/elsewhere")) == ("open", "http_404")
    assert probed(dial(url)) == ("open", "no_connection")


def test_a_core_that_dies_is_not_asked_and_nothing_but_the_reversal_is_left_open(
    core, ask, dial, noon, account, journal_url
):
    with serving(core.core) as port:
        core.gateway._core = dial(f"http://127.0.0.1:{port}", breaker_failures=100)
        assert results(core.execute([ask(RECHARGE, "1", PHONE, 5_000)], noon)) == ["APPROVED"]
    alive = core.client
    # The address refuses connections now: certainly nothing leaves.
    told = core.execute([ask(RECHARGE, "2", OTHER, 500), ask(REVERSAL, "1"), ask(OWED, "3", PHONE)], noon)
    assert results(told) == ["BLOCKED", "UNKNOWN", "UNAVAILABLE"]
    assert [entry.id.rpartition("/")[0] for entry in core.promised] == ["citic/20261117/1/reversal"]
    assert (open_claims(journal_url), account(PHONE).balance_fen) == (1, 5_000)
    core.gateway._core = alive
    assert core.deliver() == ["REVERSED"]
    assert (open_claims(journal_url), account(PHONE).balance_fen) == (0, 0)


def test_a_credit_that_waits_too_long_for_its_turn_is_blocked_instead(
    core, ask, dial, noon, break_it, journal_url
):
    with serving(core.core) as port:
        core.gateway._core = dial(f"http://127.0.0.1:{port}", batch_max=0, window=1, call_seconds=2)
        probed(core.gateway._core)
        break_it("delay", 1.2, "credit", times=3)
        credits = [ask(RECHARGE, str(n), f"138000000{n + 10}", 100) for n in range(3)]
        told = results(core.execute(credits, noon))
    assert told == ["APPROVED", "APPROVED", "BLOCKED"]
    assert open_claims(journal_url) == 0


def test_one_call_that_the_core_does_not_take_fails_alone(core, ask):
    calls = [Call(What.CREDIT, ask(RECHARGE, str(n), PHONE, 100)) for n in range(5)]
    calls[2] = Call(What.CREDIT, ask(RECHARGE, "2" * 41, PHONE, 100))
    outcomes = core.client.ask(calls)
    assert [isinstance(outcome, Answered) for outcome in outcomes] == [True, True, False, True, True]
    assert outcomes[2].reason == "http_422"
    assert core.client.status()["state"] == "closed"


def test_lists_go_in_batches_as_large_as_the_core_takes_and_alone_where_it_takes_none(
    url, journal_url, remote_core, ask, noon
):
    for served, batches in ((0, 0), (3, 4), (200, 1)):
        settings = CoreSettings(database=url, late_fee_per_day=30)
        with remote_core(settings, journal_url, served_batch=served) as pair:
            seen = Counting(pair.core.inner)
            pair.core.inner = seen
            credits = [ask(RECHARGE, f"{served}-{n}", f"138000000{n + 10}", 100) for n in range(10)]
            assert set(results(pair.execute(credits, noon))) == {"APPROVED"}
            assert (seen.paths.count("/v1/batch"), seen.paths.count("/v1/credit")) == (
                batches,
                0 if batches else 10,
            )
    assert totals(url).orders == 30


class Counting:
    """Notes the paths that are asked for."""

    def __init__(self, app):
        self.app, self.paths = app, []

    async def __call__(self, scope, receive, send):
        self.paths.append(scope["path"])
        await self.app(scope, receive, send)


def test_tls_both_ways_or_not_at_all(core, dial, tmp_path):
    authority, stranger = trustme.CA(), trustme.CA()
    server, ours, foreign = (
        authority.issue_cert("127.0.0.1"),
        authority.issue_cert("bridge.test"),
        stranger.issue_cert("bridge.test"),
    )
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    stranger.cert_pem.write_to_path(tmp_path / "stranger.pem")
    for name, made in (("server", server), ("ours", ours), ("foreign", foreign)):
        made.private_key_and_cert_chain_pem.write_to_path(tmp_path / f"{name}.pem")
    (tmp_path / "server.pem").chmod(0o600)

    def protection(own, ca):
        for file in (f"{own}.pem", f"{ca}.pem"):
            (tmp_path / file).chmod(0o600)
        table = TlsTable(certificate=f"{own}.pem", key=f"{own}.pem", ca=f"{ca}.pem")
        return Protection("core", table, tmp_path)

    served = str(tmp_path / "server.pem")
    with serving(core.core, tls=(served, served, str(tmp_path / "ca.pem"))) as port:
        url = f"https://127.0.0.1:{port}"
        assert probed(dial(url, protection=protection("ours", "ca"))) == ("closed", "")
        assert probed(dial(url, protection=protection("ours", "stranger")))[0] == "open"
        assert probed(dial(url, protection=protection("foreign", "ca")))[0] == "open"


def test_totals_of_a_day_that_is_over_are_held_against_the_cores(run, ask, core, url):
    eve = {"date": 20261116}
    run(ask(RECHARGE, "1", PHONE, 5_000, **eve), hours=-1)
    assert results(run(ask(Kind.TOTALS, "T", "", 5_000, count=1, **eve), hours=-0.5)) == ["APPROVED"]
    assert core.take_alarms() == []
    core.books.answer([_foreign_credit(eve["date"])])
    assert results(run(ask(Kind.TOTALS, "T", "", 5_000, count=1, **eve), hours=-0.5)) == ["APPROVED"]
    assert [(alarm.name, alarm.fields["core"]) for alarm in core.take_alarms()] == [
        ("core_totals_differ", "(2, 5700, 0, 0)")
    ]


def _foreign_credit(date):
    from simulators.core_contract import Credit, Key

    key = Key(space="citic", date=date, serial="by another door")
    return Credit(
        call="credit", key=key, kind="recharge", phone=OTHER, amount_fen=700, bank="", bank_number="00101"
    )


@pytest.mark.parametrize("seed", range(4))
def test_whatever_goes_wrong_the_banks_last_word_is_where_the_money_is(
    run, ask, account, core, journal_url, seed
):
    """Many requests over few keys, every fault: what a key is last said to be is what the books show."""
    dice = random.Random(seed)
    faults = ["error", "late_error", "answer_lost", "wrong_key", "wrong_amount", "garbage", "cut_body"]
    phones = [phone for phone in (f"138000000{n:02d}" for n in range(49)) if not account(phone).bills][:12]
    amounts = {str(n): 101 + n for n in range(len(phones))}
    before = {phone: worth(account(phone)) for phone in phones}
    told = set()
    for _ in range(25):
        for fault in dice.choices(faults, k=dice.randrange(3)):
            core.core.arm(Fault(fault))
        asked = []
        for serial in dice.choices(list(amounts), k=dice.randrange(1, 9)):
            kind = dice.choice([RECHARGE, RECHARGE, RECHARGE, STATUS, REVERSAL, BLOCK])
            about = (phones[int(serial)], amounts[serial]) if kind in (RECHARGE, BLOCK) else ()
            asked.append(ask(kind, serial, *about))
        told |= set(results(run(*asked)))
    core.core.armed.clear()
    for serial, phone in zip(amounts, phones, strict=True):
        last = run(ask(STATUS, serial))[0].result
        standing = amounts[serial] if last is Result.APPROVED else 0
        assert worth(account(phone)) - before[phone] == standing, (serial, last)
    assert open_claims(journal_url) == 0
    assert told >= {"APPROVED", "UNKNOWN", "BLOCKED", "NOT_FOUND"}


def worth(view):
    return view.balance_fen - view.arrears_fen
