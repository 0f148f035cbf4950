"""How the bridge's database is, and what an attempt at it shows.  Pure.

Whoever meets trouble says so (`hurt`, `took`); that it is over is proved by a transaction that writes.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

from crm_bridge.gateway_errors import (
    CommitUnknownError,
    LockedError,
    RetryableError,
    SchemaError,
    StoreError,
    Trouble,
)

SLOW_SECONDS = 2.0  # a batch that takes longer is told
Become = Callable[[Trouble | None, str], None]


class Standing(NamedTuple):
    """How the database is: no trouble, or which, in whose words, since when (wall clock)."""

    trouble: Trouble | None
    detail: str
    since_us: int

    @property
    def ready(self) -> bool:
        """Whether money can be moved: a slow database still can."""
        return self.trouble in (None, Trouble.SLOW)

    def status(self) -> dict[str, Any]:
        """Return what the status command says of it."""
        if self.trouble is None:
            return {"state": "ready", "since_us": self.since_us}
        return {"state": self.trouble.value, "detail": self.detail, "since_us": self.since_us}


class Probing(Protocol):
    """What an attempt does with the database; each raises what is in its way."""

    def look(self) -> None:
        """Look whether it answers, and whether its clock is ours."""

    def open(self) -> None:
        """See that its schema is ours."""

    def prove_room(self) -> None:
        """Let its files grow."""

    def prove(self) -> None:
        """Write something that changes nothing, and commit it."""


class Watch:
    """What is known of one database."""

    def __init__(self, detail: str, now_us: int) -> None:
        self.standing = Standing(Trouble.OPENING, detail, now_us)

    def become(self, trouble: Trouble | None, detail: str, now_us: int) -> Standing | None:
        """Change; return how it was, or None where nothing has changed: the same trouble in other words."""
        before = self.standing
        if trouble is before.trouble:
            self.standing = before._replace(detail=detail)
            return None
        self.standing = Standing(trouble, detail, now_us)
        return before

    def hurt(self, trouble: Trouble, detail: str, become: Become) -> None:
        """Take note of what a batch met."""
        if trouble is not Trouble.CONFLICT:
            become(trouble, detail)

    def took(self, seconds: float, become: Become) -> None:
        """Take note of how long a batch took; one of the usual length ends a slow time."""
        if seconds >= SLOW_SECONDS:
            if self.standing.trouble is None:
                become(Trouble.SLOW, f"a batch took {seconds:.1f} s")
        elif self.standing.trouble is Trouble.SLOW:
            become(None, "")

    def require_clock(self) -> None:
        """Raise RetryableError while our clock is wrong: business dates hang on it, and a date once closed
        stays closed for every bridge.
        """
        standing = self.standing
        if standing.trouble is Trouble.CLOCK:
            raise RetryableError(standing.detail, Trouble.CLOCK)

    def attempt(self, probe: Probing, become: Become) -> None:
        """Look at a database that is well, prove one that was not."""
        trouble = self.standing.trouble
        try:
            if trouble in (None, Trouble.DISK_FULL) and _answers(probe) and trouble is None:
                return
            probe.open()
            if trouble is Trouble.DISK_FULL:
                probe.prove_room()
            probe.prove()
        except SchemaError as error:
            become(Trouble.SCHEMA, str(error))
        except (RetryableError, CommitUnknownError) as error:
            self.hurt(error.trouble, str(error), become)
        except (StoreError, LockedError, OSError) as error:
            become(Trouble.DOWN, str(error))
        else:
            if self.standing.trouble is trouble:  # else the proof says nothing of what came meanwhile
                become(None, "")


def _answers(probe: Probing) -> bool:
    """Look; a connection that was lost meanwhile is no trouble where a new one can be had at once."""
    try:
        probe.look()
    except RetryableError:
        return False
    return True
