"""An entry of the audit chain does not hold the one before it."""

RULE = 0
FILE = "crm_bridge/operators/chain.py"
OLD = """\
    return hashlib.sha256(entry.previous + canonical(said).encode("ascii")).digest()
"""
NEW = """\
    return hashlib.sha256(canonical(said).encode("ascii")).digest()
"""
NOTICED_BY = "simulate"
