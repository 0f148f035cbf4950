"""A closed business date takes new keys."""

RULE = 2
FILE = "crm_bridge/journal_decide.py"
OLD = """\
        if self._fences.closed(request.space, request.date):
            closed = Reply(Result.DATE_CLOSED)
            return self._refuse(request, closed) if request.date_ours else closed
"""
NEW = ""
NOTICED_BY = "simulate"
