"""A refusal at the edge that the bank takes for good is told before its key is blocked."""

RULE = 7
FILE = "frontends/processor_outcomes.py"
OLD = """\
        if money and (self._queued or not self._results.may_repeat(result)):
"""
NEW = """\
        if money and result is Result.UNKNOWN:
"""
NOTICED_BY = "simulate"
