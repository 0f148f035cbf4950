"""Two bridges may decide copies of one request side by side under the dates beside each other."""

RULE = 1
FILE = "crm_bridge/store.py"
OLD = """\
            "serials held": holding_serials(connection, wanted.serials),
"""
NEW = ""
NOTICED_BY = (
    "tests/crm_bridge/test_postgres_bridges.py"
    "::test_two_copies_under_our_own_date_on_both_sides_of_midnight_are_one"
)
