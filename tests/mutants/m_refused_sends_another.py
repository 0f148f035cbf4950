"""What waited for a charge that was refused lets another one go out, which is not stored yet."""

RULE = 12
FILE = "interface_layer/charges.py"
OLD = """\
        charge = self._charges.get(self._by_key.get(key, ""))
        if charge is not None and charge.version == version:
            self._act(charge, now)
"""
NEW = """\
        charge = self._charges.get(self._by_key.get(key, ""), next(iter(self._charges.values()), None))
        if charge is not None and charge.version == version:
            self._act(charge, now)
"""
NOTICED_BY = (
    "tests/interface_layer/test_orders_again.py"
    "::test_what_waited_for_a_refused_charge_sends_nothing_of_the_one_that_is_begun_after_it"
)
