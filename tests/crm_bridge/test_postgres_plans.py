"""What a batch asks of PostgreSQL is found by keys from the first day: also in tables that are empty when the
planner looks, and fill while it stays with its plan.
"""

import pytest
from sqlalchemy import text

from crm_bridge import store
from crm_bridge.migrations.schema import migrate
from qianzhi.billing import store as billing_store
from qianzhi.ledger import store as ledger_store

JOURNAL, BILLING, LEDGER = (
    module.STATEMENTS["postgresql"] for module in (store, billing_store, ledger_store)
)
MANY = 500  # as many as a list can be: then a planner left to itself reads whole tables
TEXTS, NUMBERS = [str(number) for number in range(MANY)], list(range(MANY))
ASKED = {
    "the keys of a list": (JOURNAL.load_rows, {"keys0": TEXTS, "keys1": NUMBERS, "keys2": TEXTS}),
    "its subscribers": (BILLING.load_subscribers, {"phones": TEXTS}),
    "their open bills": (BILLING.load_bills, {"books": NUMBERS, "serials": TEXTS}),
    "their accounts, locked": (LEDGER.lock_accounts, {"ids": NUMBERS}),
    "what they may owe": (LEDGER.load_accounts, {"ids": NUMBERS}),
    "balances that move": (
        LEDGER.move_accounts,
        {"id": NUMBERS, "balance_fen": NUMBERS, "reserved_fen": NUMBERS},
    ),
    "work orders to be reversed": (BILLING.load_orders, {"orders": TEXTS}),
}


@pytest.fixture(scope="module")
def batch(postgres):
    """The store of a writer whose database has its tables and nothing in them."""
    url = postgres.new_database()
    migrate(url)
    found = store.Store(url, "Q")
    yield found
    found.close()


@pytest.mark.parametrize("what", ASKED)
def test_rows_are_found_by_index_though_their_tables_are_empty(batch, what):
    statement, given = ASKED[what]
    with batch.transaction() as transaction:
        plan = [row[0] for row in transaction._connection.execute(text(f"EXPLAIN {statement.text}"), given)]
    assert any("Index" in line for line in plan), plan
    assert not any("Seq Scan" in line or "Hash Join" in line for line in plan), plan
