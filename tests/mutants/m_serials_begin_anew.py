"""A restarted node issues serials that it has used."""

RULE = 12
FILE = "interface_layer/charges.py"
OLD = """\
                self._serials[key] = max(row.next, self._serials.get(key, 1))
"""
NEW = """\
                self._serials[key] = self._serials.get(key, 1)
"""
NOTICED_BY = "simulate"
