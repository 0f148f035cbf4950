"""A credit whose time is over is carried out all the same."""

RULE = 5
FILE = "crm_bridge/settling.py"
OLD = """\
    if work.request.kind in MONEY_KINDS and work.deadline_us <= now.mono_us:
"""
NEW = """\
    if work.request.kind in MONEY_KINDS and work.deadline_us < 0:
"""
NOTICED_BY = "tests/crm_bridge/test_writer.py::test_a_batch_taken_too_late_claims_no_credit"
