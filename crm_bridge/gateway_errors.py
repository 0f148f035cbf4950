"""How a batch can fail as a whole; whatever else is raised is the fault of one request in it."""

from enum import Enum


class Trouble(Enum):
    """What is wrong with the database, in the words of `qianzhi status`."""

    OPENING = "the database is being opened"
    CONFLICT = "others hold what is needed"  # passes by itself, and says nothing of the database
    DOWN = "the database is not reachable"
    READ_ONLY = "the database takes no writes"
    DISK_FULL = "the database's disk is full"
    DISK = "the database cannot use its disk"
    TOO_MANY_CONNECTIONS = "the database has too many connections"
    NO_PERMISSION = "the database refuses us"
    SCHEMA = "the database has not the schema that is needed"
    NO_STANDBY = "the database's standby is missing"
    CLOCK = "this machine's clock is not the database's"
    SLOW = "the database is too slow"
    HELD = "another process holds the database"


class StoreError(Exception):
    """Base of what the store can say; the text names no customer."""


class RetryableError(StoreError):
    """Nothing was written, and the same batch may succeed later; `trouble` says what stands in the way."""

    def __init__(self, text: str, trouble: Trouble = Trouble.CONFLICT) -> None:
        super().__init__(text)
        self.trouble = trouble


class OutOfSpaceError(RetryableError):
    """Nothing was written because the disk is full; halving the batch would not help."""


class CommitUnknownError(StoreError):
    """COMMIT was sent and its outcome is not known: look the keys up, or execute the same batch again."""

    def __init__(self, text: str, trouble: Trouble = Trouble.DOWN) -> None:
        super().__init__(text)
        self.trouble = trouble


class RaceError(StoreError):
    """Others claimed keys of this batch again and again while it was decided; nothing was written."""


class LockedError(Exception):
    """Another process holds the database's lock file."""


class SchemaError(Exception):
    """The database's schema is not the one that this version needs."""
