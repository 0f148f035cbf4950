"""What was on its way when a node died is taken for never sent."""

RULE = 12
FILE = "interface_layer/charges.py"
OLD = """\
        if charge.state is ChargeState.INTENT:
            self._move(charge, ChargeState.TIMED_OUT, now, reason="house", blind=True)
        elif charge.state is ChargeState.CREDITING:
"""
NEW = """\
        if charge.state is ChargeState.INTENT:
            self._end(charge, ChargeState.DECLINED, now, result=Result.UNAVAILABLE)
        elif charge.state is ChargeState.CREDITING:
"""
NOTICED_BY = "simulate"
