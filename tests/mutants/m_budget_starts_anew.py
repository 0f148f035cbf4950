"""Each hop is given the whole budget, not what is left of it."""

RULE = 5
FILE = "qianzhi/link/hop.py"
OLD = """\
            (work.deadline_us - now.mono_us) // 1_000,
"""
NEW = """\
            30_000,
"""
NOTICED_BY = "tests/link/test_hop.py::test_the_budget_sent_is_what_is_left_at_sending"
