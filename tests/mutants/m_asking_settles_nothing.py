"""A query of a key that was never seen is told "not found", and the original may come after."""

RULE = 4
FILE = "crm_bridge/journal_decide.py"
OLD = """\
        return self._settle_unseen(request) if row is None else standing_of(row)
"""
NEW = """\
        return Reply(Result.NOT_FOUND) if row is None else standing_of(row)
"""
NOTICED_BY = "simulate"
