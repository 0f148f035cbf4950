"""Money that was charged and could not be credited stays with us."""

RULE = 12
FILE = "interface_layer/charges.py"
OLD = """\
        if charge.refunds:
            self._undo(charge, Kind.CHARGE_REFUND, ChargeState.REFUNDING, "refused", now, result)
"""
NEW = """\
        if charge.refunds:
            self._end(charge, ChargeState.DECLINED, now, result=result)
"""
NOTICED_BY = "simulate"
