"""A queue message past its expiry is forwarded."""

RULE = 5
FILE = "frontends/processor.py"
OLD = """\
        elif frame.expires_us and frame.expires_us <= now.wall_us:
"""
NEW = """\
        elif frame.expires_us and frame.expires_us < 0:
"""
NOTICED_BY = "tests/frontends/test_processor.py::test_a_message_past_its_expiry_is_not_forwarded"
