"""The control queue is paused with the main one."""

RULE = 8
FILE = "bankmq/rabbit_core.py"
OLD = """\
            if queue != self._names.main:
                acts.append(Consume(queue, self._bounds.control_prefetch))
"""
NEW = """\
            if queue != self._names.main and not rests:
                acts.append(Consume(queue, self._bounds.control_prefetch))
"""
NOTICED_BY = (
    "tests/bankmq/test_rabbit_core.py"
    "::test_the_main_queue_rests_for_each_of_three_reasons_and_the_control_queue_never"
)
