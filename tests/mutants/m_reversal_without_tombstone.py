"""A reversal that comes before its original leaves nothing that keeps the original out."""

RULE = 4
FILE = "crm_bridge/journal_decide.py"
OLD = """\
        if row is None:
            return self._settle_unseen(request)
"""
NEW = """\
        if row is None:
            return Reply(Result.NOT_FOUND)
"""
NOTICED_BY = "simulate"
