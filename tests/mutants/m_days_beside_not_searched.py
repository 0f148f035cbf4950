"""Where the date is ours, the days beside it are not looked at."""

RULE = 2
FILE = "crm_bridge/journal_dates.py"
OLD = """\
        return (shift(date, -1), shift(date, 1)) if _is_date(date) else ()
"""
NEW = """\
        return ()
"""
NOTICED_BY = "simulate"
