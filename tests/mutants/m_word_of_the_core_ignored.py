"""Whoever was to be refused is refused, also when the core says that the key is approved."""

RULE = 7
FILE = "frontends/processor_outcomes.py"
OLD = """\
        if reply.result in CLOSED:
            self._note(flight, flight.refusal, turn)
"""
NEW = """\
        if reply.result is not Result.UNKNOWN:
            self._note(flight, flight.refusal, turn)
"""
NOTICED_BY = (
    "tests/frontends/test_processor.py"
    "::test_a_repeat_of_an_approved_request_that_is_shed_hears_the_stored_answer"
)
