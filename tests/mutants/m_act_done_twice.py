"""An act that is done takes a second result."""

RULE = 0
FILE = "crm_bridge/operators/desk.py"
OLD = """\
        if act.state is ActState.DONE:
            return act
        act = acts.finished("""
NEW = """\
        act = acts.finished(act._replace(state=ActState.APPROVED), result, canonical(detail), self._now_us)
        return act
        act = acts.finished("""
NOTICED_BY = "tests/crm_bridge/operators/test_desk.py::test_an_act_is_done_once_and_keeps_its_first_result"
