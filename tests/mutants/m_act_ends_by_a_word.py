"""An act about an entry ends by somebody's word, without the receipt of the daemon that has the entry."""

RULE = 0
FILE = "crm_bridge/operators/taking.py"
OLD = "if not self.warrants.proves(asked_of(act), self.result, self.detail, self.receipt):"
NEW = "if not self.receipt and act.id < 0:"
NOTICED_BY = "tests/crm_bridge/operators/test_notes.py::test_no_act_ends_without_the_receipt_of_just_this_end"
