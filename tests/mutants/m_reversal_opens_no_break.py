"""A stored reversal is no open break: its day may be closed over it."""

RULE = 11
FILE = "qianzhi/saf/lanes.py"
OLD = """\
            if promised.told:
                self._tell_core(promised, Kind.BREAK, "saf", now)
"""
NEW = ""
NOTICED_BY = "tests/interface_layer/test_saf_node.py::test_a_break_is_open_until_the_reversal_is_settled"
