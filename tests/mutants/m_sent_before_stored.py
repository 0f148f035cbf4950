"""An entry goes out before its try is stored."""

RULE = 11
FILE = "qianzhi/saf/lanes.py"
OLD = """\
                else:
                    self._write(item, tries=item.entry.tries + 1)
"""
NEW = """\
                else:
                    self._write(item, tries=item.entry.tries + 1)
                    self.on_stored(item.entry.id, item.entry.version, now)
"""
NOTICED_BY = "tests/interface_layer/test_saf_node.py::test_nothing_is_sent_that_is_not_stored"
