"""A node that stood still sends what its partner has taken over."""

RULE = 11
FILE = "qianzhi/saf/keeping.py"
OLD = """\
        return self.known and (not self._lease_us or now.mono_us < self._until_us)
"""
NEW = """\
        return self.known
"""
NOTICED_BY = (
    "tests/interface_layer/test_saf_node.py"
    "::test_what_is_stored_after_its_lease_ran_out_is_sent_only_with_a_new_one"
)
