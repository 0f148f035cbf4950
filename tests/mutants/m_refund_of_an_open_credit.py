"""A credit without an answer is taken for refused: the money goes back, and the credit may stand."""

RULE = 12
FILE = "interface_layer/charges.py"
OLD = """\
            self._move(charge, ChargeState.DOUBTED, now)
        elif reply.result is Result.APPROVED:
"""
NEW = """\
            self._refund(charge, Result.UNKNOWN, now)
        elif reply.result is Result.APPROVED:
"""
NOTICED_BY = "tests/interface_layer/test_charges.py::test_of_a_credit_without_an_answer_the_cores_row_decides"
