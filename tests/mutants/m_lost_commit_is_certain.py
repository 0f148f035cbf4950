"""After a COMMIT of unknown outcome a batch is said to be certainly not carried out."""

RULE = 6
FILE = "crm_bridge/settling.py"
OLD = """\
            status = Status.EXPIRED if outcome.certain else Status.UNKNOWN
"""
NEW = """\
            status = Status.EXPIRED
"""
NOTICED_BY = (
    "tests/crm_bridge/test_redteam_core.py"
    "::test_after_an_unknown_commit_no_part_of_a_batch_is_ever_called_certain"
)
