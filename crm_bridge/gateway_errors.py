"""How a batch can fail as a whole; whatever else is raised is the fault of one request in it."""


class StoreError(Exception):
    """Base of what the store can say; the text names no customer."""


class RetryableError(StoreError):
    """Nothing was written, and the same batch may succeed later: a lock, or a connection lost."""


class OutOfSpaceError(RetryableError):
    """Nothing was written because the disk is full; halving the batch would not help."""


class CommitUnknownError(StoreError):
    """COMMIT was sent and its outcome is not known: look the keys up, or execute the same batch again."""


class RaceError(StoreError):
    """Others claimed keys of this batch again and again while it was decided; nothing was written."""


class LockedError(Exception):
    """Another process holds the database's lock file."""


class SchemaError(Exception):
    """The database's schema is not the one that this version needs."""
