"""A closed business date takes new keys."""

RULE = 2
FILE = "crm_bridge/journal_decide.py"
OLD = """\
        if self._fences.closed(request.space, request.date):
            return Reply(Result.DATE_CLOSED)
"""
NEW = ""
NOTICED_BY = "simulate"
