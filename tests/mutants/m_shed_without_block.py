"""A flood hears refusals that its bank takes for good, and no key is blocked for them."""

RULE = 8
FILE = "frontends/processor_edge.py"
OLD = """\
        return request.kind not in MONEY_KINDS or self._results.may_repeat(refusal)
"""
NEW = """\
        return request.kind in MONEY_KINDS
"""
NOTICED_BY = (
    "tests/frontends/test_processor_edge.py"
    "::test_a_flood_whose_refusal_is_taken_for_good_is_blocked_first_and_not_shed"
)
