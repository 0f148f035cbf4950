"""A key is claimed by looking alone: what others inserted meanwhile is posted a second time."""

RULE = 1
FILE = "crm_bridge/store.py"
OLD = """\
        claimed = saved.get("inserts", 0) < len(inserts) or saved.get("reversals", 0) < len(reversals)
"""
NEW = """\
        claimed = saved.get("reversals", 0) < len(reversals)
"""
NOTICED_BY = "tests/crm_bridge/test_gateway_failures.py::test_a_key_claimed_meanwhile_is_decided_again"
