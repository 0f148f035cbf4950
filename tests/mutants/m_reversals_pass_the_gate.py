"""Reversals and queries are held to hours and rates."""

RULE = 8
FILE = "frontends/processor_edge.py"
OLD = """\
        if request.kind in PRIORITY_KINDS:
            return None
"""
NEW = ""
NOTICED_BY = "tests/frontends/test_gate.py::test_reversals_and_status_queries_pass_all_of_it"
