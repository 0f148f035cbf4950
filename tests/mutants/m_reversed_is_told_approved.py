"""A repeat of what was reversed hears the first answer: approved."""

RULE = 3
FILE = "crm_bridge/journal.py"
OLD = """\
    if row.state is State.REVERSED:
        first = kept(row.reply)
"""
NEW = """\
    if row.state is State.REVERSED and not row.order_serial:
        first = kept(row.reply)
"""
NOTICED_BY = "tests/crm_bridge/test_gateway_rules.py::test_a_repeat_of_a_reversed_request_is_told_so"
