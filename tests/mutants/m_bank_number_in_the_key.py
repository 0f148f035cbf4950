"""The bank number becomes part of the key, so that a serial under two numbers is credited twice."""

RULE = 1
FILE = "frontends/mapping.py"
OLD = """\
            serial=serial,
"""
NEW = """\
            serial=serial if values["bank_number"] == self._content.numbers[0] else f"{serial}x",
"""
NOTICED_BY = "simulate"
