"""A full bank refuses a repeat of what is under way, whose outcome nobody knows yet."""

RULE = 7
FILE = "frontends/processor.py"
OLD = """\
        if same is None:
"""
NEW = """\
        if request is not None:
"""
NOTICED_BY = (
    "tests/frontends/test_processor_edge.py"
    "::test_what_is_shed_leaves_one_short_row_and_a_repeat_of_what_is_under_way_still_joins"
)
