"""What could not be recorded is told all the same."""

RULE = 9
FILE = "qianzhi/runtime/shell.py"
OLD = "            if unwritten and kind is Send"
NEW = "            if unwritten and kind is Withheld"
NOTICED_BY = "tests/runtime/test_shell.py::test_what_rests_on_a_record_that_failed_is_not_told"
