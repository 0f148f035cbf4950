"""A reversal of our own is refused for its window."""

RULE = 10
FILE = "crm_bridge/journal_decide.py"
OLD = """\
        reply = self._reverse(row, request.kind) if request.reason else Reply(Result.DATE_CLOSED)
"""
NEW = """\
        reply = Reply(Result.DATE_CLOSED)
"""
NOTICED_BY = (
    "tests/crm_bridge/test_house.py"
    "::test_a_reversal_of_ours_is_carried_out_after_the_fence_and_leaves_a_break"
)
