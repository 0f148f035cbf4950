"""A repeat that joins its original in flight is never answered."""

RULE = 3
FILE = "frontends/flights.py"
OLD = """\
        flight.arrivals.append(arrival)
"""
NEW = ""
NOTICED_BY = (
    "tests/frontends/test_processor.py::test_a_repeat_with_the_same_content_joins_and_both_are_answered"
)
