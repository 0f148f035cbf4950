"""A repeat that comes after the reversal of its original waits for the original's answer."""

RULE = 3
FILE = "frontends/flights.py"
OLD = """\
            self._close_to_repeats(request)
"""
NEW = """\
            pass
"""
NOTICED_BY = (
    "tests/frontends/test_flights.py"
    "::test_a_repeat_behind_a_reversal_hears_of_it_and_not_what_the_first_one_hears_late"
)
