"""A date too far ahead is refused without a row, so that its copy is credited when the day has come."""

RULE = 2
FILE = "crm_bridge/journal_decide.py"
OLD = """\
        return self._refuse(request, Reply(Result.BAD_DATE)) if ahead > 1 else None
"""
NEW = """\
        return Reply(Result.BAD_DATE) if ahead > 1 else None
"""
NOTICED_BY = "simulate"
