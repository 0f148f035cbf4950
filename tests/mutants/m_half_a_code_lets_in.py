"""The maker's half of a code is enough to choose the password of whoever is let in."""

RULE = 0
FILE = "crm_bridge/operators/codes.py"
OLD = "return all(found)"
NEW = "return any(found)"
NOTICED_BY = (
    "tests/crm_bridge/operators/test_desk.py"
    "::test_neither_who_lets_somebody_in_can_be_him_and_the_code_only_chooses_a_password"
)
