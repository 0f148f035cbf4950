"""A used serial with another amount passes for a repeat."""

RULE = 3
FILE = "crm_bridge/journal.py"
OLD = """\
        str(request.amount_fen),
"""
NEW = ""
NOTICED_BY = "simulate"
