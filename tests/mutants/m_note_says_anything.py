"""A note comes into the chain whatever it says, as if an operator had done it."""

RULE = 0
FILE = "crm_bridge/operators/taking.py"
OLD = "if not note.who.startswith(MACHINES) or note.what not in NOTED | {RECEIPT}:"
NEW = "if not note.who:"
NOTICED_BY = "tests/crm_bridge/operators/test_notes.py::test_a_note_never_reads_as_what_an_operator_did"
