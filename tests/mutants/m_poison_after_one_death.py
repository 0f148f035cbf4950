"""A message is put aside that was only near a process that died."""

RULE = 9
FILE = "frontends/alone_core.py"
OLD = """\
FAILURES_MAX = 2
"""
NEW = """\
FAILURES_MAX = 1
"""
NOTICED_BY = (
    "tests/frontends/test_alone.py"
    "::test_only_the_poison_is_put_aside_and_only_after_it_has_failed_alone_twice"
)
