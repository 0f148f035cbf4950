"""An answer from a kept row does not wait for the standby, which may not have that row."""

RULE = 15
FILE = "crm_bridge/store.py"
OLD = """\
        touches = self._answers_from_rows and not self._writes and sql.touch is not None
"""
NEW = """\
        touches = self._answers_from_rows and self._writes and sql.touch is not None
"""
NOTICED_BY = (
    "tests/crm_bridge/test_postgres_failures.py"
    "::test_a_commit_without_its_standby_is_unknown_until_it_is_there"
)
