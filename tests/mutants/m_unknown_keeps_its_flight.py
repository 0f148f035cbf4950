"""A flight that was answered as unknown stays, and repeats join what never ends."""

RULE = 7
FILE = "frontends/processor_outcomes.py"
OLD = """\
        self._replies.unknown(flight, turn.now, turn.out)
        self._flights.end(flight)
"""
NEW = """\
        self._replies.unknown(flight, turn.now, turn.out)
"""
NOTICED_BY = (
    "tests/frontends/test_processor.py::test_no_answer_in_time_is_unknown_and_what_comes_later_is_dropped"
)
