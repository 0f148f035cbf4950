"""A repeat that waited hears an approval older than itself, whatever the other front-end has reversed."""

RULE = 3
FILE = "frontends/processor_outcomes.py"
OLD = """\
        return [arrival for arrival in flight.arrivals if arrival.came_us > flight.sent_us]
"""
NEW = """\
        return []
"""
NOTICED_BY = (
    "tests/frontends/test_instances.py"
    "::test_a_repeat_that_waits_for_its_original_hears_what_the_partner_has_reversed_meanwhile"
)
