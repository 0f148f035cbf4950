"""How a batch fails, and that one bad request never takes its neighbours with it."""

import sqlite3
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import Connection, Engine, event
from sqlalchemy.exc import OperationalError

import crm_bridge.database.store
import crm_bridge.store
from crm_bridge.audit import audit_books
from crm_bridge.gateway import CommitUnknownError, Gateway, OutOfSpaceError, RaceError, RetryableError
from crm_bridge.lookup import find_journal, totals
from crm_bridge.settings import CoreSettings
from qianzhi.billing.desk import Desk
from qianzhi.domain.requests import Kind
from qianzhi.domain.results import Result

PHONE = "13800000007"


@pytest.mark.parametrize(
    "poison",
    [
        {"serial": "a\0b"},
        {"serial": ""},
        {"serial": "x" * 41},
        {"space": "\ud800"},
        {"phone": "138\x1f"},
        {"bill": "\udfff"},
        {"bank_number": "0\n1"},
        {"bank_number": ""},
        {"amount_fen": 2**70},
        {"amount_fen": -(2**70)},
        {"amount_fen": 1.5},
        {"date": 2**70},
        {"date": -1},
        {"received_us": 2**70},
        {"received_us": -1},
        {"own_serial": "\0"},
    ],
    ids=repr,
)
def test_what_databases_choke_on_is_refused_alone(run, ask, url, poison):
    bad = ask(**{"kind": Kind.RECHARGE, "serial": "2", "phone": PHONE, "amount_fen": 100} | poison)
    replies = run(ask(Kind.RECHARGE, "1", PHONE, 100), bad, ask(Kind.RECHARGE, "3", PHONE, 100))
    assert [reply.result.name for reply in replies] == ["APPROVED", "FORMAT", "APPROVED"]
    assert totals(url).orders == 2


def test_an_unknown_kind_is_refused_alone(run, ask):
    good = ask(Kind.RECHARGE, "1", PHONE, 100)
    bad = type(good)(99, *[getattr(good, name) for name in good.__struct_fields__[1:]])
    assert [reply.result.name for reply in run(bad, good)] == ["UNSUPPORTED", "APPROVED"]


def test_the_number_of_statements_does_not_grow_with_the_list(run, ask):
    counts = []
    for size in (2, 400):
        seen = []
        listener = lambda *given, seen=seen: seen.append(given[2])  # noqa: E731
        event.listen(Engine, "before_cursor_execute", listener)
        run(*(ask(Kind.RECHARGE, f"{size}-{i}", f"138000000{i % 40:02d}", 30_000) for i in range(size)))
        event.remove(Engine, "before_cursor_execute", listener)
        counts.append(len(seen))
    # The first list opens the house's own accounts, once.
    assert counts[1] <= counts[0] <= 20


def test_a_key_claimed_meanwhile_is_decided_again(core, run, ask, url, monkeypatch):
    first = run(ask(Kind.RECHARGE, "1", PHONE, 5_000))[0]
    real, blind = crm_bridge.store.row_of, [True]

    def loading(connection, keys):
        ask = asking(connection, keys)
        return ask._replace(read=lambda rows: [] if blind and blind.pop() else list(map(real, rows)))

    asking = crm_bridge.store.loading_rows
    monkeypatch.setattr(crm_bridge.store, "loading_rows", loading)
    again, other = run(ask(Kind.RECHARGE, "1", PHONE, 5_000), ask(Kind.RECHARGE, "2", PHONE, 700))
    assert (again.order, again.stored, other.balance_fen) == (first.order, True, 5_700)
    blind += [True] * 10
    with pytest.raises(RaceError):
        run(ask(Kind.RECHARGE, "3", PHONE, 100), ask(Kind.RECHARGE, "1", PHONE, 5_000))
    monkeypatch.undo()
    assert totals(url).orders == 2
    assert audit_books(url).balanced


def test_a_held_database_is_retryable(url, ask, noon, monkeypatch):
    monkeypatch.setattr(crm_bridge.database.store, "LOCK_WAIT_MS", 10)
    core = Gateway(url, CoreSettings(database=url), _zone())
    holder = sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    with pytest.raises(RetryableError):
        core.execute([ask(Kind.RECHARGE, "1", PHONE, 100)], noon)
    holder.execute("ROLLBACK")
    holder.close()
    assert core.execute([ask(Kind.RECHARGE, "1", PHONE, 100)], noon)[0].result is Result.APPROVED
    core.close()


def test_a_full_disk_is_told_apart_and_leaves_nothing(url, ask, noon):
    core = Gateway(url, CoreSettings(database=url), _zone())

    def limit(connection, _record):
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count={pages}")

    event.listen(core._store._engine, "connect", limit)
    with pytest.raises(OutOfSpaceError):
        core.execute([ask(Kind.RECHARGE, str(i), PHONE, 100) for i in range(500)], noon)
    core.close()
    assert totals(url).orders == 0
    assert audit_books(url).balanced


@pytest.mark.parametrize("reached", [True, False])
def test_an_unknown_commit_is_settled_by_looking_up(core, run, ask, url, monkeypatch, reached):
    real = Connection.commit

    def lose(connection):
        if reached:
            real(connection)
        raise OperationalError("COMMIT", {}, sqlite3.OperationalError("disk I/O error"))

    monkeypatch.setattr(Connection, "commit", lose)
    asked = ask(Kind.RECHARGE, "1", PHONE, 5_000)
    with pytest.raises(CommitUnknownError):
        run(asked)
    monkeypatch.undo()
    assert bool(core.lookup([asked.key])) is reached
    reply = run(asked)[0]
    assert (reply.result, reply.stored, totals(url).orders) == (Result.APPROVED, reached, 1)


@pytest.mark.parametrize("more", [{}, {"own_serial": "7"}], ids=["straight", "general"])
def test_a_failing_request_writes_nothing_and_is_quarantined_alone(
    core, run, ask, url, noon, monkeypatch, more
):
    credit, recharge = Desk.credit, Desk.recharge

    def choke(desk, job):
        outcome = credit(desk, job)
        if job.key.serial == "2":
            raise ZeroDivisionError
        return outcome

    def choke_straight(desk, key, *given):
        made = recharge(desk, key, *given)
        if key.serial == "2":
            raise ZeroDivisionError
        return made

    monkeypatch.setattr(Desk, "credit", choke)
    monkeypatch.setattr(Desk, "recharge", choke_straight)
    bad = ask(Kind.RECHARGE, "2", PHONE, 200, **more)
    with pytest.raises(ZeroDivisionError):
        run(ask(Kind.RECHARGE, "1", PHONE, 100), bad)
    assert find_journal(url, "1") == []
    assert core.quarantine(bad, noon).result is Result.QUARANTINED
    monkeypatch.undo()
    replies = run(bad, ask(Kind.STATUS, "2"), ask(Kind.REVERSAL, "2"), ask(Kind.RECHARGE, "2", PHONE, 1))
    names = [reply.result.name for reply in replies]
    assert names == ["QUARANTINED", "QUARANTINED", "ORIGINAL_REFUSED", "DUPLICATE_SERIAL"]
    assert find_journal(url, "2")[0].state == "quarantined"
    assert totals(url).orders == 0


def test_quarantine_leaves_a_known_key_as_it_is(core, run, ask, noon):
    original = ask(Kind.RECHARGE, "1", PHONE, 200)
    order = run(original)[0].order
    assert core.quarantine(original, noon).order == order
    assert core.quarantine(ask(Kind.REVERSAL, "1"), noon).result is Result.QUARANTINED
    assert core.quarantine(ask(Kind.OWED, "9", PHONE), noon).result is Result.QUARANTINED
    assert run(ask(Kind.STATUS, "1"))[0].order == order
    assert run(ask(Kind.REVERSAL, "1"))[0].result is Result.APPROVED


def test_alarms_of_a_list_that_failed_are_not_raised(core, run, ask, monkeypatch):
    run(ask(Kind.RECHARGE, "1", "13800000005", 5_000), ask(Kind.RECHARGE, "2", "13800000005", 3_000))
    monkeypatch.setattr(crm_bridge.store.Transaction, "save", lambda *_: False)
    with pytest.raises(RaceError):
        run(ask(Kind.REVERSAL, "1"))
    assert core.take_alarms() == []


def _zone():

    return ZoneInfo("Asia/Shanghai")
