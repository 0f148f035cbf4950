"""Bytes go to the bank before their record is written."""

RULE = 9
FILE = "frontends/front.py"
OLD = """\
        if self.rows:
            laid.append(Record(self.rows))
        if self._to_bank:
            laid.append(Send(TO_BANK, self._to_bank))
            self.count(FRAMES, self._bank, "out", n=len(self._to_bank))
"""
NEW = """\
        if self._to_bank:
            laid.append(Send(TO_BANK, self._to_bank))
            self.count(FRAMES, self._bank, "out", n=len(self._to_bank))
        if self.rows:
            laid.append(Record(self.rows))
"""
NOTICED_BY = "tests/frontends/test_processor_stateful.py::test_any_history_keeps_the_rules_of_answers"
