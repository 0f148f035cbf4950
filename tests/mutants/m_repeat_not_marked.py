"""A repeat of ours is not marked as one."""

RULE = 11
FILE = "qianzhi/saf/lanes.py"
OLD = """\
        request = _changed(item.entry.request, repeat=item.entry.tries > 1)
"""
NEW = """\
        request = item.entry.request
"""
NOTICED_BY = (
    "tests/interface_layer/test_saf_node.py"
    "::test_a_reversal_without_an_answer_is_sent_again_marked_as_a_repeat_with_its_own_serial"
)
