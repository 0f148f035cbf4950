"""The journal's totals count what was reversed as paid."""

RULE = 14
FILE = "crm_bridge/journal_decide.py"
OLD = """\
        self._tally.reverse(row.bank_number, row.business_date, row.amount_fen)
"""
NEW = ""
NOTICED_BY = "simulate"
