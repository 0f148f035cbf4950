"""A business date is closed over its open breaks."""

RULE = 10
FILE = "crm_bridge/journal_house.py"
OLD = """\
        if held or unsettled:
"""
NEW = """\
        if unsettled:
"""
NOTICED_BY = (
    "tests/crm_bridge/test_house.py::test_an_open_break_holds_its_date_and_all_later_ones_and_no_earlier_one"
)
