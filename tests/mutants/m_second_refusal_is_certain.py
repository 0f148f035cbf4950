"""A refusal of the second attempt counts as certain, though the first may have been carried out."""

RULE = 8
FILE = "qianzhi/link/hop.py"
OLD = """\
        certain = status in NOT_TAKEN and not work.maybe_forwarded
"""
NEW = """\
        certain = status in NOT_TAKEN
"""
NOTICED_BY = "simulate"
