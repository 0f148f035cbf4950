"""A charge goes out before its intent is stored."""

RULE = 12
FILE = "interface_layer/charges.py"
OLD = """\
        self._know(charge)
        self._keeping.add([charge], [(WHO, charge.key.text, charge.version)])
        return charge
"""
NEW = """\
        self._know(charge)
        self._keeping.add([charge])
        self._act(charge, now)
        return charge
"""
NOTICED_BY = "tests/interface_layer/test_charges.py::test_nothing_goes_out_before_the_intent_is_stored"
