"""A used serial with another amount passes for a repeat."""

RULE = 3
FILE = "crm_bridge/journal.py"
OLD = "{request.phone}\\x1f{request.amount_fen}\\x1f"
NEW = "{request.phone}\\x1f"
NOTICED_BY = "simulate"
