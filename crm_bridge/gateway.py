"""The only door to the core: a list of requests in, their replies out, one database transaction for the list.

What happens in it is `gateway_steps`'; here it is carried out on a writer's thread, over a real database.
"""

from collections.abc import Sequence
from datetime import tzinfo
from typing import Protocol

from crm_bridge.batch import Books
from crm_bridge.gateway_checks import key_refusal
from crm_bridge.gateway_errors import (
    CommitUnknownError,
    LockedError,
    OutOfSpaceError,
    RaceError,
    RetryableError,
    SchemaError,
    StoreError,
)
from crm_bridge.gateway_steps import Again, SteppedGateway, rules_of
from crm_bridge.journal import repeat_of
from crm_bridge.settings import CoreSettings
from crm_bridge.steps import finish
from crm_bridge.store import Store
from qianzhi.domain.requests import Key, Reply, Request
from qianzhi.runtime.effects import Alarm
from qianzhi.runtime.now import Now

__all__ = [
    "CommitUnknownError",
    "Core",
    "Gateway",
    "LockedError",
    "OutOfSpaceError",
    "RaceError",
    "RetryableError",
    "SchemaError",
    "StoreError",
]


class Core(Protocol):
    """What a writer asks of a core, embedded or remote."""

    def execute(self, requests: Sequence[Request], now: Now, again: "Again | None" = None) -> list[Reply]:
        """Carry out a list, all of it or none; return the replies in its order."""

    def lookup(self, keys: Sequence[Key]) -> dict[Key, Reply]:
        """Return what a repeat of each key would be told; a key that the core never saw is missing."""

    def quarantine(self, request: Request, now: Now) -> Reply:
        """Block the key of a request that fails even alone."""

    def keep_after(self, date: int) -> None:
        """Refuse keys of this date and before it as too old: their rows may be gone."""

    def take_alarms(self) -> list[Alarm]:
        """Return the alarms raised since the last call."""

    def close(self) -> None:
        """Let the database go."""


class Gateway:
    """The embedded core; one instance per writer, used by one thread at a time.

    `bridge` and `lane` name this writer's own part of the accounts that every request moves.
    """

    def __init__(
        self,
        books: str | Books,
        settings: CoreSettings,
        zone: tzinfo,
        bridge: str = "bridge1",
        lane: int = 0,
    ) -> None:
        """`books` are a database's URL, or whatever else keeps the core."""
        self._store: Books = Store(books, settings.order_prefix) if isinstance(books, str) else books
        self._steps = SteppedGateway(self._store, rules_of(settings, zone), f"{bridge}/{lane}")

    def execute(self, requests: Sequence[Request], now: Now, again: Again | None = None) -> list[Reply]:
        """Carry out a list in one transaction, as `SteppedGateway.executing` says and raises."""
        return finish(self._steps.executing(requests, now, again))

    def quarantine(self, request: Request, now: Now) -> Reply:
        """Block the key of a request that fails even alone, as `SteppedGateway.quarantining` says."""
        return finish(self._steps.quarantining(request, now))

    def lookup(self, keys: Sequence[Key]) -> dict[Key, Reply]:
        """Return what a repeat of each key would be told now; a key without a row is missing."""
        known = [key for key in keys if key_refusal(key) is None]
        return {row.key: repeat_of(row) for row in self._store.rows(known)}

    def keep_after(self, date: int) -> None:
        """Refuse keys of this date and before it as too old."""
        self._steps.keep_after(date)

    def take_alarms(self) -> list[Alarm]:
        """Return the alarms of committed lists since the last call."""
        return self._steps.take_alarms()

    def close(self) -> None:
        """Let the database go."""
        self._store.close()
