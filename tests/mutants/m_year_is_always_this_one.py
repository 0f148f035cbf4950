"""A month and day without a year is always of this year, over New Year too."""

RULE = 2
FILE = "qianzhi/domain/dates.py"
OLD = """\
    for year in (here.year + 1, here.year, here.year - 1):
"""
NEW = """\
    for year in (here.year,):
"""
NOTICED_BY = "tests/domain/test_dates.py::test_month_and_day_means_a_date_that_a_bank_can_ask_about"
