"""A credit without an answer is taken for refused: the money goes back, and the credit may stand."""

RULE = 12
FILE = "interface_layer/charges.py"
OLD = """\
            self._move(charge, ChargeState.DOUBTED, now)
        elif reply.result is Result.APPROVED:
            self._credited(charge, reply.order, now)
        else:
            self._refund(charge, reply.result, now)

    def _on_blocked("""
NEW = """\
            self._refund(charge, Result.UNKNOWN, now)
        elif reply.result is Result.APPROVED:
            self._credited(charge, reply.order, now)
        else:
            self._refund(charge, reply.result, now)

    def _on_blocked("""
NOTICED_BY = "simulate"
