"""A time-out reversal is refused because the customer has spent the money."""

RULE = 10
FILE = "qianzhi/billing/desk.py"
OLD = """\
        if shortage and kind is Kind.VOID:
"""
NEW = """\
        if shortage:
"""
NOTICED_BY = "simulate"
