"""The clock ends a reservation whose request was forwarded."""

RULE = 12
FILE = "qianzhi/ledger/sheet.py"
OLD = """\
        if pending.forwarded:
            return Outcome.FORWARDED
"""
NEW = ""
NOTICED_BY = (
    "tests/ledger/test_sheet.py::test_the_clock_ends_a_reservation_only_when_due_and_never_a_forwarded_one"
)
