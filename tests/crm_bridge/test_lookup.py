import pytest

from crm_bridge.gateway_errors import SchemaError
from crm_bridge.lookup import find_entries, find_journal, find_keys, find_order, totals
from qianzhi.domain.requests import Key, Kind

EMPTY, DEBTOR = "13800000007", "13800000003"


@pytest.fixture
def orders(run, ask):
    replies = run(
        ask(Kind.RECHARGE, "000101", EMPTY, 5_000),
        ask(Kind.RECHARGE, "000201", DEBTOR, 5_000, received_us=77),
        ask(Kind.REVERSAL, "000101"),
        ask(Kind.RECHARGE, "000301", "13999999999", 5_000),
        ask(Kind.STATUS, "000401"),
    )
    return [reply.order for reply in replies]


def test_a_key_is_found_whole_or_by_its_end(orders, url):
    assert [view.state for view in find_journal(url, "citic/20261117/000101")] == ["reversed"]
    assert find_journal(url, "citic/20261116/000101") == []
    assert {view.key for view in find_journal(url, "0101")} == {"citic/20261117/000101"}
    assert len(find_journal(url, "01")) == 4
    assert {view.order for view in find_journal(url, orders[1])} == {orders[1]}
    assert find_journal(url, "%") == []
    with pytest.raises(ValueError, match="YYYYMMDD"):
        find_journal(url, "a/b/c")


def test_a_row_in_words(orders, url):
    view = find_journal(url, "000201")[0]
    assert (view.kind, view.state, view.result, view.order) == ("recharge", "approved", "approved", orders[1])
    assert (view.phone, view.amount_fen, view.received_us, view.part) == (DEBTOR, 5_000, 77, "bridge1/0")
    refused, asked = find_journal(url, "000301")[0], find_journal(url, "000401")[0]
    assert (refused.state, refused.result, refused.order) == ("refused", "no_such_phone", "")
    assert (asked.kind, asked.state, asked.result) == ("status", "blocked", "not_found")


def test_many_keys_at_once(orders, url):
    keys = [Key("citic", 20261117, serial) for serial in ("000101", "000201", "nope")]
    found = find_keys(url, keys)
    assert {key.serial: view.state for key, view in found.items()} == {
        "000101": "reversed",
        "000201": "approved",
    }


def test_the_entries_of_an_order(orders, url):
    entries = find_entries(url, orders[1])
    assert [(entry.what, entry.amount_fen) for entry in entries] == [
        ("credit", 5_000),
        ("principal", 6_541),
        ("late_fee", 6_541 * 30 * 58 // 10_000),
    ]
    assert entries[0].debit == "clearing:00101:bridge1/0"
    assert (entries[1].credit, entries[2].credit) == ("receivable::bridge1/0", "late-fees::bridge1/0")
    undone = find_journal(url, "000101")[0].reversal_order
    assert [entry.what for entry in find_entries(url, undone)] == ["undo credit"]
    assert find_entries(url, "nothing") == []


def test_an_order_knows_its_reversal(orders, url, account):
    order = find_order(url, orders[0])
    assert (order.kind, order.key, order.amount_fen) == ("recharge", "citic/20261117/000101", 5_000)
    undo = find_order(url, order.reversed_by)
    assert (undo.kind, undo.reverses) == ("reversal", order.serial)
    assert [one.serial for one in account(EMPTY).orders] == [undo.serial, order.serial]
    assert find_order(url, "nothing") is None


def test_totals(orders, url):
    found = totals(url)
    assert found.keys == {"approved": 1, "refused": 1, "reversed": 1, "blocked": 1}
    assert (found.orders, found.reversals, found.credited_fen) == (2, 1, 5_000)
    assert found.balances_fen["clearing"] == -5_000
    assert sum(found.balances_fen.values()) == 0


def test_a_look_makes_no_database(tmp_path):
    with pytest.raises(SchemaError, match="no database"):
        totals(f"sqlite:///{tmp_path}/none.db")
    assert list(tmp_path.iterdir()) == []
