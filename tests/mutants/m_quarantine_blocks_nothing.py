"""A request that fails alone is refused, and its key stays open."""

RULE = 4
FILE = "crm_bridge/journal_decide.py"
OLD = """\
            self._keep(request, State.QUARANTINED, Reply(Result.QUARANTINED, settled_us=self._now.wall_us))
            self._house.quarantined(self._rows[request.key])
"""
NEW = """\
            pass
"""
NOTICED_BY = "simulate"
