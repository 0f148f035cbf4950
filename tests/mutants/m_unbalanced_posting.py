"""A posting takes a fen more than it gives."""

RULE = 13
FILE = "qianzhi/ledger/sheet.py"
OLD = """\
            moved[debit] = moved.get(debit, 0) - amount_fen
            moved[credit] = moved.get(credit, 0) + amount_fen
            transfers.append(Transfer(reference, code, debit, credit, amount_fen, posted_us, None, date))
"""
NEW = """\
            moved[debit] = moved.get(debit, 0) - amount_fen - 1
            moved[credit] = moved.get(credit, 0) + amount_fen
            transfers.append(Transfer(reference, code, debit, credit, amount_fen, posted_us, None, date))
"""
NOTICED_BY = "tests/ledger/test_sheet.py::test_whatever_comes_the_books_balance"
