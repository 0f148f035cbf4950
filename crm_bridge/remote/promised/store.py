"""The core's database as store-and-forward uses it: its statements, on connections like the writers'.

The rows are `qianzhi.saf.store`'s, in tables of ours; what reaches which server, and what its errors mean, is
`database.store`'s.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from crm_bridge.database.store import commit, open_engine, translated
from crm_bridge.gateway_errors import StoreError
from crm_bridge.remote.promises import TEAM
from qianzhi.runtime.store import Run, StateError
from qianzhi.saf.store import SafStore

_NOW = "CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS bigint)"


class CoreDatabase:
    """Transactions on the core's database, for `SafStore`; `wall_us` is the clock where it has none."""

    where = "the core's database"

    def __init__(self, url: str, wall_us: Callable[[], int]) -> None:
        self._engine = open_engine(url)
        self._wall_us = wall_us
        self._postgres = self._engine.dialect.name == "postgresql"

    @contextmanager
    def transaction(self) -> Iterator[Run]:
        """Give a `Run`; commit what the block does, all of it or nothing.  Raises StateError."""
        try:
            with translated(), self._engine.connect() as connection:
                yield lambda statement, values: connection.execute(text(self._here(statement)), values)
                commit(connection)
        except (StoreError, DBAPIError) as error:
            said = str(error) if isinstance(error, StoreError) else type(error).__name__
            raise StateError(f"{self.where} cannot be used: {said}") from error

    def close(self) -> None:
        """Let the database go."""
        self._engine.dispose()

    def _here(self, statement: str) -> str:
        now, lock = (_NOW, "FOR UPDATE SKIP LOCKED") if self._postgres else (str(self._wall_us()), "")
        return statement.replace("{s}", "").replace("{now}", now).replace("{lock}", lock)


def open_promises(url: str, bridge: str, lease_us: int, wall_us: Callable[[], int]) -> SafStore:
    """Return a bridge's rows in the core's database; nothing is asked of it yet."""
    return SafStore(CoreDatabase(url, wall_us), bridge, TEAM, lease_us)
