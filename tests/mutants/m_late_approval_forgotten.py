"""An approval that comes after its charge was given up is noted and nothing comes of it."""

RULE = 12
FILE = "interface_layer/charges.py"
OLD = """\
        elif charge.state is ChargeState.WAITING:
            self._reverse(charge, "late", now)
"""
NEW = """\
        elif charge.state is ChargeState.WAITING:
            self._end(charge, ChargeState.LAPSED, now)
"""
NOTICED_BY = (
    "tests/interface_layer/test_charges.py"
    "::test_a_late_approval_is_reversed_once_and_the_front_hears_that_it_is_noted"
)
