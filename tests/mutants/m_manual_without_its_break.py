"""A reversal whose time is over is put aside, and nothing holds its day open."""

RULE = 11
FILE = "qianzhi/saf/lanes.py"
OLD = """\
        if was.moves_money_back:
            self._tell_core(item.entry, Kind.BREAK, "manual", now)
"""
NEW = ""
NOTICED_BY = (
    "tests/interface_layer/test_saf_node.py"
    "::test_a_reversal_that_is_out_of_time_is_manual_and_its_break_says_so"
)
