"""What is put aside is acknowledged before the broker has it in the backout queue."""

RULE = 9
FILE = "bankmq/rabbit_core.py"
OLD = """\
            publications.append(Publication((BACKOUT, tag), "", self._names.backout, asked.body, properties))
        return [*self._void(len(items) - len(publications)), Publish(publications)]
"""
NEW = """\
            publications.append(Publication((BACKOUT, tag), "", self._names.backout, asked.body, properties))
        return [Publish(publications), *self.acknowledge([tag for tag, _ in items])]
"""
NOTICED_BY = (
    "tests/bankmq/test_rabbit_core.py::test_what_is_put_aside_is_acknowledged_once_the_broker_has_it_there"
)
