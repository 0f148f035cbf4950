"""A reversal that met its date's fence leaves no break behind: nobody refunds it."""

RULE = 10
FILE = "crm_bridge/journal_decide.py"
OLD = """\
        if reply.result in (Result.APPROVED, Result.DATE_CLOSED):
            self._house.refund_due(row)
"""
NEW = ""
NOTICED_BY = "tests/crm_bridge/test_house.py::test_a_banks_reversal_after_the_fence_goes_by_the_refund_path"
