"""A daemon carries out an act about an entry for whoever asks it."""

RULE = 0
FILE = "qianzhi/saf/answers.py"
OLD = 'if not self._warrants.allows(asked, given.text("warrant", "")):'
NEW = 'if not given.text("warrant"):'
NOTICED_BY = "tests/saf/test_warrants.py::test_a_daemon_changes_no_entry_without_a_warrant_for_that"
