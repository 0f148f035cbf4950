"""A reversal is confirmed, and what it was to take back stands."""

RULE = 4
FILE = "crm_bridge/journal_decide.py"
OLD = """\
        outcome = self._desk.reverse(row.order_serial or "", row.key, row.bank_number, kind)
        if outcome.result is not Result.APPROVED:
            return Reply(outcome.result)
"""
NEW = """\
        outcome = Outcome(Result.APPROVED, row.order_serial or "", row.amount_fen)
"""
NOTICED_BY = "simulate"
