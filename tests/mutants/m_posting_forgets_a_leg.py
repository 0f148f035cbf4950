"""The arrears that a reversal leaves are not posted."""

RULE = 13
FILE = "qianzhi/billing/desk.py"
OLD = """\
            legs.insert(0, Leg(standing.arrears, standing.account, shortage, Code.SHORTAGE))
"""
NEW = """\
            pass
"""
NOTICED_BY = "simulate"
