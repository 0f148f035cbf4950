"""A clerk's cancellation takes back what the customer has spent."""

RULE = 10
FILE = "qianzhi/billing/desk.py"
OLD = """\
        if shortage and kind is Kind.VOID:
"""
NEW = """\
        if shortage and kind is Kind.CLOSE:
"""
NOTICED_BY = "tests/billing/test_desk.py::test_a_void_is_refused_for_one_fen_that_was_spent_and_moves_nothing"
