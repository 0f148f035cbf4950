"""A key is claimed by looking alone: what others inserted meanwhile is posted a second time."""

RULE = 1
FILE = "crm_bridge/store.py"
OLD = """\
        if write(self._connection, sql.add_rows, _dicts(inserts)) < len(inserts):
            return False
"""
NEW = """\
        write(self._connection, sql.add_rows, _dicts(inserts))
"""
NOTICED_BY = "tests/crm_bridge/test_gateway_failures.py::test_a_key_claimed_meanwhile_is_decided_again"
