"""Whoever proposed an act may approve it."""

RULE = 0
FILE = "crm_bridge/operators/acts.py"
OLD = """\
    if checker == act.maker:
"""
NEW = """\
    if not checker:
"""
NOTICED_BY = "tests/crm_bridge/operators/test_desk.py::test_whoever_proposed_an_act_never_approves_it"
