"""A charge without an answer is asked for again under a new serial."""

RULE = 6
FILE = "interface_layer/charges.py"
OLD = """\
            reason = reply.name if reply is not None and reply.name else "timeout"
            self._move(charge, ChargeState.TIMED_OUT, now, result=result, reason=reason)
"""
NEW = """\
            serial = self._serial(charge.space, charge.date, len(charge.serial)) or charge.serial
            self._move(charge, ChargeState.INTENT, now, serial=serial, until_us=charge.until_us + CREDIT_US)
"""
NOTICED_BY = "simulate"
