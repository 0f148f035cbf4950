"""A bank's reversal is carried out after its date's fence."""

RULE = 10
FILE = "crm_bridge/journal_decide.py"
OLD = """\
        reply = self._reverse(row, request.kind) if request.reason else Reply(Result.DATE_CLOSED)
"""
NEW = """\
        reply = self._reverse(row, request.kind)
"""
NOTICED_BY = "tests/crm_bridge/test_house.py::test_a_banks_reversal_after_the_fence_goes_by_the_refund_path"
