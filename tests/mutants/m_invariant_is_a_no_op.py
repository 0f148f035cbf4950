"""Invariants hold nothing any more."""

RULE = 16
FILE = "qianzhi/ledger/invariant.py"
OLD = """\
    if not holds:
"""
NEW = """\
    if holds is None:
"""
NOTICED_BY = "tests/ledger/test_sheet.py::test_an_invariant_stops_what_breaks_it"
