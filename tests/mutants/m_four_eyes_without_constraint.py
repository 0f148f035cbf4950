"""The database would take an act that its maker has approved."""

RULE = 0
FILE = "crm_bridge/migrations/versions/v0006_operators.py"
OLD = """\
        CONSTRAINT operator_acts_four_eyes CHECK (checker IS NULL OR checker <> maker),
"""
NEW = ""
NOTICED_BY = (
    "tests/crm_bridge/operators/test_stores.py::test_the_database_itself_refuses_what_no_program_may_do"
)
