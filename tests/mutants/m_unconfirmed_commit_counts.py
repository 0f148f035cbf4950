"""A COMMIT that the standby has not confirmed counts as one."""

RULE = 15
FILE = "crm_bridge/database/store.py"
OLD = """\
    if warnings is not None and warnings.latest:
"""
NEW = """\
    if warnings is None:
"""
NOTICED_BY = (
    "tests/crm_bridge/test_postgres_failures.py"
    "::test_a_commit_without_its_standby_is_unknown_until_it_is_there"
)
