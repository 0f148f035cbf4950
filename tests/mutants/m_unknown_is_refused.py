"""An outcome that nobody knows is told as a refusal."""

RULE = 6
FILE = "frontends/processor_outcomes.py"
OLD = """\
        elif not outcome.certain:
            self._unknown(flight, turn)
"""
NEW = """\
        elif not outcome.certain:
            self._end(flight, Reply(Result.UNAVAILABLE), turn)
"""
NOTICED_BY = "simulate"
