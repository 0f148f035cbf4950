"""Each kind of damage is planted with the database's own guards taken off, and the audit names it."""

# ruff: noqa: S608 - damage is planted with statements put together here
import sqlite3

import pytest

from crm_bridge.audit import SHOWN_MAX, audit_books
from qianzhi.domain.requests import Kind

LONG_AGO_US = 1_700_000_000_000_000
RICH, TWO_BILLS = "13800000010", "13800000005"


@pytest.fixture
def busy(run, ask, url, core):
    """A database with a recharge that paid a bill, one that stands, a reversed one with arrears, and
    tombstones.
    """
    run(
        ask(Kind.RECHARGE, "1", RICH, 1_000),
        ask(Kind.RECHARGE, "2", TWO_BILLS, 5_000),
        ask(Kind.RECHARGE, "3", TWO_BILLS, 3_000),
        ask(Kind.REVERSAL, "2"),
        ask(Kind.RECHARGE, "4", "13999999999", 1_000),
        ask(Kind.STATUS, "5"),
        ask(Kind.BREAK, "6", "", 900, space="unet", date=20261116, reason="manual"),
        ask(Kind.BREAK, "7", "", 900, space="unet", date=20261116, reason="manual"),
        ask(Kind.MEND, "7", space="unet", date=20261116),
    )
    core.close()
    assert audit_books(url).violations == []
    return url


def plant(url, *statements):
    connection = sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)
    for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
        connection.execute(f"DROP TRIGGER {name}")
    connection.execute("PRAGMA foreign_keys = OFF")
    connection.execute("PRAGMA ignore_check_constraints = ON")
    changed = sum(connection.execute(statement).rowcount for statement in statements)
    connection.close()
    assert changed >= len(statements)


def account(kind, phone=TWO_BILLS):
    column = {"book": "account", "arrears": "arrears"}[kind]
    phones = f"(SELECT book FROM billing_phones WHERE phone = '{phone}')"
    return f"(SELECT {column} FROM billing_books WHERE id = {phones})"


def order(serial):
    return f"(SELECT order_serial FROM journal WHERE serial = '{serial}')"


TRANSFER = "INSERT INTO ledger_transfers (reference, code, debit, credit, amount_fen, posted_us) VALUES "
DAMAGE = {
    "a balance raised": (
        "balance total",
        f"UPDATE ledger_accounts SET balance_fen = balance_fen + 1 WHERE id = {account('book')}",
    ),
    "a transfer lost": (
        "balance posting",
        f"DELETE FROM ledger_transfers WHERE reference = {order('1')} AND code = 1",
    ),
    "a transfer doubled": (
        "balance posting net-of-reversed",
        "INSERT INTO ledger_transfers (reference, code, debit, credit, amount_fen, posted_us)"
        " SELECT reference, code, debit, credit, amount_fen, posted_us FROM ledger_transfers"
        f" WHERE reference = {order('2')} AND code = 1",
    ),
    "an amount changed": (
        "balance write-off-posting",
        "UPDATE ledger_transfers SET amount_fen = amount_fen - 1"
        f" WHERE reference = {order('3')} AND code = 3",
    ),
    "a negative transfer": (
        "transfer balance",
        "UPDATE ledger_transfers SET amount_fen = -amount_fen WHERE id = 1",
    ),
    "a reserve without a reservation": (
        "reserved",
        f"UPDATE ledger_accounts SET reserved_fen = 5 WHERE id = {account('arrears')}",
    ),
    "a settlement without its posting": (
        "reservation",
        f"INSERT INTO ledger_pendings VALUES ('p', {account('arrears')}, 1, 50, 1, 0, 0)",
        "INSERT INTO ledger_settlements VALUES ('p', 1, 50, 0)",
    ),
    "a book below its floor": (
        "balance floor total",
        f"UPDATE ledger_accounts SET balance_fen = -1 WHERE id = {account('book', '13800000007')}",
    ),
    "a book without a floor": (
        "limits",
        f"UPDATE ledger_accounts SET floor_fen = NULL WHERE id = {account('book')}",
    ),
    "arrears in credit": (
        "stray-transfer limits",
        f"{TRANSFER} ('gift', 1, {account('book', RICH)}, {account('arrears', RICH)}, 1, 0)",
        f"UPDATE ledger_accounts SET balance_fen = balance_fen - 1 WHERE id = {account('book', RICH)}",
        f"UPDATE ledger_accounts SET balance_fen = balance_fen + 1 WHERE id = {account('arrears', RICH)}",
    ),
    "another's book moved": (
        "foreign-account posting",
        f"UPDATE ledger_transfers SET credit = {account('book')} WHERE reference = {order('1')} AND code = 1",
    ),
    "an order lost": (
        "order stray-transfer dangling",
        f"DELETE FROM billing_orders WHERE serial = {order('1')}",
    ),
    "an order doubled": (
        "order unkeyed-order repeated-key posting",
        "INSERT INTO billing_orders SELECT 'Q99999999999', kind, space, business_date, key_serial, phone,"
        f" book, amount_fen, bank_number, posted_us, NULL FROM billing_orders WHERE serial = {order('1')}",
    ),
    "an order's amount": (
        "order posting",
        f"UPDATE billing_orders SET amount_fen = 7 WHERE serial = {order('1')}",
    ),
    "an order under another key": (
        "order unkeyed-order",
        f"UPDATE billing_orders SET key_serial = '77' WHERE serial = {order('1')}",
    ),
    "an approval made of a refusal": ("order", "UPDATE journal SET state = 1 WHERE serial = '4'"),
    "a journal row lost": ("unkeyed-order", "DELETE FROM journal WHERE serial = '1'"),
    "a reversal forgotten": (
        "reversal unkeyed-order",
        "UPDATE journal SET state = 1, reversal_order = NULL, reversal_reply = NULL, reversed_us = NULL"
        " WHERE serial = '2'",
    ),
    "a reversal made up": (
        "reversal",
        "UPDATE journal SET state = 3, reversal_reply = reply WHERE serial = '1'",
    ),
    "a reversal half posted": (
        "net-of-reversed balance",
        "DELETE FROM ledger_transfers WHERE code = 101",
    ),
    "a reversal of a reversal": (
        "reversal-undone",
        "UPDATE billing_orders SET reverses = (SELECT reversal_order FROM journal WHERE serial = '2')"
        f" WHERE serial = {order('3')}",
    ),
    "a paid bill opened": (
        "bill receivable",
        f"UPDATE billing_bills SET paid_by = NULL WHERE paid_by = {order('3')}",
    ),
    "an open bill paid": (
        "bill receivable",
        f"UPDATE billing_bills SET paid_by = {order('1')} WHERE serial = (SELECT serial FROM billing_bills"
        " WHERE paid_by IS NULL LIMIT 1)",
    ),
    "a bill written off twice": (
        "bill write-off-posting",
        f"INSERT INTO billing_write_offs SELECT {order('1')}, bill, principal_fen, 0 FROM billing_write_offs"
        f" WHERE order_serial = {order('3')}",
    ),
    "a write-off below the principal": (
        "write-off write-off-posting",
        "UPDATE billing_write_offs SET principal_fen = 1, late_fee_fen = 0"
        f" WHERE order_serial = {order('3')}",
    ),
    "a bill's principal": (
        "bill-posting receivable",
        "UPDATE billing_bills SET principal_fen = principal_fen + 1 WHERE serial = (SELECT min(serial) FROM"
        " billing_bills WHERE paid_by IS NULL)",
    ),
    "a bill never posted": (
        "bill-posting balance",
        "DELETE FROM ledger_transfers WHERE id = (SELECT max(id) FROM ledger_transfers WHERE code = 7)",
    ),
    "a journal amount": ("journal-content order", "UPDATE journal SET amount_fen = 1001 WHERE serial = '1'"),
    "a journal phone": (
        "journal-content order",
        "UPDATE journal SET phone = '13800000011' WHERE serial = '1'",
    ),
    "a kept answer": (
        "journal-content",
        "UPDATE journal SET reply = (SELECT reply FROM journal WHERE serial = '3') WHERE serial = '1'",
    ),
    "a kept answer to a reversal": (
        "journal-content",
        "UPDATE journal SET reversal_reply = (SELECT reply FROM journal WHERE serial = '4')"
        " WHERE serial = '2'",
    ),
    "a phone's book": (
        "orphan-phone",
        "UPDATE billing_books SET account = (SELECT id FROM ledger_accounts WHERE kind = 'revenue')"
        " WHERE id = (SELECT book FROM billing_phones WHERE phone = '13800000011')",
    ),
    "suspense without its break": (
        "break suspense",
        "UPDATE journal_breaks SET state = 2, suspense_fen = 0 WHERE serial = '6'",
    ),
    "a manual break without suspense": (
        "break suspense unsuspended",
        "UPDATE journal_breaks SET suspense_fen = 0 WHERE serial = '6'",
    ),
    "a break lost": ("break suspense", "DELETE FROM journal_breaks WHERE serial = '6'"),
    "suspense moved to a book": (
        "suspense-posting balance",
        f"UPDATE ledger_transfers SET credit = {account('book')} WHERE code = 8",
    ),
    "a key taken after its fence": (
        "fence",
        f"INSERT INTO journal_fences VALUES ('citic', 20261117, {LONG_AGO_US}, 'somebody')",
    ),
    "a reversal after its fence without a break": (
        "fence fence-reversal",
        f"INSERT INTO journal_fences VALUES ('citic', 20261117, {LONG_AGO_US}, 'somebody')",
    ),
    "a fence over an open break": (
        "fence-break",
        "INSERT INTO journal_fences VALUES ('unet', 20261116, 2000000000000000, 'somebody')",
    ),
    "an account that is not there": ("dangling", "UPDATE ledger_transfers SET debit = 999999 WHERE id = 1"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_is_found_and_named(busy, name):
    expected, *statements = DAMAGE[name]
    plant(busy, *statements)
    report = audit_books(busy)
    assert not report.balanced
    assert set(expected.split()) <= report.found.keys()
    assert all(violation.id and violation.detail for violation in report.violations)


def test_a_violation_says_which(busy):
    plant(
        busy,
        f"UPDATE ledger_accounts SET balance_fen = balance_fen + 3 WHERE id = {account('arrears', RICH)}",
    )
    found = {violation.check: violation for violation in audit_books(busy).violations}
    assert found["balance"].detail == "balance 3, transfers 0"
    assert found["total"].detail == "the balances sum to 3"


def test_many_violations_are_counted_and_some_listed(busy):
    connection = sqlite3.connect(busy.removeprefix("sqlite:///"), isolation_level=None)
    connection.execute("PRAGMA ignore_check_constraints = ON")
    count = connection.execute("UPDATE ledger_accounts SET balance_fen = balance_fen + 1").rowcount
    connection.close()
    report = audit_books(busy)
    assert report.found["balance"] == count > SHOWN_MAX
    assert len([row for row in report.violations if row.check == "balance"]) == SHOWN_MAX


def test_history_cannot_be_rewritten(busy):
    connection = sqlite3.connect(busy.removeprefix("sqlite:///"), isolation_level=None)
    guarded = ("ledger_transfers", "billing_orders", "billing_write_offs")
    for statement in (
        *(f"DELETE FROM {table}" for table in (*guarded, "journal", "ledger_accounts")),
        *(f"UPDATE {table} SET amount_fen = amount_fen + 1" for table in guarded[:2]),
        "UPDATE billing_write_offs SET principal_fen = 1",
        "UPDATE journal SET amount_fen = 1",
        "UPDATE journal SET state = 1",
        "UPDATE journal SET state = 2",
        "UPDATE ledger_accounts SET balance_fen = -1 WHERE kind = 'book'",
    ):
        with pytest.raises(sqlite3.IntegrityError):
            connection.execute(statement)
    connection.close()
