"""A repeat is told another work order's number than the first was."""

RULE = 3
FILE = "crm_bridge/journal.py"
OLD = """\
    return msgspec.structs.replace(_DECODER.decode(data), stored=True)
"""
NEW = """\
    return msgspec.structs.replace(_DECODER.decode(data), stored=True, order="Q00000000000")
"""
NOTICED_BY = "simulate"
