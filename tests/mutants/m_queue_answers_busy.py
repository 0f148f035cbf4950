"""What is too much on a queue is refused as busy, not held."""

RULE = 8
FILE = "frontends/processor.py"
OLD = """\
        if self._queued and refusal is Result.BUSY:
"""
NEW = """\
        if self._queued and refusal is Result.UNKNOWN:
"""
NOTICED_BY = (
    "tests/frontends/test_gate.py::test_on_a_queue_what_is_too_much_waits_unanswered_and_is_served_afterwards"
)
