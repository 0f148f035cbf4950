"""The database lets history be rewritten."""

RULE = 13
FILE = "crm_bridge/migrations/versions/v0001_core.py"
OLD = """\
        for verb in ("UPDATE", "DELETE"):
"""
NEW = """\
        for verb in ("DELETE",):
"""
NOTICED_BY = "tests/ledger/test_store.py::test_history_is_insert_only"
