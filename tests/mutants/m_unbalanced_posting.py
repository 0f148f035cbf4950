"""A posting takes a fen more than it gives."""

RULE = 13
FILE = "qianzhi/ledger/sheet.py"
OLD = """\
        self._move(leg.debit, -leg.amount_fen)
"""
NEW = """\
        self._move(leg.debit, -leg.amount_fen - 1)
"""
NOTICED_BY = "tests/ledger/test_sheet.py::test_whatever_comes_the_books_balance"
