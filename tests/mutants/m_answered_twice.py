"""An answer that comes a second time is taken for another one's end."""

RULE = 7
FILE = "qianzhi/link/hop.py"
OLD = """\
            work = works.pop(answer.id, None)
"""
NEW = """\
            work = works.get(answer.id)
"""
NOTICED_BY = "tests/link/test_hop.py::test_what_is_answered_twice_is_settled_once"
