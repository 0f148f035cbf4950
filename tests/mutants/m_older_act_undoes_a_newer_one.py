"""An act that was carried out is carried out again once another one has come in between."""

RULE = 11
FILE = "qianzhi/saf/lanes.py"
OLD = "    if _number(act) < _number(entry.act):\n"
NEW = "    if _number(act) < 0:\n"
NOTICED_BY = (
    "tests/interface_layer/test_saf_node.py"
    "::test_an_older_act_does_not_undo_a_newer_one_and_says_that_it_comes_too_late"
)
