"""An entry that waits for its next try is overtaken by the next one of its account."""

RULE = 11
FILE = "qianzhi/saf/lane.py"
OLD = """\
        item.due_us = due_us
        self._offer(item.entry.account)

    def hurry("""
NEW = """\
        item.due_us = due_us
        self._accounts[item.entry.account].rotate(-1)
        self._offer(item.entry.account)

    def hurry("""
NOTICED_BY = (
    "tests/interface_layer/test_saf_node.py::test_entries_of_one_account_keep_their_order_and_others_pass"
)
