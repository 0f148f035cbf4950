"""An operator ends an entry that tells the core of a break, and the day closes over the break."""

RULE = 11
FILE = "qianzhi/saf/lanes.py"
OLD = "    if entry.destination == CORE:\n"
NEW = "    if not entry.destination:\n"
NOTICED_BY = "tests/interface_layer/test_saf_node.py::test_nobody_ends_what_tells_the_core_of_a_break"
