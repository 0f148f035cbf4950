"""Answers go out whatever is heard of the COMMIT."""

RULE = 6
FILE = "crm_bridge/gateway_steps.py"
OLD = """\
            yield Committing()
            transaction.commit()
"""
NEW = """\
            yield Committing()
            try:
                transaction.commit()
            except Exception:
                pass
"""
NOTICED_BY = "simulate"
