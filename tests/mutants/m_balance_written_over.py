"""Balances are written as they were read, over what others did meanwhile."""

RULE = 13
FILE = "qianzhi/ledger/store.py"
OLD = "SET balance_fen = balance_fen + :balance_fen,"
NEW = "SET balance_fen = :balance_fen,"
NOTICED_BY = (
    "tests/crm_bridge/test_gateway_rules.py"
    "::test_a_short_book_goes_into_arrears_with_an_alarm_and_the_next_recharge_makes_it_good"
)
