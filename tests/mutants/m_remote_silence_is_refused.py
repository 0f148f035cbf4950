"""A call that a remote core does not answer in time is taken for one that never left."""

RULE = 14
FILE = "crm_bridge/remote/client.py"
OLD = """\
            return Unanswered(TIMEOUT if late else "cut")
"""
NEW = """\
            return Unanswered(TIMEOUT if late else "cut", sent=False)
"""
NOTICED_BY = "tests/crm_bridge/test_remote_faults.py::test_silence_is_unknown_until_somebody_asks"
