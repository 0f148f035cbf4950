"""Nobody asks again for the time when all is locked, however long the others held it."""

RULE = 5
FILE = "crm_bridge/gateway_steps.py"
OLD = """\
            requests = again() if again is not None else requests
"""
NEW = ""
NOTICED_BY = (
    "tests/crm_bridge/test_settling.py"
    "::test_a_credit_whose_time_runs_out_while_it_waits_for_others_blocks_its_key"
)
