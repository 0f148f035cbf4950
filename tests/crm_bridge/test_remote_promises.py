"""What is promised to a remote core is stored with its claim, delivered until settled, and never lost."""

from zoneinfo import ZoneInfo

import pytest

from crm_bridge.audit import audit_books
from crm_bridge.lookup import find_breaks, find_journal
from crm_bridge.migrations.schema import migrate
from crm_bridge.remote.settler import Keeping, prune
from crm_bridge.remote.store import ClaimStore, open_claims
from crm_bridge.settings import CoreSettings
from qianzhi.domain.requests import Kind
from qianzhi.runtime.now import SECOND_US
from qianzhi.runtime.urls import with_user
from qianzhi.saf.exported import Head, export
from qianzhi.saf.policies import DAY_US
from qianzhi.saf.rows import WITH_OPERATOR
from simulators.core_faults import Fault
from simulators.core_imports import import_file
from tests.crm_bridge.promise_bench import Bench

RECHARGE, STATUS, REVERSAL, CLOSE = Kind.RECHARGE, Kind.STATUS, Kind.REVERSAL, Kind.CLOSE
ZONE = ZoneInfo("Asia/Shanghai")
PHONE, OTHER = "13800000007", "13800000016"  # nothing owed, nothing in the book
HOUR = 3_600


@pytest.fixture(params=["sqlite", "postgresql"])
def journal(request, tmp_path):
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/journal.db"
    postgres = request.getfixturevalue("postgres")
    made = "CREATE ROLE qianzhi_app LOGIN PASSWORD 'p'; EXCEPTION WHEN duplicate_object THEN"
    postgres.psql(f"DO $$ BEGIN {made} END $$")
    postgres.psql("ALTER ROLE qianzhi_app LOGIN PASSWORD 'p'")
    own = postgres.new_database()
    migrate(own)
    return with_user(own, "qianzhi_app", "p")  # as bridges do: it can do no more than they may


@pytest.fixture
def pair(url, journal, remote_core):
    settings = CoreSettings(database=url, late_fee_per_day=30)
    with remote_core(settings, journal, breaker_failures=2) as pair:
        yield pair
    assert audit_books(url).violations == []
    assert audit_books(journal, remote=True).violations == []


@pytest.fixture
def bench(pair, noon):
    """A bridge whose core is not forwarded to before `ready`."""
    with_open = Bench(pair, noon, ZONE)
    yield with_open
    with_open.close()


@pytest.fixture
def down(bench, pair, reactor_thread):
    """Let the core answer nothing until the function is called: it is found again then."""

    def silence():
        pair.core.arm(Fault("error"), 1_000)
        pair.core.arm(Fault("error", 0.0, "terms"), 1_000)
        while pair.client.ready:
            bench.execute(_owed())
        bench.ready(False)

    def heal():
        pair.core.armed.clear()
        reactor_thread.run(pair.client.start)
        bench.execute(_owed())  # waits for the probe
        assert pair.client.ready
        bench.ready()

    return silence, heal


def _owed():
    from qianzhi.domain.requests import Request

    return Request(Kind.OWED, "citic", 20261117, "owed", "hz_citic", "00101", PHONE)


def entry_ids(bench):
    return [entry.id.rpartition("/")[0] for entry in bench.core.entries("remote_core")]


def test_a_reversal_while_the_core_is_down_is_stored_and_delivered(bench, down, ask, account, journal):
    silence, heal = down
    bench.ready()
    assert bench.execute(ask(RECHARGE, "1", PHONE, 5_000)) == ["APPROVED"]
    silence()
    assert bench.execute(ask(REVERSAL, "1")) == ["UNKNOWN"]
    assert (entry_ids(bench), open_claims(journal)) == (["citic/20261117/1/reversal"], 1)
    assert bench.execute(ask(REVERSAL, "1"), ask(STATUS, "1")) == ["UNKNOWN", "UNKNOWN"]
    bench.after(600)
    assert (bench.states(), bench.sent) == (["open"], [])  # suspended, and stored once
    heal()
    assert bench.sent == [("REVERSAL", "1", False)]
    assert (bench.states(), open_claims(journal), account(PHONE).balance_fen) == ([], 0, 0)
    assert bench.execute(ask(REVERSAL, "1"), ask(STATUS, "1")) == ["APPROVED", "REVERSED"]
    assert find_breaks(journal) == []


def test_a_reversal_that_may_have_been_asked_before_says_so(bench, pair, ask, account):
    bench.ready()
    pair.client._breaker._failures_max = 100
    bench.execute(ask(RECHARGE, "1", PHONE, 5_000))
    seen, real = [], pair.books.answer
    pair.books.answer = lambda calls: [
        seen.extend(call.repeat for call in calls if call.call == "reversal"),
        real(calls),
    ][1]
    pair.core.arm(Fault("late_error", 0.0, "reversal"))
    pair.core.arm(Fault("error", 0.0, "query"))
    assert bench.execute(ask(REVERSAL, "1")) == ["UNKNOWN"]
    assert (seen, bench.states(), account(PHONE).balance_fen) == ([False], [], 0)
    bench.execute(ask(RECHARGE, "2", PHONE, 700))
    pair.core.arm(Fault("error", 0.0, "reversal"))
    pair.core.arm(Fault("error", 0.0, "query"))
    bench.execute(ask(REVERSAL, "2"))
    assert (seen, account(PHONE).balance_fen) == ([False, True], 0)


def test_a_repeat_drives_a_promise_on(bench, down, ask, account, journal):
    """The bank's own repeat settles it as soon as the core answers; the entry then has nothing left to do."""
    silence, heal = down
    bench.execute(ask(RECHARGE, "1", PHONE, 5_000))
    silence()
    bench.execute(ask(REVERSAL, "1"))
    bench.ready = lambda: None  # the lanes hear of it later
    heal()
    assert bench.execute(ask(REVERSAL, "1")) == ["APPROVED"]
    assert (bench.states(), open_claims(journal), account(PHONE).balance_fen) == (["open"], 0, 0)
    Bench.ready(bench)
    assert (bench.states(), account(PHONE).balance_fen) == ([], 0)


def test_what_was_promised_survives_the_bridge(bench, down, ask, account, journal):
    silence, heal = down
    bench.execute(ask(RECHARGE, "1", PHONE, 5_000), ask(RECHARGE, "2", OTHER, 700))
    silence()
    bench.execute(ask(REVERSAL, "1"), ask(REVERSAL, "2"))
    bench.store = type(bench.store)(bench.store._database, "bridge1", "bridges", 0)
    bench.begin()
    heal()
    assert (bench.states(), open_claims(journal)) == ([], 0)
    assert (account(PHONE).balance_fen, account(OTHER).balance_fen) == (0, 0)


@pytest.mark.parametrize(("fault", "after"), [("late_error", "APPROVED"), ("error", "BLOCKED")])
def test_a_credit_without_an_outcome_is_asked_for_and_never_sent_again(
    bench, pair, ask, account, journal, fault, after
):
    bench.ready()
    pair.client._breaker._failures_max = 100
    pair.core.arm(Fault(fault, 0.0, "credit"))
    pair.core.arm(Fault("error", 0.0, "query"), 2)
    assert bench.execute(ask(RECHARGE, "1", PHONE, 5_000)) == ["UNKNOWN"]
    assert (bench.sent[0], bench.states()) == (("BLOCK", "1", False), ["open"])
    calls = pair.books.calls
    bench.after(600)
    assert bench.sent[1] == ("BLOCK", "1", True)  # a repeat is marked as one
    assert (bench.states(), open_claims(journal), pair.books.calls - calls) == ([], 0, 1)
    assert bench.execute(ask(RECHARGE, "1", PHONE, 5_000)) == [after]
    assert account(PHONE).balance_fen == (5_000 if after == "APPROVED" else 0)


def test_out_of_time_it_is_an_operators_and_holds_the_day(bench, down, pair, ask, account, journal, tmp_path):
    silence, heal = down
    bench.execute(ask(RECHARGE, "1", PHONE, 5_000))
    silence()
    bench.execute(ask(REVERSAL, "1"))
    bench.after(25 * HOUR)
    assert bench.states() == ["manual"]
    assert [(one.kind, one.amount_fen) for one in find_breaks(journal)] == [("manual", 5_000)]
    close = ask(CLOSE, "-", bank="", bank_number="")
    assert bench.execute(close) == ["BREAK_OPEN"]
    (entry,) = bench.core.entries("remote_core")
    assert "does not say" in bench.act("settle", entry.id)  # nothing is believed that the core does not say
    data = export(Head("site", "bridge1", "remote_core", 0), [entry])
    notes = tmp_path / "imported"
    assert [import_file(pair.books, data, notes)[:2] for _ in range(2)] == [(1, 0), (0, 1)]
    notes.unlink()  # a death before the note: the same line books nothing twice
    assert import_file(pair.books, data, notes)[:2] == (1, 0)
    assert account(PHONE).balance_fen == 0
    heal()
    assert bench.states() == ["manual"]
    assert bench.act("settle", entry.id) == "settled"
    assert (open_claims(journal), find_breaks(journal)) == (0, [])
    assert [row.state for row in find_journal(journal, "1")] == ["reversed"]
    assert bench.execute(close) == ["APPROVED"]


def test_an_operator_sends_it_again_or_ends_its_time(bench, down, ask, account, journal):
    silence, heal = down
    bench.execute(ask(RECHARGE, "1", PHONE, 5_000))
    silence()
    bench.execute(ask(REVERSAL, "1"))
    (entry,) = bench.core.entries("remote_core")
    assert bench.act("expire", entry.id) == "manual"
    assert bench.act("retry", entry.id, "8") == "open"
    heal()
    assert (bench.states(), account(PHONE).balance_fen, find_breaks(journal)) == ([], 0, [])


def test_a_poisoned_one_is_put_aside_and_those_behind_it_go_on(bench, down, pair, ask, account, journal):
    """The core has blocked what the journal says was approved: a person has to look."""
    silence, heal = down
    bench.execute(ask(RECHARGE, "1", PHONE, 5_000), ask(RECHARGE, "2", PHONE, 700))
    silence()
    bench.execute(ask(REVERSAL, "1"))
    bench.execute(ask(REVERSAL, "2"))
    real, refuse = pair.books.answer, {"result": "original_refused", "order": "", "amount_fen": 0}
    pair.books.answer = lambda calls: [
        one.model_copy(update=refuse if one.call == "reversal" and one.key.serial == "1" else {})
        for one in real([call for call in calls if not (call.call == "reversal" and call.key.serial == "1")])
        or [_refused(calls[0])]
    ]
    heal()
    states = {entry.request.serial: entry.state.value for entry in bench.core.entries("remote_core")}
    assert states == {"1": "quarantined"}
    assert [(one.key, one.kind) for one in find_breaks(journal)] == [("citic/20261117/1", "manual")]
    assert {"core_contradicts_journal", "saf_quarantined"} <= {alarm.name for alarm in bench.alarms}
    assert account(PHONE).balance_fen == 5_000
    pair.books.answer = real
    (entry,) = bench.core.entries("remote_core")
    assert entry.state in WITH_OPERATOR
    assert bench.act("settle", entry.id) == "settled"
    assert find_breaks(journal) == []


def _refused(call):
    from simulators.core_contract import Answer

    return Answer(call="reversal", result="original_refused", key=call.key)


def test_promises_on_one_phone_go_in_their_order(bench, down, ask, account):
    silence, heal = down
    bench.execute(ask(RECHARGE, "1", PHONE, 500), ask(RECHARGE, "2", PHONE, 70), ask(RECHARGE, "3", OTHER, 9))
    silence()
    for serial in "213":
        bench.now = bench.now.after(1)
        bench.execute(ask(REVERSAL, serial))
    heal()
    order = [serial for _, serial, _ in bench.sent]
    assert sorted(order) == ["1", "2", "3"]
    assert order.index("2") < order.index("1")
    assert (account(PHONE).balance_fen, account(OTHER).balance_fen) == (0, 0)


def test_a_dead_bridges_promises_are_taken_over(pair, noon, ask, account, journal):
    lease_us = 10 * SECOND_US
    on_postgres = not journal.startswith("sqlite")
    dead, living = (Bench(pair, noon, ZONE, name, lease_us) for name in ("bridge1", "bridge2"))
    dead.ready()
    dead.execute(ask(RECHARGE, "1", PHONE, 5_000))
    dead.ready(False)
    pair.core.arm(Fault("error"), 2)
    assert dead.execute(ask(REVERSAL, "1")) == ["UNKNOWN"]
    if on_postgres:  # whose clock says when a lease is over
        with dead.store._database.transaction() as run:
            run("UPDATE saf_leases SET until_us = 0 WHERE node = 'bridge1'", {})
    pair.client._breaker.on_probe()
    pair.client._breaker.on_success()
    living.ready()
    living.after(30)
    assert (living.sent, living.states()) == ([("REVERSAL", "1", False)], [])
    assert (open_claims(journal), account(PHONE).balance_fen) == (0, 0)
    dead.now = living.now
    dead.ready()  # it wakes: its write is refused as a whole, and it finds nothing of its own
    assert (dead.sent, dead.states()) == ([], [])
    assert "saf_lease_lost" in [alarm.name for alarm in dead.alarms]
    for one in (dead, living):
        one.close()


def test_what_a_death_left_open_is_promised_once_it_is_overdue(bench, pair, ask, noon, journal):
    gateway = bench.made(pair.client)
    gateway._promise = lambda transaction, claims: []
    pair.core.arm(Fault("error"), 2)
    gateway.execute([ask(RECHARGE, "1", PHONE, 5_000)], noon)
    assert (open_claims(journal), bench.states()) == (1, [])
    assert bench.gateway.promise_overdue(noon.wall_us, 10) == 0
    assert bench.gateway.promise_overdue(noon.wall_us + 1, 10) == 1
    assert bench.gateway.promise_overdue(noon.wall_us + 1, 10) == 0
    assert entry_ids(bench) == ["citic/20261117/1/block"]
    told = []
    gateway._promise, gateway._promised = type(gateway)._promise.__get__(gateway), told.append
    pair.client._breaker.on_probe()
    pair.client._breaker.on_success()
    pair.core.arm(Fault("error"), 2)
    replies = gateway.execute([ask(STATUS, "1"), ask(STATUS, "1")], noon)
    assert [reply.result.name for reply in replies] == ["UNKNOWN", "UNKNOWN"]
    assert told == []  # it is promised already, whoever fails to settle it
    gateway.close()


def test_claims_go_when_their_keys_are_kept_no_longer(bench, pair, ask, account, journal, noon):
    bench.ready()
    bench.execute(ask(RECHARGE, "1", PHONE, 5_000), ask(RECHARGE, "2", OTHER, 700))
    pair.core.arm(Fault("error"), 2)
    bench.execute(ask(REVERSAL, "2"))
    bench.ready(False)
    keeping = Keeping(ClaimStore(journal), 200, ZONE)
    assert prune(keeping, noon.after(201 * DAY_US)) == 0
    assert prune(keeping, noon.after(204 * DAY_US)) == 1  # what is open stays, however old
    assert open_claims(journal) == 1
    pair.client._breaker.on_probe()
    pair.client._breaker.on_success()
    # The journal still has the key: what it says, and a late reversal, do not rest on the claim.
    assert bench.execute(ask(RECHARGE, "1", PHONE, 5_000), ask(REVERSAL, "1")) == ["APPROVED", "APPROVED"]
    assert account(PHONE).balance_fen == 0
    keeping.store.close()
