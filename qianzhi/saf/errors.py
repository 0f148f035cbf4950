"""What may be wrong with the rows of store-and-forward."""


class SafError(Exception):
    """The rows cannot be read or written now; the text says why.  The same may be asked again."""


class LostError(Exception):
    """The rows are another node's now, or a later life's of this one; nothing of this write was kept."""
