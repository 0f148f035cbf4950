"""Balances are written as they were read, over what others did meanwhile."""

RULE = 13
FILE = "qianzhi/ledger/store.py"
OLD = "SET balance_fen = balance_fen + :balance_fen,"
NEW = "SET balance_fen = :balance_fen,"
NOTICED_BY = (
    "tests/crm_bridge/test_gateway_rules.py::test_a_recharge_that_covers_no_whole_bill_stays_in_the_book"
)
