"""The core looks for no row of a request's key: a repeat is carried out like the first."""

RULE = 1
FILE = "crm_bridge/journal_decide.py"
OLD = """\
        row = self._row_of_credit(request, key)
        if row is not None:
            return self._repeat(request, row)
        refused = self._date_refusal(request)
        if refused is not None:
            return refused
        if request.amount_fen <= 0:
"""
NEW = """\
        refused = self._date_refusal(request)
        if refused is not None:
            return refused
        if request.amount_fen <= 0:
"""
NOTICED_BY = "tests/crm_bridge/test_gateway_rules.py::test_a_repeat_gets_the_stored_answer_and_moves_nothing"
