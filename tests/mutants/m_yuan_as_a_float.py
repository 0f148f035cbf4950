"""Yuan become fen by way of a float."""

RULE = 13
FILE = "qianzhi/domain/money.py"
OLD = """\
    return int(whole) * 100 + int(decimals.ljust(2, "0") or "0")
"""
NEW = """\
    return int(float(text) * 100)
"""
NOTICED_BY = "tests/domain/test_money.py::test_writing_and_reading_an_amount_loses_nothing"
