"""A node that was taken for dead still writes its rows."""

RULE = 11
FILE = "qianzhi/saf/store.py"
OLD = """\
        if run(RENEW, {**self._mine, "epoch": self._epoch}).rowcount != 1:
            self._lose()
"""
NEW = """\
        run(RENEW, {**self._mine, "epoch": self._epoch})
"""
NOTICED_BY = "tests/saf/test_stores.py::test_a_former_life_writes_nothing_more"
