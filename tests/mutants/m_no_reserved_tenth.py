"""A bridge full of credits hears no reversal."""

RULE = 8
FILE = "crm_bridge/bridge.py"
OLD = """\
        if self._waiting[writer] >= (self._queue_max if priority else self._open_max):
"""
NEW = """\
        if self._waiting[writer] >= self._open_max:
"""
NOTICED_BY = "tests/crm_bridge/test_bridge.py::test_a_full_list_answers_busy_and_keeps_a_tenth_for_reversals"
