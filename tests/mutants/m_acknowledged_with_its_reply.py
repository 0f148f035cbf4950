"""A delivery is acknowledged as its reply goes out, before the broker has taken that."""

RULE = 9
FILE = "frontends/queue_front.py"
OLD = """\
            self._server.reply(items)
"""
NEW = """\
            self._server.reply(items)
            self._server.acknowledge([tag for tag, _ in items])
"""
NOTICED_BY = (
    "tests/frontends/test_queue_front.py"
    "::test_a_delivery_is_acknowledged_when_its_reply_is_confirmed_and_not_before"
)
