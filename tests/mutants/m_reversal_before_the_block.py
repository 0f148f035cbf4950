"""A charge without an answer is reversed before the core has said that its key is blocked."""

RULE = 12
FILE = "interface_layer/charges.py"
OLD = """\
            self._move(charge, ChargeState.TIMED_OUT, now, result=result, reason=reason)
"""
NEW = """\
            self._reverse(_changed(charge, result=result), reason, now)
"""
NOTICED_BY = (
    "tests/interface_layer/test_charges.py::test_a_reversal_waits_for_the_cores_word_however_long_that_takes"
)
