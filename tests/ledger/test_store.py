"""The ledger's rows on a real database: what was decided is found again, and history stays."""

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from crm_bridge.migrations.schema import migrate
from crm_bridge.store import open_engine
from qianzhi.ledger import store
from qianzhi.ledger.entries import (
    Account,
    Capture,
    Changes,
    Delta,
    Expire,
    Forward,
    Leg,
    Name,
    Post,
    Reserve,
    Void,
)
from qianzhi.ledger.invariant import InvariantError
from qianzhi.ledger.sheet import decide
from qianzhi.runtime.now import Now

NOW = Now(1, 1_000_000)
BOOK, BANK = Name("book", "1"), Name("clearing", "001", "bridge1/0")


@pytest.fixture
def connection(tmp_path):
    url = f"sqlite:///{tmp_path}/ledger.db"
    migrate(url)
    engine = open_engine(url)
    with engine.connect() as opened:
        yield opened
    engine.dispose()


@pytest.fixture
def ids(connection):
    book = store.ensure_accounts(connection, [BOOK], 5, 0)
    return book | store.ensure_accounts(connection, [BANK], 5)


def decided(connection, ids, serials, *commands, now=NOW):
    accounts = store.load_accounts(connection, ids.values())
    outcomes, changes = decide(accounts, store.load_pendings(connection, serials), commands, now)
    store.save(connection, changes)
    return outcomes


def test_accounts_are_opened_once(connection, ids):
    assert store.ensure_accounts(connection, [BOOK, BANK], 9) == ids
    assert store.find_accounts(connection, [BOOK, Name("none", "")]) == {BOOK: ids[BOOK]}
    assert store.load_accounts(connection, [ids[BOOK], 99]) == [Account(ids[BOOK], 0, 0, 0)]


def test_what_is_posted_is_found_again(connection, ids):
    credit, spend = Leg(ids[BANK], ids[BOOK], 70, 1), Leg(ids[BOOK], ids[BANK], 20, 2)
    decided(connection, ids, [], Post("o", [credit, spend]), Post("p", [credit]))
    assert store.load_transfers(connection, ["o", "p", "q"]) == {"o": [credit, spend], "p": [credit]}
    found = {account.id: account.balance_fen for account in store.load_accounts(connection, ids.values())}
    assert found == {ids[BOOK]: 120, ids[BANK]: -120}


def test_reservations_live_through_batches(connection, ids):
    decided(connection, ids, [], Post("o", [Leg(ids[BANK], ids[BOOK], 100, 1)]))
    hold = Leg(ids[BOOK], ids[BANK], 30, 3)
    reserves = [Reserve(serial, hold, 500) for serial in "abc"]
    decided(connection, ids, "abc", *reserves, Forward("b"))
    assert store.load_accounts(connection, [ids[BOOK]]) == [Account(ids[BOOK], 100, 90, 0)]
    assert [row.serial for row in store.due_pendings(connection, 499, 10)] == []
    assert [row.serial for row in store.due_pendings(connection, 500, 10)] == ["a", "c"]
    assert [row.serial for row in store.due_pendings(connection, 500, 1)] == ["a"]
    outcomes = decided(connection, ids, "abc", Capture("a", "x", 10), Expire("b"), Expire("c"), Void("a"))
    assert [outcome.name for outcome in outcomes] == ["DONE", "FORWARDED", "DONE", "SETTLED"]
    assert store.load_accounts(connection, [ids[BOOK]]) == [Account(ids[BOOK], 90, 30, 0)]
    pendings = {row.serial: (row.forwarded, row.settled) for row in store.load_pendings(connection, "abc")}
    assert pendings == {"a": (False, True), "b": (True, False), "c": (False, True)}
    assert decided(connection, ids, "abc", *reserves)[0].name == "EXISTS"
    assert decided(connection, ids, "b", Void("b"))[0].name == "DONE"
    assert store.load_accounts(connection, [ids[BOOK]]) == [Account(ids[BOOK], 90, 0, 0)]


def test_the_database_itself_refuses_to_go_below_a_floor(connection, ids):
    with pytest.raises(IntegrityError):
        store.save(connection, Changes(deltas={ids[BOOK]: Delta(-1)}))


def test_an_account_that_is_not_there_stops_the_batch(connection, ids):
    with pytest.raises(InvariantError):
        store.save(connection, Changes(deltas={ids[BANK]: Delta(-1), 99: Delta(1)}))


@pytest.mark.parametrize("table", ["transfers", "pendings", "forwards", "settlements"])
@pytest.mark.parametrize("verb", ["DELETE FROM ledger_{}", "UPDATE ledger_{} SET rowid = rowid"])
def test_history_is_insert_only(connection, ids, table, verb):
    decided(connection, ids, [], Post("o", [Leg(ids[BANK], ids[BOOK], 100, 1)]))
    hold = Reserve("a", Leg(ids[BOOK], ids[BANK], 30, 3))
    decided(connection, ids, "a", hold, Forward("a"), Capture("a", "x"))
    column = {
        "transfers": "code",
        "pendings": "code",
        "forwards": "forwarded_us",
        "settlements": "settled_us",
    }[table]
    statement = verb.format(table).replace("rowid", column)
    with pytest.raises(IntegrityError, match="insert-only"):
        connection.execute(text(statement))
