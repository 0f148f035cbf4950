"""A request that fails alone is put aside and nobody hears of it."""

RULE = 16
FILE = "crm_bridge/settling.py"
OLD = """\
        self._alarms.append(Alarm("quarantined", fields))
"""
NEW = ""
NOTICED_BY = "tests/crm_bridge/test_writer.py::test_one_bad_request_in_a_list_of_two_hundred_fails_alone"
