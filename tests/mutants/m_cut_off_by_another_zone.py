"""The business date begins at midnight of Greenwich, not of the site."""

RULE = 2
FILE = "qianzhi/domain/dates.py"
OLD = """\
    return as_number(local_datetime(wall_us, zone).date())
"""
NEW = """\
    return as_number(local_datetime(wall_us, UTC).date())
"""
NOTICED_BY = "tests/domain/test_dates.py::test_business_date_is_the_sites_calendar_day_not_utcs"
