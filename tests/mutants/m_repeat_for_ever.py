"""A repeat under a date of ours is one however long ago the first was, so that a new payment is none."""

RULE = 2
FILE = "crm_bridge/journal_decide.py"
OLD = """\
        if self._now.wall_us - row.received_us >= self._terms.repeat_hours * HOUR_US:
            return False
"""
NEW = ""
NOTICED_BY = "tests/crm_bridge/test_gateway_rules.py::test_a_repeat_under_our_own_date_is_new_after_two_hours"
